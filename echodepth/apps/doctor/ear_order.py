"""Do the ears and the depth map agree on where left is?

What is near on the left sends its echo to the left ear first of all, and louder. So the depth map foretells, for each
stretch of distance, which ear hears more: ``expected`` is the mean sine of the directions (left positive) in which
something lies at that distance. ``heard`` is the logarithm of the ears' energies' ratio in the same stretch, above
5 kHz, where the head casts a shadow. A frame's agreement is the correlation of the two over distance, weighted by how
much of the view lies there. Noise in one frame, it is sure over many: in simulated rooms 0.9 standard deviations above
zero, so that 20 frames give t = 4. It is negative where the ears are swapped, or where the depth is mirrored.
"""

from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.signal import butter, sosfiltfilt

from echodepth.core.constants import SAMPLE_RATE, SPEED_OF_SOUND
from echodepth.data.records import DepthMap

EDGES = np.arange(0.75, 12.0, 1.0)
"""Metres: the stretches' ends. Nearer, the direct sound drowns the echoes; farther, they drown in reverberation."""
_TANGENTS = np.tan(np.radians((86 / 2, 57 / 2)))  # of half the view of BatVision V2's camera; others differ little
_SHADOW = (5000.0, 18000.0)  # Hz
_SILENCE = 1e-20  # keeps the logarithm of silence finite


@cache
def _shadow_band() -> Float[np.ndarray, "sections 6"]:
    return np.asarray(butter(4, _SHADOW, "bandpass", fs=SAMPLE_RATE, output="sos"))


def expected_sides(depth: DepthMap) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """To which side the view lies at each distance, and how much of it lies there.

    Returns:
        The mean sine of the azimuth, left positive, and the share of the view, nearer surfaces counting more.
    """
    height, width = depth.metres.shape
    across = (2 * (np.arange(width) + 0.5) / width - 1) * _TANGENTS[0]
    upward = (2 * (np.arange(height) + 0.5) / height - 1) * _TANGENTS[1]
    ways = depth.metres * np.sqrt(1 + across**2 + upward[:, None] ** 2)
    stretch = np.digitize(ways, EDGES) - 1
    counted = depth.valid & (stretch >= 0) & (stretch < EDGES.size - 1)
    left = np.broadcast_to(-across / np.sqrt(1 + across**2), ways.shape)
    weight = 1 / np.maximum(depth.metres[counted], 0.3) ** 2
    total = np.bincount(stretch[counted], weight, EDGES.size - 1)
    side = np.bincount(stretch[counted], weight * left[counted], EDGES.size - 1)
    return side / np.maximum(total, 1e-9), total / max(total.sum(), 1e-9)


def heard_sides(audio: Float[np.ndarray, "2 t"], onset: int) -> Float[np.ndarray, " n"]:
    """The logarithm of left over right energy in each stretch of distance; NaN beyond the recording's end."""
    energy = np.cumsum(sosfiltfilt(_shadow_band(), audio) ** 2, axis=1)
    bounds = onset + np.round(2 * EDGES / SPEED_OF_SOUND * SAMPLE_RATE).astype(int)
    inside = bounds < audio.shape[1]
    at = energy[:, np.minimum(bounds, audio.shape[1] - 1)]
    left, right = np.diff(at, axis=1) + _SILENCE
    sides: np.ndarray = np.where(inside[1:], np.log(left / right), np.nan)
    return sides


def agreements(
    heard: Float[np.ndarray, "rows n"], expected: Float[np.ndarray, "rows n"], share: Float[np.ndarray, "rows n"]
) -> Float[np.ndarray, " rows"]:
    """Correlation over distance of what is heard and what the depth foretells, for each row; 0 where there is none.

    A louder channel or a skewed loudspeaker is the same in every row, so the rows' median is taken off first.
    """
    centred = np.nan_to_num(heard - np.nanmedian(heard, axis=0))
    weight = np.sqrt(share)
    both = (centred * expected * weight).sum(1)
    norm = np.sqrt((centred**2 * weight).sum(1) * (expected**2 * weight).sum(1))
    found: np.ndarray = both / np.maximum(norm, 1e-12)
    return found
