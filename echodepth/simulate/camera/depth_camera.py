"""Stereo depth camera: depth in whole millimetres, with holes where stereo matching fails."""

import numpy as np
from jaxtyping import Float, UInt16
from scipy.ndimage import zoom
from scipy.special import ndtr

from echodepth.simulate.camera.render import RenderedView, focal_lengths

_BASELINE = 0.12  # metres between the lenses of a Stereolabs ZED (its data sheet)
_GRAIN = (8, 32)  # cells per side of the two noise grids that shape the holes
_BASE_RATE = 0.04  # share of missing pixels on any surface
_FAR, _FARTHEST = 8.0, 30.0  # metres: the share of failed matches grows from 8 m on, to 65 % at 30 m


def measure_depth(view: RenderedView, strength: float, rng: np.random.Generator) -> UInt16[np.ndarray, "h w"]:
    """Convert exact depth to what a stereo camera stores: whole millimetres, 0 where matching fails.

    Matching fails where the second lens, to the right, sees an occluding surface or nothing (left of near objects and
    at the left border of the image), and in ragged patches: rarely on any surface, often on glossy and far ones.
    The remaining depth is exact.

    Args:
        view: rendered view; depth is at most 65 m.
        strength: scales the baseline and the probability of holes; 0 gives no holes.
        rng: draws the patches.
    """
    size = view.depth.shape[1]
    millimetres = np.round(1000 * view.depth).astype(np.uint16)
    threshold = _uniform_noise(size, rng)
    if strength == 0:
        return millimetres
    right_column = np.arange(size) - focal_lengths(size)[0] * _BASELINE * strength / view.depth
    nearest_to_right = np.minimum.accumulate(right_column[:, ::-1], axis=1)[:, ::-1]
    occluded = (right_column > nearest_to_right + 0.5) | (right_column < 0)
    far = 0.65 * np.clip((view.depth - _FAR) / (_FARTHEST - _FAR), 0, 1)
    probability = strength * (_BASE_RATE + 0.7 * view.gloss + far)
    millimetres[occluded | (threshold < probability)] = 0
    return millimetres


def _uniform_noise(size: int, rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Noise of two spatial scales whose values are uniformly distributed over 0..1."""
    total = np.zeros((size, size), dtype=np.float32)
    for cells, weight in zip(_GRAIN, (1.0, 0.5), strict=True):
        coarse = rng.standard_normal((cells, cells), dtype=np.float32)
        total += weight * np.asarray(zoom(coarse, size / cells, order=1, grid_mode=True, mode="nearest"))[:size, :size]
    # The normal distribution function maps normal values to uniform ones.
    return np.asarray(ndtr((total - total.mean()) / total.std()))
