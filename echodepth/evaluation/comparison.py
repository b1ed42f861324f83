"""The data of a comparison: rows, confidence intervals, seed means, predictions and training curves."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap

from echodepth.evaluation.evaluate import Evaluation
from echodepth.evaluation.frame_predictions import FramePrediction
from echodepth.metrics.protocols import Protocol

RESAMPLES = 2000
_BATCH = 2**21
"""Numbers that are drawn at a time, 32 MB; all resamples of 60,000 images at once would take 2 GB."""
CONFIDENCE = 0.95
Curves = dict[str, list[tuple[float, float]]]
"""Columns of a training log as (epoch, value) points."""


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the table: a model or a control.

    Attributes:
        run: the experiment, or the checkpoint as given where two runs are of one experiment.
        evaluation: its full evaluation.
        means: metrics as means over the images that every row scored.
        intervals: bootstrap confidence intervals of the means; None with fewer than two images.
        is_best: whether it has the lowest RMSE of all audio models.
    """

    run: str
    evaluation: Evaluation
    means: dict[str, float]
    intervals: dict[str, tuple[float, float] | None]
    is_best: bool = False

    @property
    def label(self) -> str:
        """The kind of model or control."""
        return self.evaluation.label

    @property
    def name(self) -> str:
        """Kind and run."""
        return f"{self.label} · {self.run}"


@dataclass(frozen=True)
class SeedMean:
    """Mean and sample standard deviation (n - 1) of the metrics of runs that differ in the seed alone."""

    label: str
    runs: list[str]
    mean: dict[str, float]
    deviation: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """Everything that the report shows.

    Attributes:
        name: of the report's folder.
        protocol: the protocol of all rows.
        split: train, val or test.
        rows: models by kind, then controls.
        seed_means: one for each group of runs that differ in the seed alone.
        frames: names of the images that every row scored.
        notes: what limits the comparability of the rows.
        leader: the row whose best, median and worst frames are shown.
        selected: the shown frames and the reasons for their selection, see ``select_frames``.
        predictions: for each shown frame, the predictions of all models by ``ComparisonRow.name``.
        curves: for each model with a log, its columns over the epochs, by ``ComparisonRow.name``.
    """

    name: str
    protocol: Protocol
    split: str
    rows: list[ComparisonRow]
    seed_means: list[SeedMean]
    frames: list[str]
    notes: list[str]
    leader: ComparisonRow
    selected: dict[str, list[str]]
    predictions: dict[str, dict[str, FramePrediction]]
    curves: dict[str, Curves]


def bootstrap_interval(values: Float[np.ndarray, " n"], seed: int) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of the mean over images; None for fewer than two.

    The bootstrap treats images as independent draws. Frames of one room are not independent, so the interval holds for
    these rooms and is too narrow for other ones.
    """
    if values.size < 2:
        return None
    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // values.size),  # the same resamples in any batches
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def read_curves(path: Path) -> Curves:
    """The ``train/*`` and ``val/*`` columns of a training log as (epoch, value) points, without empty and NaN cells."""
    curves: Curves = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                if name.startswith(("train/", "val/")) and cell and np.isfinite(value := float(cell)):
                    curves[name].append((float(row["epoch"]), value))
    return dict(curves)
