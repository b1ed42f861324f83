"""The data of a comparison: rows, differences, seed means, predictions and training curves."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from echodepth.evaluation.differences import Difference
from echodepth.evaluation.frame_predictions import FramePrediction
from echodepth.evaluation.intervals import Bounds, Resampling
from echodepth.evaluation.results import Evaluation
from echodepth.metrics.protocols import Protocol

Curves = dict[str, list[tuple[float, float]]]
"""Columns of a training log as (epoch, value) points."""


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the table: a model or a control.

    Attributes:
        run: the experiment, or the checkpoint as given where two runs are of one experiment.
        evaluation: its full evaluation.
        means: metrics as means over the images that every row scored.
        intervals: confidence intervals of the means; None where there are none, see ``Resampling.problem``.
        is_best: whether its RMSE is lower than that of each other audio model, with an interval clear of 0.
    """

    run: str
    evaluation: Evaluation
    means: dict[str, float]
    intervals: dict[str, Bounds | None]
    is_best: bool = False

    @property
    def label(self) -> str:
        """The kind of model or control."""
        return self.evaluation.label

    @property
    def hears(self) -> bool:
        """Whether it is a model that takes audio, not a control."""
        return bool(self.evaluation.control == "none" and self.evaluation.model["input"] == "audio")

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
        resampling: what the confidence intervals resample.
        differences: of every two models, the one with the lower RMSE first, then of models and their own controls.
        seed_means: one for each group of runs that differ in the seed alone.
        frames: names of the images that every row scored.
        notes: what limits the comparability of the rows.
        leader: the row whose best, median and worst frames are shown.
        leader_as_given: what the user named its model by.
        selected: the shown frames and the reasons for their selection, see ``select_frames``.
        predictions: for each shown frame, the predictions of all models by ``ComparisonRow.name``.
        curves: for each model with a log, its columns over the epochs, by ``ComparisonRow.name``.
    """

    name: str
    protocol: Protocol
    split: str
    rows: list[ComparisonRow]
    resampling: Resampling
    differences: list[Difference]
    seed_means: list[SeedMean]
    frames: list[str]
    notes: list[str]
    leader: ComparisonRow
    leader_as_given: str
    selected: dict[str, list[str]]
    predictions: dict[str, dict[str, FramePrediction]]
    curves: dict[str, Curves]

    @property
    def leading_differences(self) -> list[Difference]:
        """Those of the leader from the other models and from its own controls."""
        return [each for each in self.differences if self.leader.name in (each.model, each.other)]

    @property
    def warnings(self) -> list[str]:
        """Models that are no better than their controls."""
        return [each.warning for each in self.differences if each.warning]


def read_curves(path: Path) -> Curves:
    """The ``train/*`` and ``val/*`` columns of a training log as (epoch, value) points, without empty and NaN cells."""
    curves: Curves = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                if name.startswith(("train/", "val/")) and cell and np.isfinite(value := float(cell)):
                    curves[name].append((float(row["epoch"]), value))
    return dict(curves)
