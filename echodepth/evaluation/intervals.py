"""Means and correlations over images with confidence intervals from resampled rooms, and paired differences."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from echodepth.data.dataset_registry import DATASETS
from echodepth.metrics.bootstrap import (
    FEW_CLUSTERS,
    RESAMPLES,
    confidence_bounds,
    resampled_means,
    student_bounds,
)
from echodepth.metrics.depth import METRICS
from echodepth.metrics.direction import (
    DIFFERENCES,
    DIRECTIONS,
    SCORES,
    correlation,
    correlation_of_moments,
    linearised_correlation,
    moments,
)

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Resampling:
    """What the bootstrap draws.

    Attributes:
        unit: rooms, or single frames of a dataset that does not tell rooms apart.
        count: number of rooms or frames.
        dataset: the dataset's name.
        room: the name of the only room; None for several, and for frames.
    """

    unit: Literal["rooms", "frames"]
    count: int
    dataset: str
    room: str | None = None

    @property
    def problem(self) -> str | None:
        """Why there is no interval; None if there is one."""
        if self.count >= 2:
            return None
        if self.count == 0:
            return "no frame has a scored pixel"
        if self.unit == "frames":
            return "there is only one frame, and an interval needs at least two"
        return f"all frames are of one room ({self.room}), and an interval for other rooms needs at least two"

    @property
    def is_few(self) -> bool:
        """Whether there are too few to be resampled: Student's interval takes the bootstrap's place."""
        return self.count < FEW_CLUSTERS

    @property
    def sentence(self) -> str:
        """What the brackets of a table mean, or why there are none."""
        if self.problem:
            return f"No confidence intervals: {self.problem}."
        start = "In brackets: 95 % confidence interval of the mean over images"
        if self.is_few:
            how = f"Student's, by the variance between {self.count} {self.unit}, too few to resample"
        elif self.unit == "rooms":
            how = f"{RESAMPLES} bootstrap resamples of {self.count} rooms, each with all its frames"
        else:
            how = f"{RESAMPLES} bootstrap resamples of {self.count} frames"
        if self.unit == "rooms":
            return f"{start} ({how})."
        return (
            f"{start} ({how}). The dataset {self.dataset} does not tell rooms apart, so single frames count as "
            "independent: neighbouring frames are correlated, and the interval is too narrow."
        )

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "unit": self.unit,
            "count": self.count,
            "resamples": 0 if self.is_few else RESAMPLES,
            "note": self.sentence,
        }


@dataclass(frozen=True)
class DirectionTable:
    """Differences of log depth in one direction, of all images that have them for every contender.

    Attributes:
        predicted: finite differences of the predictions.
        true: those of the ground truth, which depend on a contender's image size and depth range.
        clusters: the room, or number, of each image.
        seed: of the resamples.
    """

    predicted: Float[np.ndarray, "images contenders"]
    true: Float[np.ndarray, "images contenders"]
    clusters: Int[np.ndarray, " images"]
    seed: int

    @cached_property
    def values(self) -> Float[np.ndarray, " contenders"]:
        """The correlations, NaN where undefined."""
        return correlation(self.predicted, self.true)

    @cached_property
    def _resampled(self) -> Float[np.ndarray, "resamples contenders"]:
        columns = moments(self.predicted, self.true)
        means = resampled_means(columns.reshape(len(columns), -1), self.clusters, self.seed)
        return correlation_of_moments(means.reshape(RESAMPLES, -1, columns.shape[-1]))

    def interval(self, contender: int, other: int | None = None) -> Bounds | None:
        """The confidence interval of a correlation or of a difference, see ``MetricTable.intervals``."""
        contenders = [contender] if other is None else [contender, other]
        count = len(np.unique(self.clusters))
        if count < 2 or not np.isfinite(self.values[contenders]).all():
            return None
        if count < FEW_CLUSTERS:
            source = linearised_correlation(self.predicted[:, contenders], self.true[:, contenders])
        else:
            source = self._resampled[:, contenders]
        column = source[:, 0] if other is None else source[:, 0] - source[:, 1]
        if count < FEW_CLUSTERS:
            bounds = student_bounds(column[:, None], self.clusters)[:, 0]
        else:
            # A resample of one frame, many times, has no correlation.
            bounds = confidence_bounds(column[np.isfinite(column)], count)
        limit = len(contenders)  # correlations end at 1, their differences at 2
        low, high = np.clip(bounds, -limit, limit)
        return float(low), float(high)


@dataclass(frozen=True)
class MetricTable:
    """Metrics of all images for several contenders, which are models and controls.

    Attributes:
        values: finite metrics, in the order of ``METRICS``.
        clusters: the room, or number, of each image.
        resampling: what is resampled.
        seed: of the resamples.
        directions: what the correlations of ``DIRECTIONS`` are computed from.
    """

    values: Float[np.ndarray, "images contenders metrics"]
    clusters: Int[np.ndarray, " images"]
    resampling: Resampling
    seed: int
    directions: dict[str, DirectionTable]

    @cached_property
    def means(self) -> Float[np.ndarray, "contenders metrics"]:
        """Means over images, NaN without images."""
        if not len(self.values):
            return np.full(self.values.shape[1:], np.nan)
        means: np.ndarray = self.values.mean(axis=0)
        return means

    @cached_property
    def _resampled(self) -> Float[np.ndarray, "resamples contenders metrics"]:
        images, *shape = self.values.shape
        return resampled_means(self.values.reshape(images, -1), self.clusters, self.seed).reshape(-1, *shape)

    def intervals(self, contender: int, other: int | None = None) -> dict[str, Bounds | None]:
        """The confidence interval of every mean and correlation, by name in ``SCORES``; None where there is none.

        Args:
            contender: index.
            other: index of a second contender, for the intervals of the difference: first minus second, over the same
                resamples.
        """
        if self.resampling.problem:
            return dict.fromkeys(SCORES)
        source = self.values if self.resampling.is_few else self._resampled
        means = source[:, contender] if other is None else source[:, contender] - source[:, other]
        if self.resampling.is_few:
            bounds = student_bounds(means, self.clusters)
        else:
            bounds = confidence_bounds(means, self.resampling.count)
        intervals: dict[str, Bounds | None] = {
            metric: (float(low), float(high)) for metric, (low, high) in zip(METRICS, bounds.T, strict=True)
        }
        return intervals | {name: table.interval(contender, other) for name, table in self.directions.items()}

    def mean(self, contender: int) -> dict[str, float]:
        """The means and correlations of one contender, by name in ``SCORES``."""
        means = dict(zip(METRICS, self.means[contender].tolist(), strict=True))
        return means | {name: float(table.values[contender]) for name, table in self.directions.items()}


def metric_table(contenders: list[list[dict[str, Any]]], images: list[str], dataset: str, seed: int) -> MetricTable:
    """The metrics of the images that all contenders have scored.

    An image without a scored pixel has no metrics. It is left out for all contenders; from a correlation also one
    without a scored pixel in half of the image.

    Args:
        contenders: for each, a row per image with its name, its room and its metrics; see ``Evaluation.rows``.
        images: names of the images.
        dataset: name of the dataset, whose reader says whether it tells rooms apart.
        seed: of the resamples.
    """
    columns = METRICS + DIFFERENCES
    values = np.empty((len(images), len(contenders), len(columns)))
    for index, rows in enumerate(contenders):
        by_name = {row["name"]: row for row in rows}
        values[:, index] = [[by_name[image][column] for column in columns] for image in images]
    values, differences = np.split(values, [len(METRICS)], axis=2)
    scored = np.isfinite(values).all(axis=(1, 2))
    values, differences = values[scored], differences[scored]
    if DATASETS[dataset].has_rooms:
        rooms = {row["name"]: row["room"] for row in contenders[0]}
        names, clusters = np.unique([rooms[image] for image in np.array(images)[scored]], return_inverse=True)
        resampling = Resampling("rooms", len(names), dataset, str(names[0]) if len(names) == 1 else None)
    else:
        clusters = np.arange(len(values))
        resampling = Resampling("frames", len(values), dataset)
    directions = {}
    for index, direction in enumerate(DIRECTIONS):
        pair = differences[:, :, 2 * index : 2 * index + 2]
        known = np.isfinite(pair).all(axis=(1, 2))
        _, renumbered = np.unique(clusters[known], return_inverse=True)
        directions[direction] = DirectionTable(pair[known][..., 0], pair[known][..., 1], renumbered, seed)
    return MetricTable(values, clusters, resampling, seed, directions)
