"""What is written of a prediction: arrays, pictures, clouds of points, and a page of all."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image

from echodepth.core.atomic_io import atomic_write
from echodepth.data.images import to_rgb
from echodepth.inference.config import Kind
from echodepth.inference.point_cloud import Intrinsics, back_project, encode_cloud, thinned
from echodepth.inference.predictor import Estimate
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

FARTHEST_IN_PNG = 65.535
"""Metres: 16 bits of millimetres end here."""
ENDINGS: dict[Kind, str] = {"npy": ".npy", "png": ".png", "color": "_color.png", "ply": ".ply", "glb": ".glb"}
"""Of the files of one prediction; the sheet is of all."""
_DRAWN = 1024  # pixels: a drawing shows no more


@dataclass(frozen=True)
class Outputs:
    """Writes what is wanted of a prediction.

    Attributes:
        folder: where to.
        kinds: what.
        max_depth: metres; the model's.
        camera: the intrinsics of a picture of some height and width, for clouds.
        beside: draw the picture beside the depth.
    """

    folder: Path
    kinds: tuple[Kind, ...]
    max_depth: float
    camera: Callable[[tuple[int, int]], Intrinsics] | None = None
    beside: bool = False

    def paths(self, stem: Path) -> list[Path]:
        """The files of the depth, in the order of ``kinds``."""
        return [self._path(stem, "depth", kind) for kind in self.kinds if kind in ENDINGS]

    def are_there(self, stem: Path, sources: tuple[Path, ...]) -> bool:
        """Whether all files of the depth are there, and none of its sources has changed since."""
        paths = self.paths(stem)
        if not all(path.is_file() for path in paths):
            return False
        oldest = min((path.stat().st_mtime for path in paths), default=math.inf)
        return all(source.is_file() and source.stat().st_mtime <= oldest for source in sources)

    def write(self, stem: Path, estimate: Estimate, picture: Image.Image | None) -> list[Path]:
        """Write one prediction. The depth comes last: once it is there, so is all the rest.

        Args:
            stem: its place below ``folder``, without an ending.
            estimate: metres.
            picture: the RGB that shows the same, upright.

        Returns:
            The files written.

        Raises:
            DataError: the picture cannot be decoded.
        """
        written = []
        if estimate.uncertainty is not None:
            for kind in self.kinds:
                if kind in ("npy", "png", "color"):
                    path = self._path(stem, "uncertainty", kind)
                    self._write_map(
                        path, kind, estimate.uncertainty, lambda small: uncertainty_picture(small, stem.name)
                    )
                    written.append(path)
        for kind in self.kinds:
            if kind not in ENDINGS:
                continue
            path = self._path(stem, "depth", kind)
            if kind in ("ply", "glb"):
                encoded = self._cloud(kind, estimate.depth, picture, str(stem))
                with atomic_write(path) as unfinished:
                    unfinished.write_bytes(encoded)
            else:
                self._write_map(path, kind, estimate.depth, lambda small: self._drawn(small, picture, stem))
            written.append(path)
        return written

    def _path(self, stem: Path, what: str, kind: Kind) -> Path:
        return self.folder / stem.with_name(f"{stem.name}_{what}{ENDINGS[kind]}")

    def _write_map(
        self, path: Path, kind: Kind, metres: Float[np.ndarray, "h w"], draw: Callable[[np.ndarray], Figure]
    ) -> None:
        if kind == "color":
            save_figure(draw(_every_so_many(metres)), path)
            return
        with atomic_write(path) as unfinished, unfinished.open("wb") as file:
            if kind == "npy":
                np.save(file, metres.astype(np.float32))
            else:
                Image.fromarray(to_millimetres(metres)).save(file, format="PNG")

    def _drawn(self, depth: Float[np.ndarray, "h w"], picture: Image.Image | None, stem: Path) -> Figure:
        known = np.isfinite(depth)
        limit = display_limit(depth, known, self.max_depth)
        if picture is None or not self.beside:
            return depth_picture(depth, known, limit, stem.name)
        seen = _small(picture, str(stem))
        there = _stretched(depth, seen)
        row = [Panel("RGB", seen, "image"), Panel("depth", there, "depth", np.isfinite(there))]
        return picture_grid([row], limit, limit, stem.name)

    def _cloud(self, kind: Kind, depth: Float[np.ndarray, "h w"], picture: Image.Image | None, name: str) -> bytes:
        assert self.camera is not None
        if picture is None:
            known = np.isfinite(depth)
            picture = Image.fromarray(depth_to_rgb(depth, known, display_limit(depth, known, self.max_depth)))
        return coloured_cloud(kind, depth, picture, self.camera((picture.height, picture.width)), name)


def add_to_sheet(sheet: ContactSheet, name: str, estimate: Estimate, picture: Image.Image | None) -> None:
    """Add a prediction to the contact sheet, reduced to 256 pixels a side.

    Raises:
        DataError: the picture cannot be decoded.
    """
    depth = _every_so_many(estimate.depth, 256)
    if picture is None:
        sheet.add(name, depth)
        return
    image = _small(picture, name, 256)
    sheet.add(name, _stretched(depth, image), image)


def coloured_cloud(
    kind: Kind, depth: Float[np.ndarray, "h w"], picture: Image.Image, camera: Intrinsics, name: str
) -> bytes:
    """A depth map as a file of points in a picture's colours.

    Args:
        kind: ``ply`` or ``glb``.
        depth: metres; it may be smaller than the picture, and squeezed.
        picture: shows the same, upright.
        camera: in pixels of the picture.
        name: the picture's file, for the message.

    Raises:
        DataError: the picture cannot be decoded.
    """
    rows, columns = thinned(depth)
    points, known = back_project(depth, camera, (picture.height, picture.width), rows, columns)
    colours = np.asarray(to_rgb(picture, (len(columns), len(rows)), name))
    return encode_cloud(points, colours.reshape(-1, 3)[known], kind)


def to_millimetres(depth: Float[np.ndarray, "h w"]) -> np.ndarray:
    """Metres as uint16 millimetres, cut off at 65.535 m; what is no depth becomes 0, which readers take as unknown."""
    known = np.nan_to_num(depth.astype(np.float64), nan=0.0)
    rounded: np.ndarray = np.round(1000 * np.clip(known, 0, FARTHEST_IN_PNG)).astype(np.uint16)
    return rounded


def _every_so_many(metres: Float[np.ndarray, "h w"], most: int = _DRAWN) -> Float[np.ndarray, "h2 w2"]:
    step = math.ceil(max(metres.shape) / most)
    return metres[step // 2 :: step, step // 2 :: step] if min(metres.shape) > step else metres


def _stretched(metres: Float[np.ndarray, "h w"], seen: Float[np.ndarray, "h2 w2 3"]) -> Float[np.ndarray, "h2 w2"]:
    """A map in the shape of the picture that it was squeezed from, so that the two lie side by side alike."""
    rows, columns = (
        (2 * np.arange(shown) + 1) * side // (2 * shown)
        for shown, side in zip(seen.shape[:2], metres.shape, strict=True)
    )
    return metres[np.ix_(rows, columns)]


def _small(picture: Image.Image, name: str, most: int = _DRAWN) -> Float[np.ndarray, "h w 3"]:
    share = min(1.0, most / max(picture.size))
    width, height = (max(1, round(side * share)) for side in picture.size)
    rgb: UInt8[np.ndarray, "h w 3"] = np.asarray(to_rgb(picture, (width, height), name))
    return rgb / 255
