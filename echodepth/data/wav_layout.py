"""Where the samples of a WAV file lie, whatever its size fields claim.

Recorders that lose power, programs that write to a pipe, and many small writers leave wrong sizes in a header whose
samples are all there. libsndfile believes some of these sizes; the file that it opens is therefore given exact ones.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedIOBase, BytesIO
from typing import Literal

from echodepth.core.errors import DataError

WAV_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_PLACEHOLDER = 0x7F000000  # no recording is that long: a writer that cannot seek puts such numbers, or 0
_SLACK = 64  # bytes by which a data size may be too large: writers add the header's, or pad twice
_MOST_CHUNKS = 10_000
_MOST_BITS = 64
_SEARCHED = 65_536  # bytes at either end of a file whose chunks do not follow each other
_KNOWN = (
    *(b"fmt ", b"data", b"LIST", b"fact", b"bext", b"iXML", b"axml", b"cue ", b"smpl", b"inst", b"plst", b"PEAK"),
    *(b"JUNK", b"junk", b"PAD ", b"FLLR", b"chna", b"ds64", b"id3 ", b"ID3 ", b"acid", b"cart", b"umid", b"levl"),
)
_KNOWN_NAME = re.compile(b"|".join(map(re.escape, _KNOWN)))
_PRINTABLE = re.compile(rb"[A-Za-z_][ -~]{3}")
_TAGS = (b"ID3", b"APETAGEX")  # music players append these without a chunk around them
_SHORT_TAG, _SHORT_TAG_SIZE = b"TAG", 128


@dataclass(frozen=True)
class WavLayout:
    """The samples in a WAV file.

    Attributes:
        order: byte order of the numbers, ``<`` or ``>`` as in ``struct``.
        format: contents of the fmt chunk.
        start: first byte of the samples.
        size: bytes of the samples that are there, in whole frames.
        missing: bytes by which the file is shorter than a believable data size; 0 for a whole file.
        further: bytes in further data chunks and in WAV files behind this one, which are not read.
        uncounted: bytes behind the samples that no size counts and that are no tags, which are not read.
        exact: whether libsndfile finds the same samples by itself.
    """

    order: Literal["<", ">"]
    format: bytes
    start: int
    size: int
    missing: int
    further: int
    uncounted: int
    exact: bool

    @property
    def frame(self) -> int:
        """Bytes of one sample of all channels; of compressed audio, of one block."""
        return int(struct.unpack(f"{self.order}12xH", self.format[:14])[0])

    @property
    def sample_bits(self) -> tuple[int, int] | None:
        """Bits that each integer sample occupies, and those of them that the header says are used; None for others."""
        tag, channels, _, _, frame, bits = struct.unpack(f"{self.order}HHIIHH", self.format[:16])
        used = bits
        if tag == _EXTENSIBLE and len(self.format) >= 26:
            used, tag = struct.unpack(f"{self.order}18xH4xH", self.format[:26])
        occupied = 8 * frame // channels if channels else 0
        return (occupied, used if 0 < used <= occupied else occupied) if tag == _PCM else None

    def with_exact_sizes(self, stream: BufferedIOBase) -> BytesIO:
        """The format and the samples as a file of their own."""
        stream.seek(self.start)
        samples = stream.read(self.size)
        magic, fmt = (b"RIFF" if self.order == "<" else b"RIFX"), self.format + bytes(len(self.format) % 2)
        if self.sample_bits is not None:  # 24 bits in 4 bytes are decoded as the 32 that they occupy
            fmt = fmt[:14] + struct.pack(f"{self.order}H", self.sample_bits[0]) + fmt[16:]
        size = len(fmt) + len(samples) + 20
        head = struct.pack(f"{self.order}4sI4s4sI", magic, size, b"WAVE", b"fmt ", len(self.format))
        return BytesIO(head + fmt + struct.pack(f"{self.order}4sI", b"data", len(samples)) + samples)


def find_samples(stream: BufferedIOBase, name: str) -> WavLayout:
    """Find the samples of a WAV file.

    Args:
        stream: the file, with one of ``WAV_MAGIC`` at its beginning.
        name: the file, for messages.

    Raises:
        DataError: it has no format or no samples.
    """
    total = stream.seek(0, 2)
    magic = _read(stream, 0, 4)
    order: Literal["<", ">"] = ">" if magic == b"RIFX" else "<"
    found: dict[bytes, tuple[int, int]] = {}
    in_order = True
    for chunk, start, size, is_padded in _chunks(stream, 12, total, order):
        # libsndfile reads into other chunks, and stumbles over what some hold.
        in_order &= is_padded and chunk in ((b"data", b"fact", b"PEAK") if b"fmt " in found else (b"fmt ",))
        in_order &= chunk not in found
        if not found.get(chunk, (0, 0))[1]:
            found[chunk] = (start, size)
        if b"fmt " in found and found.get(b"data", (0, 0))[1]:
            break
    else:
        in_order = False
        for chunk in {b"fmt ", b"data"} - {*found}:
            if (at := _read(stream, 12, _SEARCHED).find(chunk)) >= 0:
                found[chunk] = (at + 20, struct.unpack(f"{order}I", _read(stream, at + 16, 4).ljust(4, b"\0"))[0])
    fmt = _read(stream, found[b"fmt "][0], min(found[b"fmt "][1], 64)) if b"fmt " in found else b""
    if len(fmt) < 16 or b"data" not in found or found[b"data"][0] > total:
        raise DataError(
            f"{name} cannot be read as audio: it has no {'samples' if len(fmt) >= 16 else 'format'}, as a file that "
            "was cut short; copy it again, or leave the recording out"
        )
    start, declared = found[b"data"]
    riff = struct.unpack(f"{order}I", _read(stream, 4, 4))[0]
    if b"ds64" in found:
        large = struct.unpack(f"{order}QQ", _read(stream, found[b"ds64"][0], 16).ljust(16, b"\0"))
        riff, declared = (b if a == 0xFFFFFFFF else a for a, b in zip((riff, declared), large, strict=True))
    end, behind = _end(stream, start, declared, riff + 8, order)
    further, uncounted = _unread(stream, behind, total, order)
    tag, channels, frame, bits = struct.unpack(f"{order}HH8xHH", fmt[:16])
    if frame < max(1, channels * -(-bits // 8) if tag in (_PCM, _FLOAT, _EXTENSIBLE) else 1):
        raise DataError(
            f"{name} cannot be read as audio: its header says that {channels} samples of {bits} bits have {frame} bytes"
        )
    size = (end - start) // frame * frame
    whole = declared <= total or declared - (end - start) <= _SLACK or declared >= _PLACEHOLDER
    # libsndfile takes the last of several data chunks, and refuses files for chunks behind the samples.
    exact = in_order and magic in (b"RIFF", b"RIFX") and declared == end - start and riff + 8 >= end >= total - 1
    layout = WavLayout(order, fmt, start, size, 0 if whole else declared - (end - start), further, uncounted, exact)
    occupied = layout.sample_bits
    if occupied is not None and occupied[0] > _MOST_BITS:
        raise DataError(f"{name} cannot be read as audio: its header says that a sample has {occupied[0]} bits")
    return replace(layout, exact=exact and (occupied is None or occupied[0] == bits))


def _read(stream: BufferedIOBase, at: int, size: int) -> bytes:
    stream.seek(at)
    return stream.read(size)


def _chunks(stream: BufferedIOBase, at: int, total: int, order: str) -> Iterator[tuple[bytes, int, int, bool]]:
    """Name, first byte and size of each chunk, and whether it begins at an even byte, as the format demands."""
    padded = True
    for _ in range(_MOST_CHUNKS):
        if at + 8 > total:
            return
        chunk, size = struct.unpack(f"{order}4sI", _read(stream, at, 8))
        if not _PRINTABLE.match(chunk):
            return
        yield chunk, at + 8, size, padded
        at, padded = at + 8 + size, True
        if size % 2:
            # Some writers leave the pad byte of an odd size out.
            padded = _read(stream, at, 4) not in _KNOWN
            at += padded


def _end(stream: BufferedIOBase, start: int, declared: int, riff: int, order: str) -> tuple[int, int]:
    """The byte after the last sample, and the first one of what lies behind: further chunks, or the end of the file."""
    total = stream.seek(0, 2)
    if declared == total - start:
        return total, total
    for end in (start + declared, start + declared + declared % 2):
        if end >= total:
            break
        # Where both sizes agree, what follows them was appended. Some writers count the first 8 bytes too.
        is_agreed = declared > 0 and riff - end in (0, 8)
        if is_agreed or _read(stream, end, 4) in _KNOWN or _are_chunks(stream, end, total, order):
            return start + declared, end + (end % 2 and _read(stream, end, 1) == b"\0")
    # The data size is wrong; chunks that end exactly with the file are still none of its samples.
    first = max(start, total - _SEARCHED)
    failed: set[int] = set()
    for match in _KNOWN_NAME.finditer(_read(stream, first, total - first)):
        if _are_chunks(stream, first + match.start(), total, order, failed):
            return first + match.start(), first + match.start()
    return total, total


def _unread(stream: BufferedIOBase, behind: int, total: int, order: str) -> tuple[int, int]:
    """Bytes of further data chunks or whole files, and bytes outside all chunks that are neither tags nor zeros.

    A recorder that loses power leaves sound behind the sizes that it wrote last.
    """
    further, end = 0, behind
    are_chunks = _are_chunks(stream, behind, total, order)
    for chunk, start, size, _ in _chunks(stream, behind, total, order):
        if not are_chunks and chunk not in _KNOWN:
            break
        end = min(start + size, total)
        further += end - start if chunk in (b"data", *WAV_MAGIC) else 0
    rest = _read(stream, end, _SEARCHED)
    is_tag = rest.startswith(_TAGS) or (rest.startswith(_SHORT_TAG) and len(rest) == _SHORT_TAG_SIZE)
    is_empty = not any(rest) and not any(_read(stream, max(end, total - _SEARCHED), _SEARCHED))
    return further, 0 if is_tag or is_empty or total - end <= _SLACK else total - end


def _are_chunks(stream: BufferedIOBase, at: int, total: int, order: str, failed: set[int] | None = None) -> bool:
    """Whether chunks, or none, lead from a byte to the end of the file; the last one may lack its pad byte.

    Chunks that do not lead there are added to ``failed``, so that of thousands of chunks each is followed once.
    """
    end, passed = at, set()
    for _, start, size, _ in _chunks(stream, at, total, order):
        if failed and start in failed:
            break
        passed.add(start)
        end = start + size
    else:
        if total in (end, end + 1, end - 1):
            return True
    if failed is not None:
        failed |= passed
    return False
