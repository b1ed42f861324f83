"""Depth maps as clouds of coloured points, for any viewer of PLY or GLB."""

import math
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Int, UInt8

from echodepth.core.errors import ConfigError

MOST_POINTS = 2**19
"""Of one cloud: a depth map of a 12-megapixel picture has no more detail than the network's own."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera, in pixels of its picture; the centre of the first pixel is (0, 0).

    Attributes:
        fx: focal length along a row.
        fy: focal length along a column.
        cx: column of the optical axis.
        cy: row of the optical axis.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if not (self.fx > 0 and self.fy > 0 and all(map(math.isfinite, (self.fx, self.fy, self.cx, self.cy)))):
            raise ConfigError(
                f"--intrinsics {self.fx:g} {self.fy:g} {self.cx:g} {self.cy:g}: fx and fy must be above 0"
            )

    @classmethod
    def from_fov(cls, degrees: float, size: tuple[int, int]) -> "Intrinsics":
        """A camera with square pixels that looks through the middle of its picture.

        Args:
            degrees: the horizontal field of view.
            size: height and width of the picture.

        Raises:
            ConfigError: no pinhole camera sees so far around.
        """
        if not 0 < degrees < 180:
            raise ConfigError(f"--fov {degrees:g}: give the horizontal field of view, from 0 to 180 degrees")
        height, width = size
        focal = width / 2 / math.tan(math.radians(degrees) / 2)
        return cls(focal, focal, (width - 1) / 2, (height - 1) / 2)


def require_trimesh() -> None:
    """Raise a ConfigError if the optional package that writes clouds is not installed."""
    if find_spec("trimesh") is None:
        raise ConfigError("--save ply and glb need trimesh: pip install 'echodepth[cloud]'")


def thinned(depth: Float[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " c"]]:
    """Rows and columns of a map that a cloud is made of: all, or every so many where there are too many."""
    step = math.ceil(math.sqrt(max(1.0, depth.size / MOST_POINTS)))
    rows, columns = (np.arange(min(step, side) // 2, side, step) for side in depth.shape)
    return rows, columns


def back_project(
    depth: Float[np.ndarray, "h w"],
    camera: Intrinsics,
    size: tuple[int, int],
    rows: Int[np.ndarray, " r"],
    columns: Int[np.ndarray, " c"],
) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, " n"]]:
    """Points of a depth map in the camera's own coordinates: x to the right, y down, z along the optical axis.

    Args:
        depth: metres along the optical axis, of the picture's whole field of view.
        camera: in pixels of the picture.
        size: height and width of the picture; the map may be smaller, and squeezed.
        rows: of the map that are used.
        columns: likewise.

    Returns:
        Metres, and for each point its place in the flattened [r, c]; a pixel without a depth makes none.
    """
    z = depth[np.ix_(rows, columns)].astype(np.float64)
    v = (rows + 0.5) * size[0] / depth.shape[0] - 0.5
    u = (columns + 0.5) * size[1] / depth.shape[1] - 0.5
    x, y = (u[None] - camera.cx) / camera.fx * z, (v[:, None] - camera.cy) / camera.fy * z
    known = np.flatnonzero(np.isfinite(z) & (z > 0))
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)[known], known


def encode_cloud(points: Float[np.ndarray, "n 3"], colours: UInt8[np.ndarray, "n 3"], kind: str) -> bytes:
    """A point cloud as a file's bytes.

    Args:
        points: metres, in the camera's coordinates.
        colours: of each point.
        kind: ``ply``, in the camera's coordinates; ``glb``, in glTF's, whose y points up and z to the viewer.
    """
    import trimesh

    turned = points * [1, -1, -1] if kind == "glb" else points
    cloud = trimesh.PointCloud(turned, colors=colours)
    encoded: bytes = trimesh.Scene([cloud]).export(file_type="glb") if kind == "glb" else cloud.export(file_type="ply")
    return encoded
