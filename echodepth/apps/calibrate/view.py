"""Description of a depth map by what the level of the first echoes depends on."""

import math

import numpy as np
from jaxtyping import Float

from echodepth.core.field_of_view import FieldOfView
from echodepth.data.images import DepthMap

_QUANTILES = (0.1, 0.5, 0.9)
_LEAST_SHARE = 0.01  # of the view


def describe_view(depth: DepthMap, camera: FieldOfView, crop: FieldOfView) -> Float[np.ndarray, " 5"] | None:
    """What the level of the first echoes depends on, in the visible part of a room.

    Args:
        depth: along the optical axis.
        camera: field of view of the whole map.
        crop: field of view that is described.

    Returns:
        Logarithms of the mean of distance**-2, of the mean distance, and of the distance's 10, 50 and 90 % quantiles,
        all over the solid angle; None if less than a hundredth of the view has a depth.
    """
    height, width = depth.metres.shape
    (tangent_x, tangent_y), (crop_x, crop_y) = (
        [math.tan(math.radians(angle) / 2) for angle in view.degrees] for view in (camera, crop)
    )
    across = (2 * (np.arange(width) + 0.5) / width - 1) * tangent_x
    down = ((2 * (np.arange(height) + 0.5) / height - 1) * tangent_y)[:, None]
    stretch = np.sqrt(1 + across**2 + down**2)
    inside = (np.abs(across) <= crop_x) & (np.abs(down) <= crop_y)
    used = inside & depth.valid
    if used.sum() < _LEAST_SHARE * inside.sum():
        return None
    distance, weight = (depth.metres * stretch)[used], stretch[used] ** -3
    weight /= weight.sum()
    order = np.argsort(distance)
    at = np.searchsorted(np.cumsum(weight[order]), _QUANTILES).clip(max=distance.size - 1)
    values = [(weight / distance**2).sum(), (weight * distance).sum(), *distance[order][at]]
    return np.asarray(np.log(values))
