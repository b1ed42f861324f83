"""Bounds of an image file, whatever its header says: bytes, and scans of a progressive JPEG."""

from os import SEEK_END

from PIL import Image

from echodepth.core.errors import DataError

MAX_BYTES = 2**29
"""Size of the largest image file: uncompressed, with 8 bytes per pixel, it has fewer."""
MAX_SCANS = 100
"""Scans of a progressive JPEG, each of which passes over all pixels; encoders write about ten.

An image of 10 million pixels or more has at most 1e9 of them in all its scans, but may have 20 scans.
"""
_SCAN = b"\xff\xda"  # marker of JPEG, which its compressed data never hold


def check_stream(image: Image.Image, name: str) -> None:
    """Raise a DataError if the file is larger than any image, or decodes its pixels over and over."""
    stream = getattr(image, "fp", None)  # an image of memory has none
    if stream is None:
        return
    start = stream.tell()
    if stream.seek(0, SEEK_END) > MAX_BYTES:
        raise DataError(f"{name} has more than {MAX_BYTES >> 20} MB, which no image needs: save it again")
    if image.info.get("progressive"):
        stream.seek(0)
        scans, last = 0, b""
        while piece := stream.read(2**20):
            scans += (last + piece).count(_SCAN)
            last = piece[-1:]
        limit = max(20, min(MAX_SCANS, 10**9 // (image.width * image.height)))
        if scans > limit:
            raise DataError(f"{name} is a JPEG of {scans} scans, over the limit of {limit}: save it again")
    stream.seek(start)
