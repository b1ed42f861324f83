"""Seeded damage to files: bits, lengths, fields, types and names. The same seed gives the same bytes."""

import copy
import io
import json
import random
import struct
import tarfile
from collections.abc import Callable
from typing import Any

from echodepth.core.integrity import SEAL, seal

Damage = Callable[[random.Random, bytes], bytes]
NUMBERS = (0, 1, 2, 3, 7, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1)
NAMES = (
    *("", ".", "..", "../x", "../../../../etc/passwd", "/etc/passwd", "//host/x", "C:\\x", "a\\..\\b", "~", "-rf"),
    *("a\nb", "a\x00b", "a\tb", "\u202ebav.wav", "\ud800", "é" * 200, "x" * 256, "x" * 100_000, "[1].wav", "a b.wav"),
    *(
        "CON",
        "/dev/zero",
        "/dev/stdin",
        "http://127.0.0.1:9/x",
        "%s%n",
        "{0.__class__}",
        "..%2f",
        "😀.wav",
        "a/" * 2000,
    ),
)
_DEEP = "@deep@"
_LONG = "@long@"
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 2**31, 2**63, 10**18, 10**40, 10**400, 0.5, -0.0, 1e-300, 1e308, -1e308),
    *(float("nan"), float("inf"), "", "0", "nan", [], {}, [[]], [None], [1, "a"], [0] * 1000, {"a": {"b": 1}}),
    *({"": ""}, _DEEP, _LONG, *NAMES),
)
"""What may stand in a field of JSON."""


def damage_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bits flipped, cut, grown, zeroed, repeated, or a number set to an extreme one."""
    changed, size = bytearray(data), max(1, len(data))
    # Headers are short, and most of what can go wrong stands in them.
    at = rng.randrange(min(size, rng.choice((16, 64, 512, size))))
    length = rng.choice((1, 2, 4, 8, 64, 1000))
    match rng.randrange(9):
        case 0:
            for _ in range(rng.choice((1, 1, 2, 8))):
                place = rng.randrange(min(size, rng.choice((64, 512, size))))
                changed[place : place + 1] = bytes([(changed[place] if changed else 0) ^ 1 << rng.randrange(8)])
        case 1:
            del changed[rng.randrange(size) :]
        case 2:
            del changed[at : at + length]
        case 3:
            changed += rng.randbytes(rng.choice((1, 16, 1000)))
        case 4:
            changed[at : at + length] = bytes(min(length, len(changed) - at))
        case 5:
            changed[at:at] = changed[at : at + length]
        case 6:
            form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
            number = struct.pack(form, rng.choice(NUMBERS) % 2 ** (8 * struct.calcsize(form)))
            changed[at : at + len(number)] = number
        case 7:
            changed[at : at + length] = rng.randbytes(length)
        case _:
            return rng.choice(
                (b"", b"\x00" * size, b"\xff" * size, b"<html>", b"PK\x03\x04", b"{}", rng.randbytes(size))
            )
    return bytes(changed)


def damage_text(rng: random.Random, data: bytes) -> bytes:
    """Text in another encoding, with other ends of lines, columns or quotes, or odd names in place of words."""
    text = data.decode()
    match rng.randrange(7):
        case 0:
            return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7")))
        case 1:
            return text.replace("a", "ä", 3).encode(rng.choice(("latin-1", "utf-8")))
        case 2:
            return text.replace("\n", rng.choice(("\r", "\r\n", "\n\n", "\x00\n", " \n"))).encode()
        case 3:
            return text.replace(rng.choice((",", " ", '"')), rng.choice((";", "\t", ",,", '"', ""))).encode()
        case 4:
            lines = text.splitlines()
            rng.shuffle(lines)
            return "\n".join(lines[: rng.randrange(len(lines) + 1)]).encode()
        case 5:
            words = [word for word in text.replace(",", " ").split() if len(word) > 2]
            name = rng.choice(NAMES)
            return text.replace(rng.choice(words), name, rng.choice((1, 1000))).encode("utf-8", "surrogatepass")
        case _:
            return damage_bytes(rng, data)


def damage_value(rng: random.Random, content: Any) -> Any:
    """Plain values with one or two fields of another type, without one, or with one more."""
    changed = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 2))):
        places = list(_places(changed))
        if not places:
            return rng.choice(VALUES)
        holder, key = rng.choice(places)
        match rng.randrange(8):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[rng.choice((*NAMES, "format", "more", key))] = rng.choice(VALUES)
            case 2 if isinstance(holder, dict):
                holder[f"{key}s"] = holder.pop(key)
            case 3:
                holder[key] = rng.choice(([holder[key]], {"a": holder[key]}, str(holder[key]), repr(holder[key])))
            case _:
                holder[key] = rng.choice(VALUES)
    return rng.choice((*VALUES, [changed])) if rng.random() < 0.03 else changed


def _places(content: Any) -> Any:
    """Each field, as its holder and its key or index, the outer ones first."""
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield content, key
        yield from _places(content[key])


def damage_json(rng: random.Random, data: bytes) -> bytes:
    """JSON, or lines of it, with other values; or its text damaged."""
    if rng.random() < 0.25:
        return rng.choice((damage_bytes, damage_text))(rng, data)
    lines = data.splitlines() if data.count(b"\n{") else [data]
    line = rng.randrange(len(lines))
    lines[line] = to_json(_resealed(rng, damage_value(rng, json.loads(lines[line]))))
    return b"\n".join(lines) + b"\n"


def _resealed(rng: random.Random, content: Any) -> Any:
    """Mostly without the digests that show the damage, or with others, as an attacker writes them."""
    if not isinstance(content, dict) or rng.random() < 0.2:
        return content
    plain = {name: _resealed(rng, value) if name == "run" else value for name, value in content.items() if name != SEAL}
    return seal(plain) if SEAL in content and rng.random() < 0.3 else plain


def to_json(content: Any) -> bytes:
    """JSON text, with what no writer writes: lists 100,000 deep, numbers of 5,000 digits."""
    text = json.dumps(content, ensure_ascii=False).replace(f'"{_DEEP}"', "[" * 100_000 + "]" * 100_000)
    return text.replace(f'"{_LONG}"', "1" * 5000).encode("utf-8", "surrogatepass")


def damage_safetensors(rng: random.Random, data: bytes) -> bytes:
    """The header's fields, or the bytes."""
    if rng.random() < 0.4:
        return damage_bytes(rng, data)
    size = struct.unpack("<Q", data[:8])[0]
    header = to_json(damage_value(rng, json.loads(data[8 : 8 + size])))
    return struct.pack("<Q", rng.choice((len(header), len(header), *NUMBERS))) + header + data[8 + size :]


