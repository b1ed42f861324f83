"""Depth as a stereo camera stores it: whole millimetres, and holes where its two eyes find no match."""

import numpy as np
from jaxtyping import Float, UInt16
from scipy.ndimage import zoom
from scipy.special import ndtr

from echodepth.simulate.camera.render import RenderedView, focal_lengths

_BASELINE = 0.12  # metres between the eyes of a Stereolabs ZED (its data sheet)
_GRAIN = (8, 32)  # ragged patches are made of noise with so many cells to a side
_ALWAYS = 0.04  # share that is missed anywhere
_FAR, _NOTHING = 8.0, 30.0  # metres: from here on matches fail more and more; here two in three do


def depth_as_measured(view: RenderedView, strength: float, rng: np.random.Generator) -> UInt16[np.ndarray, "h w"]:
    """Turn exact depth into what a stereo camera stores: whole millimetres, 0 where it finds none.

    It finds none where its second eye, to the right, sees something nearer in the way or nothing at all (left of
    near objects and of the image), and in ragged patches: rarely anywhere, often on glossy and on far surfaces. What
    it does find is exact.

    Args:
        view: what is there; depth at most 65 m.
        strength: scales the distance of the eyes and the chance of patches; 0 leaves every pixel.
        rng: draws the patches.
    """
    size = view.depth.shape[1]
    millimetres = np.round(1000 * view.depth).astype(np.uint16)
    roughness = _ragged(size, rng)
    if strength == 0:
        return millimetres
    seen_at = np.arange(size) - focal_lengths(size)[0] * _BASELINE * strength / view.depth
    right_neighbours = np.minimum.accumulate(seen_at[:, ::-1], axis=1)[:, ::-1]
    shadow = (seen_at > right_neighbours + 0.5) | (seen_at < 0)
    far = 0.65 * np.clip((view.depth - _FAR) / (_NOTHING - _FAR), 0, 1)
    chance = strength * (_ALWAYS + 0.7 * view.gloss + far)
    millimetres[shadow | (roughness < chance)] = 0
    return millimetres


def _ragged(size: int, rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Noise of two scales whose values are spread evenly over 0..1."""
    total = np.zeros((size, size), dtype=np.float32)
    for cells, weight in zip(_GRAIN, (1.0, 0.5), strict=True):
        coarse = rng.standard_normal((cells, cells), dtype=np.float32)
        total += weight * np.asarray(zoom(coarse, size / cells, order=1, grid_mode=True, mode="nearest"))[:size, :size]
    # A normal variable's place in its distribution is spread evenly.
    return np.asarray(ndtr((total - total.mean()) / total.std()))
