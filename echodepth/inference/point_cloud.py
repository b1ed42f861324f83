"""Coloured point clouds from depth maps, as PLY or GLB."""

import math
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Int, UInt8

from echodepth.core.errors import ConfigError
from echodepth.core.field_of_view import FieldOfView

MAX_POINTS = 2**19
"""Points of one cloud: the depth map of a 12-megapixel image has no more detail than the network's output."""


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole camera, in pixels of its image; the centre of the first pixel is (0, 0).

    Attributes:
        fx: horizontal focal length.
        fy: vertical focal length.
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
    def from_field_of_view(cls, field_of_view: FieldOfView, size: tuple[int, int]) -> "Intrinsics":
        """A camera whose optical axis passes through the centre of its image.

        Args:
            field_of_view: both angles; in an image that was resized to a square, they give pixels that are not square.
            size: height and width of the image, in pixels.
        """
        height, width = size
        return cls(*field_of_view.focal_lengths(width, height), (width - 1) / 2, (height - 1) / 2)


def require_trimesh() -> None:
    """Raise a ConfigError if trimesh, the optional package that writes point clouds, is not installed."""
    if find_spec("trimesh") is None:
        raise ConfigError("--save ply and glb need trimesh: pip install 'echodepth[cloud]'")


def point_grid(depth: Float[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " c"]]:
    """Rows and columns of a depth map that become points: all, or every n-th if there are more than ``MAX_POINTS``."""
    step = math.ceil(math.sqrt(max(1.0, depth.size / MAX_POINTS)))
    rows, columns = (np.arange(min(step, side) // 2, side, step) for side in depth.shape)
    return rows, columns


def back_project(
    depth: Float[np.ndarray, "h w"],
    camera: Intrinsics,
    size: tuple[int, int],
    rows: Int[np.ndarray, " r"],
    columns: Int[np.ndarray, " c"],
) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, " n"]]:
    """Back-project a depth map to points in camera coordinates: x right, y down, z along the optical axis.

    Args:
        depth: metres along the optical axis, over the whole field of view of the image.
        camera: intrinsics in pixels of the image.
        size: height and width of the image, in pixels; the map may have another size and aspect ratio.
        rows: rows of the map that become points.
        columns: columns of the map that become points.

    Returns:
        Points in metres, and the index of each in the flattened [r, c] grid. Pixels without depth have no point.
    """
    z = depth[np.ix_(rows, columns)].astype(np.float64)
    v = (rows + 0.5) * size[0] / depth.shape[0] - 0.5
    u = (columns + 0.5) * size[1] / depth.shape[1] - 0.5
    x, y = (u[None] - camera.cx) / camera.fx * z, (v[:, None] - camera.cy) / camera.fy * z
    valid = np.flatnonzero(np.isfinite(z) & (z > 0))
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)[valid], valid


def encode_point_cloud(points: Float[np.ndarray, "n 3"], colours: UInt8[np.ndarray, "n 3"], format: str) -> bytes:
    """Encode a point cloud as a file.

    Args:
        points: metres, in camera coordinates.
        colours: RGB of each point.
        format: ``ply``, which keeps camera coordinates, or ``glb``, whose y axis points up and z axis to the viewer.
    """
    import trimesh

    converted = points * [1, -1, -1] if format == "glb" else points
    cloud = trimesh.PointCloud(converted, colors=colours)
    exported = trimesh.Scene([cloud]) if format == "glb" else cloud
    encoded: bytes = exported.export(file_type=format)
    return encoded
