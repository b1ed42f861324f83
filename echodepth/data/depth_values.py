"""Stored numbers as depth in metres: which of them are distances, and whether their unit can be right.

Every depth map passes ``to_metres``, whatever reads it. Renderers and cameras store a number where they measured
nothing: 0, NaN, infinity or a negative one, or a large one such as 65504, 65535 or 1e10. The unit is judged by the
median of the numbers below the largest, so that one that stands for nothing hides no wrong unit.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from echodepth.core.errors import DataError

FARTHEST = 65.504
"""Metres from which on a number is no distance in a room: in millimetres, the largest number of float16."""
USUAL_MEDIAN = 0.5
"""Metres: a set of rooms whose median is less may be stored in centimetres, which are read as a tenth."""
_NEAREST = 0.05  # metres: the median of no room's depth map is less
_SAMPLED = 64  # rows and columns from which the median is taken: the whole map costs more time than reading it
_MIN_SHARE = 0.001  # of the sampled numbers: fewer below the largest say nothing about the unit
_MARKED_SHARE, _MARKED_GAP = 0.01, 2.0


@dataclass(frozen=True)
class DepthMarker:
    """A number in a depth map that stands for "nothing measured", or may do so.

    Attributes:
        number: as stored.
        metres: what it would mean as a distance.
        pixels: how many hold it, or another one that is too large.
    """

    number: float
    metres: float
    pixels: int


def to_metres(
    raw: Shaped[np.ndarray, "..."], units: int | float, name: str, remedy: str
) -> tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"], DepthMarker | None]:
    """Convert stored depth to metres.

    Args:
        raw: the map as stored.
        units: stored units per metre.
        name: the map's file, for messages.
        remedy: what to do about another unit, for messages.

    Returns:
        Metres as float32, 0 where invalid; the mask of the distances; and the number that stands for nothing, if there
        is one besides 0, negative numbers, NaN and infinity.

    Raises:
        DataError: it is no two-dimensional map of numbers of at least 16 bits, has no pixels, or its unit is wrong.
    """
    if raw.ndim != 2 or raw.dtype.kind not in "iuf":
        raise DataError(f"{name} holds {raw.dtype} of shape {raw.shape}: a depth map is a 2-D array of numbers")
    if raw.dtype.itemsize == 1:
        raise DataError(f"{name} holds {raw.dtype}, which is too coarse for depth: at least 16 bits are expected")
    if not raw.size:
        raise DataError(f"{name} has no pixels: its shape is {raw.shape}")
    _check_unit(raw, units, name, remedy)
    largest, limit = raw.max(), _limit(raw, units)
    with np.errstate(over="ignore"):  # to infinity, which is invalid
        metres = raw.astype(np.float32)
    marker = None
    if not largest < limit:
        too_large = np.isfinite(metres) & (raw >= limit)
        if pixels := int(np.count_nonzero(too_large)):
            number = float(raw[too_large].max())
            marker = DepthMarker(number, number / units, pixels)
    # In place: a BatVision V2 map has 0.9 M pixels, and this is the slowest step of reading a sample.
    valid = (metres > 0) & (metres < np.float32(limit))
    metres /= np.float32(units)
    np.copyto(metres, 0, where=~valid)
    return metres, valid, marker


def _limit(raw: Shaped[np.ndarray, "h w"], units: int | float) -> float:
    """The stored number from which on none is a distance."""
    if raw.dtype.itemsize == 2 and units > 1:
        return min(65504.0, float(np.iinfo(raw.dtype).max if raw.dtype.kind in "iu" else np.inf))
    is_of_16_bits = raw.dtype.kind in "iu" and raw.max() == 65535
    return min(FARTHEST * units, 65504.0 if is_of_16_bits else np.inf)


def _check_unit(raw: Shaped[np.ndarray, "h w"], units: int | float, name: str, remedy: str) -> None:
    rows, columns = (max(1, side // _SAMPLED) for side in raw.shape)
    sample = _positive(raw[::rows, ::columns])
    if not sample.size:
        sample = _positive(raw)
    if not sample.size:
        return
    below = sample[sample < sample.max()]
    judged = below if below.size >= max(8, _MIN_SHARE * sample.size) else sample
    median = float(np.median(judged)) / units
    if not _NEAREST <= median <= FARTHEST:
        spelled = f"{1000 * median:.3g} mm" if median < _NEAREST else f"{median:.3g} m"
        raise DataError(f"{name} has a median depth of {spelled}, which no room has: {remedy}")


def _positive(raw: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, " n"]:
    numbers = raw.astype(np.float64).ravel()
    positive: Float[np.ndarray, " n"] = numbers[(numbers > 0) & (numbers < np.inf)]
    return positive


def possible_marker(
    metres: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"]
) -> tuple[DepthMarker, float] | None:
    """The largest distance, if it may stand for nothing: many pixels hold it, and no other comes near.

    A wall that the camera faces looks the same, so that only the one who knows the camera can tell.

    Returns:
        The distance, with its metres as its number, and the largest distance below it; None if it is an ordinary one.
    """
    known = metres[valid]
    if not known.size:
        return None
    largest = known.max()
    below = known[known < largest]
    pixels = known.size - below.size
    if not below.size or pixels < _MARKED_SHARE * metres.size or largest < _MARKED_GAP * below.max():
        return None
    return DepthMarker(float(largest), float(largest), pixels), float(below.max())
