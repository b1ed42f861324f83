"""The floor in a depth map: height and pitch of the camera."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from echodepth.core.field_of_view import FieldOfView
from echodepth.core.sampling import pixel_centres
from echodepth.data.images import DepthMap

_SIDE = 96  # pixels per side of the sampled map
_DRAWS = 400  # planes through three points: enough for a floor that covers a fifth of them
_FARTHEST = 8.0  # metres: beyond, depth cameras are inaccurate
_TILT = math.cos(math.radians(45))  # of the plane against the camera
_HEIGHTS = (0.05, 2.5)  # metres
_TOLERANCE, _PER_METRE = 0.01, 0.005  # metres, and share of the depth
_LEAST_SHARE, _LEAST_POINTS = 0.05, 60
_MOST_BELOW = 0.03  # share of the points that may lie below a floor: reflections, errors


class Floor(NamedTuple):
    """Place of a camera above a floor.

    Attributes:
        height: metres.
        pitch: degrees, positive downwards.
        roll: degrees, positive to the right.
    """

    height: float
    pitch: float
    roll: float


def fit_floor(depth: DepthMap, camera: FieldOfView) -> Floor | None:
    """Fit a plane to the floor by random sample consensus (Fischler and Bolles 1981), then by least squares.

    The floor is the plane below the camera with the most points on it and hardly any below it, so that neither a table
    top nor a step is taken for it.

    Args:
        depth: along the optical axis.
        camera: field of view of the whole map.

    Returns:
        None if less than a twentieth of the points lie on such a plane.
    """
    points = _points(depth, camera)
    low = points[points[:, 1] > 0]  # the floor is below the optical axis, unless the camera faces far upwards
    if low.shape[0] < _LEAST_POINTS:
        return None
    rng = np.random.default_rng(0)
    corners = low[rng.integers(low.shape[0], size=(_DRAWS, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    normals *= np.where(normals[:, 1:2] < 0, -1, 1)  # towards the floor
    distances = (normals * corners[:, 0]).sum(axis=1)
    plausible = (normals[:, 1] > _TILT) & (distances > _HEIGHTS[0]) & (distances < _HEIGHTS[1])
    normals, distances = normals[plausible], distances[plausible]
    if not distances.size:
        return None
    tolerance = _TOLERANCE + _PER_METRE * points[:, 2]
    beyond = points @ normals.T - distances
    on_plane = np.abs(beyond) < tolerance[:, None]
    below = (beyond > 4 * tolerance[:, None]).mean(axis=0)
    score = np.where(below <= _MOST_BELOW, on_plane.sum(axis=0), 0)
    best = int(score.argmax())
    if score[best] < max(_LEAST_POINTS, _LEAST_SHARE * points.shape[0]):
        return None
    return _refine(points, on_plane[:, best], tolerance)


def _refine(points: Float[np.ndarray, "n 3"], on_plane: np.ndarray, tolerance: Float[np.ndarray, " n"]) -> Floor:
    for _ in range(3):
        chosen = points[on_plane]
        centre = chosen.mean(axis=0)
        normal = np.linalg.svd(chosen - centre, full_matrices=False)[2][2]
        normal = normal if normal[1] > 0 else -normal
        distance = float(normal @ centre)
        on_plane = np.abs(points @ normal - distance) < tolerance
    right, down, forward = (float(value) for value in normal)
    return Floor(distance, math.degrees(math.asin(forward)), math.degrees(math.atan2(right, down)))


def _points(depth: DepthMap, camera: FieldOfView) -> Float[np.ndarray, "n 3"]:
    """Points to the right, downwards and forward of the camera, metres."""
    height, width = depth.metres.shape
    rows, columns = (pixel_centres(side, min(side, _SIDE)) for side in (height, width))
    fx, fy = camera.focal_lengths(width, height)
    metres = depth.metres[np.ix_(rows, columns)].astype(np.float64)
    across = (np.asarray(columns) + 0.5 - width / 2) / fx
    down = (np.asarray(rows) + 0.5 - height / 2) / fy
    points = np.stack([metres * across, metres * down[:, None], metres], axis=-1)
    usable: np.ndarray = points[depth.valid[np.ix_(rows, columns)] & (metres < _FARTHEST)]
    return usable
