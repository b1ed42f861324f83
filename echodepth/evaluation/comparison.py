"""What a comparison consists of: rows, intervals, groups of seeds, pictures and curves."""

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
CONFIDENCE = 0.95
Curves = dict[str, list[tuple[float, float]]]
"""A log's columns as (epoch, value) points."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        run: what the user calls it: the experiment, or the checkpoint where two are of one experiment.
        evaluation: all of its figures.
        figures: means over the images that every row scored.
        intervals: their bootstrap intervals; None with fewer than two images.
        is_best: it has the lowest RMSE of all audio models.
    """

    run: str
    evaluation: Evaluation
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float] | None]
    is_best: bool = False

    @property
    def label(self) -> str:
        """The kind of model or control."""
        return self.evaluation.label

    @property
    def name(self) -> str:
        """Kind and run together."""
        return f"{self.label} · {self.run}"


@dataclass(frozen=True)
class SeedMean:
    """Runs that differ in nothing but the seed: their mean and standard deviation (of a sample, n - 1)."""

    label: str
    runs: list[str]
    mean: dict[str, float]
    deviation: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """All that the report shows.

    Attributes:
        name: of the report's folder.
        protocol: the rule by which all rows were scored.
        split: train, val or test.
        rows: models by kind, then controls.
        seed_means: one for each group of runs that differ in the seed alone.
        frames: the images that every row scored.
        notes: what a reader must know before comparing the rows.
        leader: the row whose best, median and worst frames are shown.
        picks: the pictured frames, and what each is an example of: see ``pick_frames``.
        views: for each pictured frame, the views of all models, by ``Row.name``.
        curves: for each model with a log, its columns over the epochs, by ``Row.name``.
    """

    name: str
    protocol: Protocol
    split: str
    rows: list[Row]
    seed_means: list[SeedMean]
    frames: list[str]
    notes: list[str]
    leader: Row
    picks: dict[str, list[str]]
    views: dict[str, dict[str, FramePrediction]]
    curves: dict[str, Curves]


def bootstrap_interval(values: Float[np.ndarray, " n"], seed: int) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean over images; None for fewer than two.

    It treats images as independent draws. Frames of one room are not, so it says how sure the figure is for these
    rooms, and is too narrow for others.
    """
    if values.size < 2:
        return None
    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def read_curves(path: Path) -> Curves:
    """A training log's ``train/*`` and ``val/*`` columns as (epoch, value) points; empty and NaN cells are skipped."""
    curves: Curves = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                if name.startswith(("train/", "val/")) and cell and np.isfinite(value := float(cell)):
                    curves[name].append((float(row["epoch"]), value))
    return dict(curves)
