"""Agreement of the binaural level differences with the depth map, which detects swapped ears.

A near surface on the left returns its echo first and louder to the left ear. The depth map therefore predicts, for
each distance bin, the sign of the interaural level difference (ILD): the *laterality* is the mean sine of the azimuths
(left positive) of the surfaces at that distance. The ILD is the log ratio of left to right energy in the same bin,
above 5 kHz, where the head casts an acoustic shadow. The agreement of a frame is the correlation of the two over
distance, weighted by the share of the view at each distance. It is noisy for one frame and reliable over many: in
simulated rooms its mean lies 0.7 standard deviations above zero, so 20 frames give t = 3. It is negative where the
ears are swapped or the depth is mirrored.
"""

from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.signal import butter, sosfiltfilt

from echodepth.core.constants import SAMPLE_RATE, SPEED_OF_SOUND
from echodepth.data.images import DepthMap

EDGES = np.arange(0.75, 12.0, 1.0)
"""Edges of the distance bins in metres. Nearer, the direct sound masks the echoes; farther, reverberation does."""
_TANGENTS = np.tan(np.radians((86 / 2, 57 / 2)))  # half the view of BatVision V2's camera; other cameras differ little
_SHADOW_BAND = (5000.0, 18000.0)  # Hz
_ENERGY_FLOOR = 1e-20  # keeps the logarithm of silence finite


@cache
def _shadow_filter() -> Float[np.ndarray, "sections 6"]:
    return np.asarray(butter(4, _SHADOW_BAND, "bandpass", fs=SAMPLE_RATE, output="sos"))


def laterality(depth: DepthMap) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Mean direction of the surfaces in each distance bin, and the bin's share of the view.

    Returns:
        The mean sine of the azimuth, left positive, and the share of the view, nearer surfaces weighted more.
    """
    height, width = depth.metres.shape
    right = (2 * (np.arange(width) + 0.5) / width - 1) * _TANGENTS[0]
    up = (2 * (np.arange(height) + 0.5) / height - 1) * _TANGENTS[1]
    distance = depth.metres * np.sqrt(1 + right**2 + up[:, None] ** 2)
    index = np.digitize(distance, EDGES) - 1
    counted = depth.valid & (index >= 0) & (index < EDGES.size - 1)
    sine = np.broadcast_to(-right / np.sqrt(1 + right**2), distance.shape)
    weight = 1 / np.maximum(depth.metres[counted], 0.3) ** 2
    total = np.bincount(index[counted], weight, EDGES.size - 1)
    weighted = np.bincount(index[counted], weight * sine[counted], EDGES.size - 1)
    return weighted / np.maximum(total, 1e-9), total / max(total.sum(), 1e-9)


def level_differences(audio: Float[np.ndarray, "2 t"], onset: int) -> Float[np.ndarray, " n"]:
    """Log ratio of left to right energy in each distance bin; NaN beyond the end of the recording."""
    energy = np.cumsum(sosfiltfilt(_shadow_filter(), audio) ** 2, axis=1)
    bounds = onset + np.round(2 * EDGES / SPEED_OF_SOUND * SAMPLE_RATE).astype(int)
    inside = bounds < audio.shape[1]
    cumulative = energy[:, np.minimum(bounds, audio.shape[1] - 1)]
    left, right = np.diff(cumulative, axis=1) + _ENERGY_FLOOR
    differences: np.ndarray = np.where(inside[1:], np.log(left / right), np.nan)
    return differences


def agreements(
    differences: Float[np.ndarray, "rows n"],
    laterality: Float[np.ndarray, "rows n"],
    share: Float[np.ndarray, "rows n"],
) -> Float[np.ndarray, " rows"]:
    """Correlation over distance of level differences and laterality for each row; 0 where it is undefined.

    The rows' median level difference is subtracted first, as a channel gain or a skewed loudspeaker is the same in
    every row.
    """
    centred = np.nan_to_num(differences - np.nanmedian(differences, axis=0))
    weight = np.sqrt(share)
    covariance = (centred * laterality * weight).sum(1)
    norm = np.sqrt((centred**2 * weight).sum(1) * (laterality**2 * weight).sum(1))
    correlations: np.ndarray = covariance / np.maximum(norm, 1e-12)
    return correlations
