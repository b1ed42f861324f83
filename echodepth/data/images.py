"""Images and depth maps at the size of the network. torch is imported by bilinear resizing alone."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped
from PIL import Image, ImageOps, UnidentifiedImageError

from echodepth.core.errors import DataError
from echodepth.core.sampling import pixel_centres
from echodepth.data.arrays import LARGEST_ARRAY, read_array
from echodepth.data.depth_values import DepthMarker, to_metres
from echodepth.data.image_stream import MAX_DECODED_BYTES, bound_tags, check_file_size, check_stream
from echodepth.data.records import File, as_file

UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, LookupError, struct.error, zlib.error)
"""Exceptions that Pillow raises for damaged files."""

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""Formats that are opened, whatever a file's name says. Pillow knows others that start a program, such as EPS."""
MAX_PIXELS = MAX_DECODED_BYTES // 8
"""Pixels of the largest image that is opened; that of a decoder, or ``Image.MAX_IMAGE_PIXELS``, may be lower."""
MAX_SIDE = 65_535
"""Pixels of the longest side, which is JPEG's."""
MAX_DEPTH_PIXELS = LARGEST_ARRAY
"""Pixels of the largest depth map."""

_ORIENTATION = 0x0112  # EXIF tag

DepthResize = Literal["nearest", "bilinear", "bilinear_antialias"]


@dataclass(frozen=True)
class DepthMap:
    """A ground-truth depth map.

    Attributes:
        metres: depth along the optical axis; 0 where invalid.
        valid: mask of the measured pixels.
        marker: a large number in the file that stands for "nothing measured"; its pixels are invalid.
    """

    metres: Float[np.ndarray, "h w"]
    valid: Bool[np.ndarray, "h w"]
    marker: DepthMarker | None = None


