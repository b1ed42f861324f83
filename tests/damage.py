"""Damage to files: single flipped bits, and what crashes and copies that broke off leave behind."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from echodepth.core.errors import EchodepthError

_HEADER = 128
"""Bytes that a file keeps whose data never reached the disk; the header of a ``.npy`` has as many."""
BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "two bytes short": lambda data: data[:-2],
    "appended": lambda data: data + b"\0",
    "zeros behind the header": lambda data: data[:_HEADER] + bytes(len(data) - _HEADER),
    "zeros at the end": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    "all zeros": lambda data: bytes(len(data)),
}


def flip(data: bytes, bit: int) -> bytes:
    """The same bytes with one other bit."""
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def damaged(data: bytes, flips: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """The bytes with one flipped bit each, at random places, and broken in every other way; each with its name."""
    bits = random.Random(seed).choices(range(8 * len(data)), k=flips)
    yield from ((f"bit {bit}", flip(data, bit)) for bit in bits)
    yield from ((name, spoil(data)) for name, spoil in BROKEN.items() if spoil(data) != data)


@contextmanager
def restored(path: Path) -> Iterator[bytes]:
    """The bytes of a file, which it has again afterwards."""
    data = path.read_bytes()
    try:
        yield data
    finally:
        path.write_bytes(data)


def refusal(use: Callable[[], object]) -> str:
    """The one line for the user with which a use ends; any other exception is a fault."""
    with pytest.raises(EchodepthError) as refused:
        use()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def require_refused(path: Path, use: Callable[[], object], flips: int, name: str | None = None) -> int:
    """Use a file with each kind of damage: it must be refused by name each time, and be as good as before in the end.

    Args:
        path: the file.
        use: reads it.
        flips: number of single bits that are flipped.
        name: what the message says in place of the file's name.

    Returns:
        The number of damaged files that were refused.
    """
    refused = 0
    with restored(path) as data:
        for kind, spoilt in damaged(data, flips):
            path.write_bytes(spoilt)
            assert (name or path.name) in refusal(use), kind
            refused += 1
    use()
    return refused
