"""Differences between two methods over the same rooms and seeds, with intervals and corrected p-values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import t

from echodepth.metrics.bootstrap import CONFIDENCE, resampled_means

Pairs = Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
POWER = 0.8


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference in RMSE of a method and another one, metres, negative where the first is better.

    The variance is the sum of that between rooms, by a bootstrap of whole rooms, and that between seeds; both are
    sampled, and counting the variance within both twice makes the interval slightly too wide. Degrees of freedom are
    Satterthwaite's (*Biometrics Bulletin* 2, 1946).

    Attributes:
        mean: over seeds and frames.
        relative: ratio of the two mean RMSEs, less one.
        error: standard error; infinite for a single room, which tells nothing of others.
        freedom: degrees of freedom.
    """

    mean: float
    relative: float
    error: float
    freedom: float

    @property
    def interval(self) -> tuple[float, float]:
        """Student's 95 % confidence interval."""
        half = float(t.ppf((1 + CONFIDENCE) / 2, self.freedom)) * self.error
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference."""
        return float(2 * t.sf(abs(self.mean) / self.error, self.freedom)) if self.error else float(self.mean == 0)

    @property
    def detectable(self) -> float:
        """The smallest difference whose interval would exclude 0 in 80 % of repetitions, metres."""
        quantiles = (float(t.ppf(share, self.freedom)) for share in ((1 + CONFIDENCE) / 2, POWER))
        return sum(quantiles) * self.error


def paired_difference(pairs: Pairs, seed: int = 0) -> PairedDifference:
    """Compare two methods.

    Args:
        pairs: a run of each for every seed, with the RMSE of each frame.
        seed: of the bootstrap.

    Raises:
        ValueError: two runs were scored on different frames.
    """
    rooms = {frame["name"]: frame["room"] for frame in _scored(pairs[0][0])}
    differences = np.stack([_frame_differences(first, second, [*rooms]) for first, second in pairs])
    _, clusters = np.unique([*rooms.values()], return_inverse=True)
    resampled = resampled_means(differences.mean(axis=0)[:, None], clusters, seed)
    of_rooms, room_freedom = float(resampled.var()), int(clusters.max())
    first, second = (mean(run["rmse"] for run in side) for side in zip(*pairs, strict=True))
    if not room_freedom:  # the resampled rooms are always the same one
        return PairedDifference(float(differences.mean()), first / second - 1, np.inf, 1.0)
    of_seeds, seed_freedom = 0.0, len(pairs) - 1
    if seed_freedom:
        of_seeds = float(differences.mean(axis=1).var(ddof=1)) / len(pairs)
    variance = of_rooms + of_seeds
    spread = of_rooms**2 / room_freedom + (of_seeds**2 / seed_freedom if seed_freedom else 0.0)
    return PairedDifference(
        float(differences.mean()), first / second - 1, variance**0.5, variance**2 / spread if spread else np.inf
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, *Scandinavian Journal of Statistics* 6, 1979)."""
    corrected, highest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values)):
        highest = max(highest, (len(p_values) - rank) * p_values[index])
        corrected[index] = min(1.0, highest)
    return corrected


def paired_by_seed(members: Sequence[Any], reference: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Runs of two methods with the same seed."""
    by_seed = {row["seed"]: row for row in reference}
    return [(row, by_seed[row["seed"]]) for row in members if row["seed"] in by_seed]


def _scored(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [frame for frame in run["frames"] if frame["rmse"] is not None]


def _frame_differences(
    first: Mapping[str, Any], second: Mapping[str, Any], names: list[str]
) -> Float[np.ndarray, " frames"]:
    errors, others = ({frame["name"]: frame["rmse"] for frame in _scored(run)} for run in (first, second))
    if not errors.keys() == others.keys() == set(names):
        raise ValueError("two runs were scored on different frames")
    return np.array([errors[name] - others[name] for name in names])