def damage_npy(rng: random.Random, data: bytes) -> bytes:
    """The header's fields, or the bytes."""
    if rng.random() < 0.4:
        return damage_bytes(rng, data)
    end = data.index(b"\n") + 1
    header = data[10:end].decode()
    change = rng.choice(
        (
            *(
                ("(", "(-"),
                ("(", "(0, "),
                ("(", "(1000000, 1000000, "),
                ("(", "(" * 500),
                ("True", "'a'"),
                ("<", "|O"),
                ("<", "<U"),
            ),
            *(
                ("False", "True"),
                ("shape", "forme"),
                ("{", "["),
                ("'descr': ", "'descr': [('a', '<i4')], 'x': "),
                ("(", "(1,"),
            ),
        )
    )
    text = header.replace(*change, 1).encode()
    return data[:8] + struct.pack("<H", len(text)) + text + data[end:]


def damage_tar(rng: random.Random, data: bytes) -> bytes:
    """Members that are links, devices or pipes, of odd names and sizes, missing or there twice; or the bytes."""
    if rng.random() < 0.4:
        return damage_bytes(rng, data)
    out = io.BytesIO()
    kinds = (
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.DIRTYPE,
        tarfile.GNUTYPE_SPARSE,
    )
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        members = old.getmembers()
        spoilt = rng.randrange(len(members))
        for number, member in enumerate(members):
            content = old.extractfile(member)
            contents = content.read() if content else b""
            if number == spoilt:
                match rng.randrange(5):
                    case 0:
                        member.type, member.linkname = rng.choice(kinds), rng.choice(NAMES[:12])
                    case 1:
                        member.name = rng.choice([name for name in NAMES if "\ud800" not in name])[:5000]
                    case 2:
                        member.size = rng.choice((0, 1, 2**31, 2**40))
                    case 3:
                        continue
                    case _:
                        new.addfile(member, io.BytesIO(contents))
            new.addfile(
                member, io.BytesIO(contents.ljust(min(member.size, 2**20), b"\x00")) if member.size < 2**20 else None
            )
    return out.getvalue()


def damage_pth(rng: random.Random, data: bytes) -> bytes:
    """The values of a checkpoint, or its bytes."""
    import torch

    if rng.random() < 0.4:
        return damage_bytes(rng, data)
    content = torch.load(io.BytesIO(data), weights_only=True)
    weights = content["model_state_dict"]
    match rng.randrange(4):
        case 0:
            name = rng.choice(list(weights))
            odd = (torch.zeros(()), torch.zeros(3, dtype=torch.complex64), torch.zeros(1).expand(10**6), torch.zeros(0))
            weights[name] = rng.choice(
                (*odd, weights[name].to(torch.int8), None, 3, "a", [weights[name]], torch.tensor([1, 2]))
            )
        case 1:
            weights.pop(rng.choice(list(weights)))
        case 2:
            content[rng.choice(list(content))] = rng.choice((*VALUES, torch.zeros(2), {3: 4}))
        case _:
            plain = {name: value for name, value in content.items() if name != "model_state_dict"}
            changed = damage_value(rng, plain)
            content = changed | {"model_state_dict": weights} if isinstance(changed, dict) else changed
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def another_file(others: list[bytes]) -> Damage:
    """Damage that puts another kind of file in the place."""
    return lambda rng, data: rng.choice(others)
