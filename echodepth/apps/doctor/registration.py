"""Registration of image and depth by the correlation of their edges.

Most depth edges coincide with image edges. Edges are second differences: of brightness, and of inverse depth, which is
linear over a plane, so that a slanted floor has no edges. The two edge maps, minus their local means, are correlated at
every shift up to a sixth of the side, for the image as it is and mirrored. The peak of a single frame is noisy; the
peak of the mean over the frames of a location lies at zero shift if image and depth are registered.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.fft import irfft2, rfft2
from scipy.ndimage import binary_erosion, gaussian_filter, laplace

from echodepth.data.images import DepthMap

SIDE = 64
"""Side of the compared maps in pixels, at most: finer edges cost time and do not improve the result."""
_BLUR = 2.0  # pixels, sigma of the local mean
_SHIFT_DIVISOR = 6  # the largest shift is the side divided by this


@dataclass(frozen=True)
class EdgeMatch:
    """Correlation of image and depth edges at each shift [down, right], zero shift in the middle.

    Attributes:
        straight: for the image as it is.
        mirrored: for the image flipped left to right.
    """

    straight: Float[np.ndarray, "s s"]
    mirrored: Float[np.ndarray, "s s"]


def side_of(depth: DepthMap) -> int:
    """Side in pixels at which image and depth are compared."""
    return min(SIDE, *(int(side) for side in depth.metres.shape))


def match_edges(image: Float[np.ndarray, "3 n n"], depth: DepthMap) -> EdgeMatch | None:
    """Correlate the edges of an image and a depth map of the same square size; None when either has no edges."""
    image_edges = _normalised(np.abs(np.stack([laplace(channel) for channel in image.astype(np.float64)])).sum(0))
    metres = np.where(depth.valid, depth.metres, 1.0)
    known = binary_erosion(depth.valid, np.ones((3, 3), dtype=bool), border_value=1)
    # The factor depth gives the edge of an object the same weight at any distance.
    depth_edges = _normalised(np.where(known, np.abs(laplace(1 / metres.astype(np.float64))) * metres, 0), known)
    if not image_edges.any() or not depth_edges.any():
        return None
    straight, mirrored = (_correlation(edges, depth_edges, known) for edges in (image_edges, image_edges[:, ::-1]))
    return EdgeMatch(straight, mirrored)


def _normalised(edges: Float[np.ndarray, "n n"], known: Bool[np.ndarray, "n n"] | None = None) -> np.ndarray:
    known = np.ones(edges.shape, dtype=bool) if known is None else known
    roots = np.where(known, np.sqrt(edges), 0)
    mean = gaussian_filter(roots, _BLUR) / (gaussian_filter(known.astype(np.float64), _BLUR) + 1e-6)
    return np.where(known, roots - mean, 0)


def _correlation(
    image_edges: Float[np.ndarray, "n n"], depth_edges: Float[np.ndarray, "n n"], known: Bool[np.ndarray, "n n"]
) -> Float[np.ndarray, "s s"]:
    """Correlation normalised by the overlap at each shift; an image shifted right peaks right of the middle."""
    side = image_edges.shape[0]
    size, largest = (2 * side, 2 * side), side // _SHIFT_DIVISOR

    def correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(irfft2(rfft2(a, size) * np.conj(rfft2(b, size)), size))

    power = correlate(image_edges**2, known.astype(np.float64)) * correlate(np.ones_like(image_edges), depth_edges**2)
    normalised = correlate(image_edges, depth_edges) / np.sqrt(np.maximum(power, 1e-12))
    window = slice(0, 2 * largest + 1)
    shifts: np.ndarray = np.roll(normalised, (largest, largest), (0, 1))[window, window].astype(np.float32)
    return shifts
