"""Bounds of an image file, whatever its header says: bytes, tags, scans of a JPEG, and memory of its decoder."""

from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import STRIPBYTECOUNTS, STRIPOFFSETS, TILEBYTECOUNTS, TILEOFFSETS, ImageFileDirectory_v2

from echodepth.core.errors import DataError

MAX_BYTES = 2**27
"""Size of the largest image file, which decoders may hold several times."""
MAX_SCANS = 100
"""Scans of a JPEG, each of which passes over all pixels; encoders write about ten.

An image of 10 million pixels or more has at most 1e9 of them in all its scans, but may have 20 scans.
"""
MAX_DECODED_BYTES = 400_000_000
"""Memory of decoding an image, with one copy of it, which is turned or converted."""
MAX_TAG_BYTES = 2**24
"""Size of all tags of a TIFF file, or of EXIF data."""
MAX_STRIP_BYTES = 2**18
"""Size of a list of the parts of a TIFF file: at least 32,768 strips or tiles."""
_SCAN = b"\xff\xda"  # marker of JPEG, which its compressed data never hold
_STRIP_LISTS = (STRIPOFFSETS, STRIPBYTECOUNTS, TILEOFFSETS, TILEBYTECOUNTS)
_MB = 2**20


def bound_tags() -> None:
    """Have Pillow refuse tags, of a TIFF file or of EXIF data, before it holds more than ``MAX_TAG_BYTES`` of them.

    Any number of tags may share the same bytes, of which Pillow copies each tag's.
    """
    load = ImageFileDirectory_v2.load
    if hasattr(load, "__wrapped__"):
        return

    def bounded_load(directory: ImageFileDirectory_v2, stream: Any) -> None:
        load(directory, _BoundedReader(stream))  # type: ignore[arg-type]
        if any(len(directory._tagdata.get(tag, b"")) > MAX_STRIP_BYTES for tag in _STRIP_LISTS):
            raise LookupError("it consists of too many strips or tiles: save it again")

    bounded_load.__wrapped__ = load  # type: ignore[attr-defined]
    ImageFileDirectory_v2.load = bounded_load  # type: ignore[method-assign, assignment]


class _BoundedReader:
    """A stream of which at most ``MAX_TAG_BYTES`` are read.

    Beyond them it raises a LookupError: of other errors, Pillow takes some for data that it may ignore.
    """

    def __init__(self, stream: Any) -> None:
        self.seek = stream.seek
        self.tell = stream.tell
        self._read = stream.read
        self._left = MAX_TAG_BYTES

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise LookupError(f"its tags have more than {MAX_TAG_BYTES // _MB} MB: save it without them")
        data: bytes = self._read(size)
        return data


def check_file_size(size: int, name: str) -> None:
    """Raise a DataError if a file has more bytes than any image."""
    if size > MAX_BYTES:
        raise DataError(f"{name} has more than {MAX_BYTES // _MB} MB, which no image needs: save it again")


def check_stream(image: Image.Image, name: str) -> int:
    """Return the number of pixels that an image may have, so that its decoder needs little memory and time.

    Args:
        image: opened from a file.
        name: the file, for messages.

    Raises:
        DataError: the file decodes its pixels over and over, or has a decoder in Python.
    """
    decoder = image.tile[0].codec_name if image.tile else ""  # type: ignore[attr-defined]
    if decoder in Image.DECODERS:  # of Pillow's decoders, those in Python, which are slow
        raise DataError(f"{name} is a compressed BMP, or a PPM of text or of unusual depth: save it as PNG")
    if image.format == "WEBP":
        return _largest(30)  # Pillow's decoder of animations holds four copies
    if decoder == "libtiff":
        return _largest(16)  # of a single strip, compressed and not
    return _largest(_check_scans(image, name) if decoder == "jpeg" else 8)


def _largest(bytes_per_pixel: int | float) -> int:
    return int(MAX_DECODED_BYTES / bytes_per_pixel)


def _check_scans(image: Image.Image, name: str) -> int | float:
    """The bytes per pixel of decoding a JPEG; a DataError if it has too many scans."""
    stream = image.fp  # type: ignore[attr-defined]
    start = stream.tell()  # behind the header of the first scan
    stream.seek(max(0, start - 16))
    header = stream.read(16).rpartition(_SCAN)[2]
    stream.seek(0)
    scans, last = 0, b""
    while piece := stream.read(_MB):
        scans += (last + piece).count(_SCAN)
        last = piece[-1:]
    stream.seek(start)
    limit = max(20, min(MAX_SCANS, 10**9 // (image.width * image.height)))
    if scans > limit:
        raise DataError(f"{name} is a JPEG of {scans} scans, over the limit of {limit}: save it again")
    layers = [(across, down) for _, across, down, _ in image.layer]  # type: ignore[attr-defined]
    if not image.info.get("progressive") and header[2] == len(layers):
        return 8
    # Of more scans than one, the decoder holds all coefficients beside the image: with its buffers, 8/3 bytes of each.
    cells = max(across for across, _ in layers) * max(down for _, down in layers)
    coefficients: float = sum(across * down for across, down in layers) / cells
    return max(8, 4 + 8 / 3 * coefficients)