def open_image(path: File) -> Image.Image:
    """Open an image of one of ``IMAGE_FORMATS``.

    Raises:
        DataError: the file is missing, is no such image, or exceeds the limit on the number of pixels.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns at its limit and raises at twice that; check_area applies the first limit alone.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            bound_tags()
            file = as_file(path)
            check_file_size(file.stat().st_size if isinstance(file, Path) else file.getbuffer().nbytes, str(path))
            image = Image.open(file, formats=IMAGE_FORMATS)
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large: {error}; scale it down first") from error
    except UnidentifiedImageError as error:
        listed = f"{', '.join(IMAGE_FORMATS[:-1])} or {IMAGE_FORMATS[-1]}"
        raise DataError(f"{path} cannot be read as an image: it is no {listed}") from error
    except UNDECODABLE as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error
    try:
        check_area(image, str(path), check_stream(image, str(path)))
    except BaseException:
        image.close()
        raise
    return image


def open_upright(path: Path) -> Image.Image:
    """Open an image and apply its EXIF orientation. Raises as ``open_image`` does."""
    with open_image(path) as image:
        return _turn_upright(image, str(path))


def exif_orientation(image: Image.Image, name: str) -> int:
    """The EXIF orientation of an opened image: 1 if its pixels are stored upright, 2 to 8 if turned or mirrored.

    Args:
        image: not loaded yet; Pillow applies and drops the orientation of a TIFF as it loads it.
        name: the image file, for messages.

    Raises:
        DataError: the EXIF data are damaged.
    """
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except UNDECODABLE as error:
        raise DataError(f"{name} cannot be decoded: {error}") from error
    return orientation if orientation in range(2, 9) else 1


def upright_size(image: Image.Image, name: str) -> tuple[int, int]:
    """Height and width of an opened image once it is upright; see ``exif_orientation``."""
    is_transposed = exif_orientation(image, name) >= 5 and image.format != "TIFF"
    return (image.width, image.height) if is_transposed else (image.height, image.width)


def _turn_upright(image: Image.Image, name: str) -> Image.Image:
    """Apply the EXIF orientation of an opened image in place."""
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except UNDECODABLE as error:
        raise DataError(f"{name} cannot be decoded: {error}") from error
    return image


def open_only_listed_formats() -> None:
    """Have libraries in this process, which open images on their own, open those of ``IMAGE_FORMATS`` only too."""
    Image.init()
    Image.ID[:] = [name for name in Image.ID if name in IMAGE_FORMATS]


def check_area(image: Image.Image, name: str, limit: int = MAX_PIXELS) -> None:
    """Raise a DataError if an image has more pixels than ``limit``, or than Pillow's ``Image.MAX_IMAGE_PIXELS``.

    So is a side that is longer than ``MAX_SIDE``.
    """
    limit = min(limit, Image.MAX_IMAGE_PIXELS or limit)
    if max(image.size) > MAX_SIDE:
        raise DataError(f"{name} is {image.width}x{image.height} pixels: no side may be longer than {MAX_SIDE}")
    if image.width * image.height > limit:
        raise DataError(
            f"{name} is {image.width}x{image.height} pixels, over the limit of {limit / 1e6:.0f} million: "
            "scale it down first"
        )


def read_image(path: File, size: int) -> Float[np.ndarray, "3 {size} {size}"]:
    """Read an RGB image, apply its EXIF orientation, and resize it to a square with antialiasing.

    Args:
        path: an image with 8 bits per channel.
        size: side of the square in pixels.

    Returns:
        RGB in 0..1, float32.

    Raises:
        DataError: the image is unreadable, truncated, or has 16-bit or floating-point pixels.
    """
    with open_image(path) as image:
        return to_square(image, size, str(path))


def to_square(image: Image.Image, size: int, name: str) -> Float[np.ndarray, "3 {size} {size}"]:
    """Apply the EXIF orientation of an opened image and resize it to a square with antialiasing.

    The whole field of view is kept and the aspect ratio is not, as in BatVision's own code.

    Args:
        image: an image with 8 bits per channel. It is changed: turned, and a JPEG decoded at reduced size.
        size: side of the square in pixels.
        name: the image file, for messages.

    Returns:
        RGB in 0..1, float32.

    Raises:
        DataError: the image is truncated, or has 16-bit or floating-point pixels.
    """
    # The JPEG decoder halves large images on the way: 2.5 times faster, at a PSNR of 49 dB. This only sets it up.
    image.draft("RGB", (size, size))
    square = to_rgb(_turn_upright(image, name), (size, size), name)
    return np.ascontiguousarray(np.asarray(square, dtype=np.float32).transpose(2, 0, 1) / 255)


def to_rgb(image: Image.Image, size: tuple[int, int], name: str) -> Image.Image:
    """Convert an opened image to 8-bit RGB of another size, with antialiasing.

    Args:
        image: an image with 8 bits per channel, of any mode.
        size: width and height in pixels.
        name: the image file, for messages.

    Raises:
        DataError: the image is truncated, or has 16-bit or floating-point pixels.
    """
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{name} holds {image.mode} pixels, as depth maps do: a colour image is expected")
    try:
        # Conversion would copy an image that is RGB already.
        return (image if image.mode == "RGB" else image.convert("RGB")).resize(size, Image.Resampling.BILINEAR)
    except UNDECODABLE as error:
        raise DataError(f"{name} cannot be decoded: {error}") from error


def read_stored_depth(path: Path) -> Shaped[np.ndarray, "..."]:
    """The values of a depth map as they are stored, in whatever unit: of a ``.npy``, or of an image.

    Raises:
        DataError: it is unreadable, too large, or of a format that is not opened.
        Exception: one of ``UNDECODABLE``: the image is damaged.
    """
    if path.suffix == ".npy":
        return read_array(path)
    with open_image(path) as image:
        check_area(image, str(path), MAX_DEPTH_PIXELS)
        return np.asarray(image)


def read_depth_array(path: File) -> DepthMap:
    """Read a depth map in millimetres from a NumPy file; see ``to_metres`` for what is invalid.

    Args:
        path: a two-dimensional ``.npy`` of integers or floats.

    Returns:
        The map in metres.

    Raises:
        DataError: the file is unreadable, has another shape or type, or is in another unit than millimetres.
    """
    remedy = "millimetres are expected; is it in metres? `echodepth convert --depth_unit m` converts it"
    return DepthMap(*to_metres(read_array(path), 1000.0, str(path), remedy))


def read_depth_image(path: File, units: int | float) -> DepthMap:
    """Read a 16-bit depth image; see ``to_metres`` for what is invalid.

    Args:
        path: a one-channel 16-bit PNG.
        units: stored units per metre: 5000 for TUM, 1000 for millimetres.

    Returns:
        The map in metres.

    Raises:
        DataError: the file is unreadable, truncated, not a 16-bit image, or in another unit.
    """
    with open_image(path) as image:
        if not image.mode.startswith("I"):
            raise DataError(f"{path} holds {image.mode} pixels: depth is a one-channel 16-bit PNG")
        check_area(image, str(path), MAX_DEPTH_PIXELS)
        try:
            stored = np.asarray(image)
        except UNDECODABLE as error:
            raise DataError(f"{path} cannot be decoded: {error}") from error
    return DepthMap(*to_metres(stored, units, str(path), "give its units per metre with --depth_scale"))


def resize_depth(depth: DepthMap, size: int, max_depth: float, method: DepthResize = "nearest") -> DepthMap:
    """Clip depth at ``max_depth`` and resize it to a square, together with its mask.

    Clipped pixels stay valid, as in BatVision's own code.

    ``nearest`` takes the source pixel at each target pixel's centre, so that every value was measured.
    Both other methods repeat published code: torchvision's resizing of tensors, over the map including its invalid
    zeros; pixels above 0 are valid. ``bilinear`` interpolates without antialiasing, the default until torchvision 0.16,
    and ``bilinear_antialias`` with it, the default since 0.17. The zeros shift edges by up to metres, and these pixels
    count as measured: both methods only serve comparison with published figures.

    Args:
        depth: the map as measured.
        size: side of the square in pixels.
        max_depth: metres.
        method: ``nearest``, ``bilinear`` or ``bilinear_antialias``.

    Returns:
        The square map, float32.
    """
    clipped = np.minimum(depth.metres, np.float32(max_depth))
    if method == "nearest":
        rows, columns = (pixel_centres(side, size) for side in clipped.shape)
        return DepthMap(clipped[np.ix_(rows, columns)], depth.valid[np.ix_(rows, columns)])
    import torch
    import torch.nn.functional as F

    antialias = method == "bilinear_antialias"
    maps = torch.from_numpy(clipped)[None, None]
    square = F.interpolate(maps, (size, size), mode="bilinear", antialias=antialias)[0, 0].numpy()
    return DepthMap(square, square > 0)
