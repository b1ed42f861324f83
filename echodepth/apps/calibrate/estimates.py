"""Estimates of a rig's fields, each with its standard error or the reason why there is none."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from echodepth.simulate.rig import BOUNDS, is_in_range, rounded

LEAST_FOR_SPREAD = 3
"""Recordings that a spread is estimated from at least."""


@dataclass(frozen=True)
class Estimate:
    """Value of a field, or why it is not known.

    Attributes:
        value: a number, or an array in which unknown entries are NaN; None if it is not known.
        error: standard error of the number, or of each entry of the array; None if it is not known.
        reason: why value or entries are not known.
    """

    value: float | Float[np.ndarray, "..."] | None
    error: float | None = None
    reason: str = ""

    @property
    def as_json(self) -> Any:
        """The value with null for what is not known."""
        return None if self.value is None else rounded(np.asarray(self.value).tolist())


def unknown(reason: str) -> Estimate:
    """An estimate without a value."""
    return Estimate(None, None, reason)


def bounded(field: str, estimate: Estimate) -> Estimate:
    """The estimate, or none if a number of it is outside the range that the simulator takes."""
    if estimate.value is None:
        return estimate
    values = np.atleast_1d(estimate.value)
    known = values[~np.isnan(values)]
    if all(is_in_range(field, float(value)) for value in known):
        return estimate
    bounds = BOUNDS[field]
    worst = known[np.argmax(np.abs(known - (bounds.least + bounds.most) / 2))]
    return unknown(f"{worst:.4g} is outside the simulator's range, {bounds.least:g} to {bounds.most:g} {bounds.unit}")


def mean_of(values: Float[np.ndarray, " n"]) -> Estimate:
    """Mean of the values that lie within three deviations (by the median) of their median, and its standard error."""
    values = values[np.isfinite(values)]
    middle = np.median(values)
    deviation = 1.4826 * np.median(np.abs(values - middle))
    used = values[np.abs(values - middle) <= 3 * max(deviation, 1e-9)] if values.size >= LEAST_FOR_SPREAD else values
    error = float(used.std(ddof=1) / np.sqrt(used.size)) if used.size >= LEAST_FOR_SPREAD else None
    return Estimate(float(used.mean()), error)


def spread_of(values: Float[np.ndarray, " n"], own: float, kurtosis: float = 3.0) -> Estimate:
    """Standard deviation of values beyond that of their measurement.

    Args:
        values: of each recording.
        own: standard deviation of the measurement.
        kurtosis: of the values' distribution; 3 for a normal one, 1.8 for a uniform one.
    """
    values = values[np.isfinite(values)]
    if values.size < LEAST_FOR_SPREAD:
        return unknown(f"a spread takes {LEAST_FOR_SPREAD} recordings, not {values.size}")
    total = float(values.std(ddof=1))
    spread = float(np.sqrt(max(total**2 - own**2, 0.0)))
    relative = 0.5 * np.sqrt((kurtosis - 1) / values.size + 2 / values.size**2)
    return Estimate(spread, float(relative * total**2 / max(spread, 0.5 * total, 1e-9)))
