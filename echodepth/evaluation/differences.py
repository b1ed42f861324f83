"""Differences between two models, and between a model and its controls, as intervals and in words."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from echodepth.evaluation.intervals import Bounds
from echodepth.metrics.depth import Score
from echodepth.metrics.direction import SCORE_TABLE, SCORES

HEADLINE = "rmse"
"""The metric of the verdicts on the page and in the terminal."""


@dataclass(frozen=True)
class Difference:
    """A model minus another one, or minus a control, on the same images.

    Attributes:
        model: name of the model, see ``ComparisonRow.name``.
        other: name of the model or control that it is compared with; the mean-depth baseline has no run in its name.
        control: "none" if the other is a model; otherwise which control it is.
        means: differences of the means over images, by metric.
        intervals: their confidence intervals, paired over rooms; None where there are none.
    """

    model: str
    other: str
    control: str
    means: dict[str, float]
    intervals: dict[str, Bounds | None]

    def verdict(self, metric: str = HEADLINE) -> str:
        """In words: better or worse by how much, or not distinguishable."""
        return verdict(SCORE_TABLE[metric], self.intervals[metric])

    def verdict_on(self, name: str) -> str:
        """The verdict on one of the two models, in RMSE."""
        bounds = self.intervals[HEADLINE]
        if name == self.other and bounds is not None:
            bounds = (-bounds[1], -bounds[0])
        return verdict(SCORE_TABLE[HEADLINE], bounds)

    @property
    def sentence(self) -> str:
        """The verdict with both names."""
        return f"{self.model} against {self.other}: {self.verdict()}"

    @property
    def warning(self) -> str | None:
        """What is wrong with a model that is no better than its control; None for others."""
        if self.control == "none":
            return None
        interval, mean = self.intervals[HEADLINE], self.means[HEADLINE]
        if (interval[1] if interval else mean) < 0 or math.isnan(mean):
            return None
        # Without an interval, a model with a lower error than its control passes: nothing is known against it.
        reason = self.verdict() if interval else f"RMSE higher by {mean:.3f} m" if mean > 0 else "the same RMSE"
        meaning = {
            "mean_depth": "nothing shows that it has learnt more than the mean room",
            "shuffled_audio": "nothing shows that it uses the echoes",
        }
        return f"{self.model} is no better than {self.other} ({reason}): {meaning[self.control]}."

    def facts(self) -> dict[str, Any]:
        """For JSON, with the verdicts in all metrics."""
        return asdict(self) | {"verdicts": {metric: self.verdict(metric) for metric in SCORES}}


def verdict(metric: Score, interval: Bounds | None) -> str:
    """A difference in words.

    Args:
        metric: the quantity, which decides which sign is the better one.
        interval: confidence interval of the difference, first model minus second; None if there is none.
    """
    name, _, unit = metric.title.rstrip(")").partition(" (")
    if interval is None:
        return "no interval"
    low, high = (round(bound, 6) for bound in interval)  # less is rounding, not a difference
    if low <= 0 <= high:
        return f"not distinguishable in {name}"
    better = (low > 0) == metric.higher_is_better
    nearest, farthest = sorted((abs(low), abs(high)))
    # At least three decimals, as in the tables, and one digit of the smaller bound: never "better by 0.000".
    decimals = max(3, -math.floor(math.log10(nearest)))
    span = f"{nearest:.{decimals}f}–{farthest:.{decimals}f}{' ' * bool(unit)}{unit}"
    return f"{'better' if better else 'worse'} by {span} in {name}"
