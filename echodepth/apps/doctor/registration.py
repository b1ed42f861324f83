"""Do picture and depth show the same view, pixel by pixel?

Where depth has an edge the picture mostly has one too. Edges are the second differences: of brightness, and of inverse
depth, which is linear over any plane, so that a floor seen at a slant counts for nothing. The two edge maps, less their
local mean, are correlated at every shift up to a sixth of the side, and once more with the picture mirrored. One
frame's peak may lie anywhere; over the frames of a location it lies at no shift, or they are not registered.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.fft import irfft2, rfft2
from scipy.ndimage import binary_erosion, gaussian_filter, laplace

from echodepth.data.records import DepthMap

SIDE = 64
"""Pixels at which views are compared, or the smaller side of the maps: finer edges do not help, and cost."""
_BLUR = 2.0  # pixels of the local mean
_REACH = 6  # the farthest shift is this part of the side


@dataclass(frozen=True)
class EdgeMatch:
    """Correlation of a picture's edges with its depth's at each shift [down, right], no shift in the middle.

    Attributes:
        straight: of the picture as it is.
        mirrored: of the picture exchanged left for right.
    """

    straight: Float[np.ndarray, "s s"]
    mirrored: Float[np.ndarray, "s s"]


def side_of(depth: DepthMap) -> int:
    """The side at which the view is compared."""
    return min(SIDE, *(int(side) for side in depth.metres.shape))


def match_edges(image: Float[np.ndarray, "3 n n"], depth: DepthMap) -> EdgeMatch | None:
    """Compare a picture with the depth map that was resized to the same square; None when either has no edges."""
    seen = _sharpened(np.abs(np.stack([laplace(channel) for channel in image.astype(np.float64)])).sum(0))
    metres = np.where(depth.valid, depth.metres, 1.0)
    known = binary_erosion(depth.valid, np.ones((3, 3), dtype=bool), border_value=1)
    # Times depth: the same object's edge counts alike near and far.
    felt = _sharpened(np.where(known, np.abs(laplace(1 / metres.astype(np.float64))) * metres, 0), known)
    if not seen.any() or not felt.any():
        return None
    return EdgeMatch(_correlation(seen, felt, known), _correlation(seen[:, ::-1], felt, known))


def _sharpened(edges: Float[np.ndarray, "n n"], known: Bool[np.ndarray, "n n"] | None = None) -> np.ndarray:
    known = np.ones(edges.shape, dtype=bool) if known is None else known
    roots = np.where(known, np.sqrt(edges), 0)
    mean = gaussian_filter(roots, _BLUR) / (gaussian_filter(known.astype(np.float64), _BLUR) + 1e-6)
    return np.where(known, roots - mean, 0)


def _correlation(
    seen: Float[np.ndarray, "n n"], felt: Float[np.ndarray, "n n"], known: Bool[np.ndarray, "n n"]
) -> Float[np.ndarray, "s s"]:
    """Normalised at each shift by what overlaps there. A picture moved right of its depth peaks right of the middle."""
    side = seen.shape[0]
    size, reach = (2 * side, 2 * side), side // _REACH

    def across(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(irfft2(rfft2(a, size) * np.conj(rfft2(b, size)), size))

    power = across(seen**2, known.astype(np.float64)) * across(np.ones_like(seen), felt**2)
    matched = across(seen, felt) / np.sqrt(np.maximum(power, 1e-12))
    near: np.ndarray = np.roll(matched, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1].astype(np.float32)
    return near
