"""Output files of a prediction: arrays, images, point clouds and the contact sheet."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image

from echodepth.core.atomic_io import atomic_write
from echodepth.core.sampling import pixel_centres
from echodepth.data.images import to_rgb
from echodepth.inference.config import OutputFormat
from echodepth.inference.estimate import Estimate
from echodepth.inference.point_cloud import Intrinsics, back_project, encode_point_cloud, point_grid
from echodepth.report.contact_sheet import ContactSheet
from echodepth.report.figures import (
    Panel,
    depth_picture,
    depth_to_rgb,
    display_limit,
    picture_grid,
    save_figure,
    uncertainty_picture,
)

MAX_PNG_DEPTH = 65.535
"""Metres: the largest number of millimetres in 16 bits."""
ENDINGS: dict[OutputFormat, str] = {"npy": ".npy", "png": ".png", "color": "_color.png", "ply": ".ply", "glb": ".glb"}
"""File name endings of one prediction; the contact sheet shows all predictions."""
_MAP_FORMATS = ("npy", "png", "color")
_MAX_DRAWN_SIDE = 1024  # pixels: a figure shows no more
_SHEET_SIDE = 256  # pixels


@dataclass(frozen=True)
class OutputWriter:
    """Writes the output files of predictions.

    Attributes:
        folder: output folder.
        formats: formats to write.
        max_depth: the model's upper end of the prediction, in metres.
        camera: returns the intrinsics of an image of a given height and width, for point clouds.
        show_image: draw the RGB image beside the depth map.
    """

    folder: Path
    formats: tuple[OutputFormat, ...]
    max_depth: float
    camera: Callable[[tuple[int, int]], Intrinsics] | None = None
    show_image: bool = False

    def depth_paths(self, stem: Path) -> dict[Path, OutputFormat]:
        """Depth files of one prediction with their formats, in the order of ``formats``."""
        return {self._path(stem, "depth", format): format for format in self.formats if format in ENDINGS}

    def uncertainty_paths(self, stem: Path) -> dict[Path, OutputFormat]:
        """Uncertainty files of one prediction with their formats."""
        return {self._path(stem, "uncertainty", format): format for format in self.formats if format in _MAP_FORMATS}

    def write(self, stem: Path, estimate: Estimate, image: Image.Image | None) -> list[Path]:
        """Write one prediction. Depth files come last, so that their presence shows that the prediction is complete.

        Args:
            stem: path of the files relative to ``folder``, without an ending.
            estimate: the prediction, in metres.
            image: RGB image of the same view, upright.

        Returns:
            The files written.

        Raises:
            DataError: the image cannot be decoded, or is not of the camera of the point cloud.
        """
        intrinsics = self._intrinsics(estimate.depth, image)
        written = []
        if estimate.uncertainty is not None:
            for path, format in self.uncertainty_paths(stem).items():
                draw = functools.partial(uncertainty_picture, title=stem.name)
                self._write_map(path, format, estimate.uncertainty, draw)
                written.append(path)
        for path, format in self.depth_paths(stem).items():
            if format in ("ply", "glb"):
                assert intrinsics is not None
                encoded = self._point_cloud(format, estimate.depth, image, intrinsics, str(stem))
                with atomic_write(path) as unfinished:
                    unfinished.write_bytes(encoded)
            else:
                self._write_map(path, format, estimate.depth, lambda small: self._draw_depth(small, image, stem))
            written.append(path)
        return written

    def _path(self, stem: Path, quantity: str, format: OutputFormat) -> Path:
        return self.folder / stem.with_name(f"{stem.name}_{quantity}{ENDINGS[format]}")

    def _write_map(
        self, path: Path, format: OutputFormat, metres: Float[np.ndarray, "h w"], draw: Callable[[np.ndarray], Figure]
    ) -> None:
        if format == "color":
            save_figure(draw(subsample(metres, _MAX_DRAWN_SIDE)), path)
            return
        with atomic_write(path) as unfinished, unfinished.open("wb") as file:
            if format == "npy":
                np.save(file, metres.astype(np.float32))
            else:
                Image.fromarray(to_millimetres(metres)).save(file, format="PNG")

    def _draw_depth(self, depth: Float[np.ndarray, "h w"], image: Image.Image | None, stem: Path) -> Figure:
        finite = np.isfinite(depth)
        limit = display_limit(depth, finite, self.max_depth)
        if image is None or not self.show_image:
            return depth_picture(depth, finite, limit, stem.name)
        rgb = _shrink(image, str(stem), _MAX_DRAWN_SIDE)
        stretched = _stretch(depth, rgb)
        row = [Panel("RGB", rgb, "image"), Panel("depth", stretched, "depth", np.isfinite(stretched))]
        return picture_grid([row], limit, limit, stem.name)

    def _intrinsics(self, depth: Float[np.ndarray, "h w"], image: Image.Image | None) -> Intrinsics | None:
        if self.camera is None:
            return None
        return self.camera(depth.shape if image is None else (image.height, image.width))

    def _point_cloud(
        self,
        format: OutputFormat,
        depth: Float[np.ndarray, "h w"],
        image: Image.Image | None,
        camera: Intrinsics,
        name: str,
    ) -> bytes:
        if image is None:
            finite = np.isfinite(depth)
            image = Image.fromarray(depth_to_rgb(depth, finite, display_limit(depth, finite, self.max_depth)))
        return point_cloud_file(format, depth, image, camera, name)


def add_to_sheet(sheet: ContactSheet, name: str, estimate: Estimate, image: Image.Image | None) -> None:
    """Add a prediction to the contact sheet, reduced to 256 pixels a side.

    Raises:
        DataError: the image cannot be decoded.
    """
    depth = subsample(estimate.depth, _SHEET_SIDE)
    if image is None:
        sheet.add(name, depth)
        return
    rgb = _shrink(image, name, _SHEET_SIDE)
    sheet.add(name, _stretch(depth, rgb), rgb)


def point_cloud_file(
    format: OutputFormat, depth: Float[np.ndarray, "h w"], image: Image.Image, camera: Intrinsics, name: str
) -> bytes:
    """Encode a depth map as a point cloud in the colours of an image.

    Args:
        format: ``ply`` or ``glb``.
        depth: metres; the map may be smaller than the image and of another aspect ratio.
        image: RGB image of the same view, upright.
        camera: intrinsics in pixels of the image.
        name: name of the image, for error messages.

    Raises:
        DataError: the image cannot be decoded.
    """
    rows, columns = point_grid(depth)
    points, valid = back_project(depth, camera, (image.height, image.width), rows, columns)
    colours = np.asarray(to_rgb(image, (len(columns), len(rows)), name))
    return encode_point_cloud(points, colours.reshape(-1, 3)[valid], format)


def to_millimetres(depth: Float[np.ndarray, "h w"]) -> np.ndarray:
    """Convert metres to uint16 millimetres, clipped at 65.535 m; NaN and negative values become 0, which is unknown."""
    millimetres = np.empty(depth.shape, np.uint16)
    for row, line in zip(depth, millimetres, strict=True):  # in double precision, a large map as a whole takes 134 MB
        line[...] = np.round(1000 * np.clip(np.nan_to_num(row.astype(np.float64), nan=0.0), 0, MAX_PNG_DEPTH))
    return millimetres


def subsample(metres: Float[np.ndarray, "h w"], max_side: int) -> Float[np.ndarray, "h2 w2"]:
    """Every n-th row and column of a map, so that no side is longer."""
    step = math.ceil(max(metres.shape) / max_side)
    return metres[step // 2 :: step, step // 2 :: step] if min(metres.shape) > step else metres


def _stretch(metres: Float[np.ndarray, "h w"], rgb: Float[np.ndarray, "h2 w2 3"]) -> Float[np.ndarray, "h2 w2"]:
    """Resample a map to the size of the image that it was resized from."""
    rows, columns = (pixel_centres(side, shown) for side, shown in zip(metres.shape, rgb.shape[:2], strict=True))
    stretched: Float[np.ndarray, "h2 w2"] = metres[np.ix_(rows, columns)]
    return stretched


def _shrink(image: Image.Image, name: str, max_side: int) -> Float[np.ndarray, "h w 3"]:
    scale = min(1.0, max_side / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    rgb: UInt8[np.ndarray, "h w 3"] = np.asarray(to_rgb(image, (width, height), name))
    return rgb / 255
