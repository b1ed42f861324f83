"""The result of an evaluation: its data, its lines for the terminal and its files."""

import csv
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from echodepth.core.atomic_io import atomic_write
from echodepth.core.strict_json import to_json, without_nan
from echodepth.evaluation.intervals import metric_table
from echodepth.metrics.depth import METRICS
from echodepth.metrics.depth_bins import DepthBin
from echodepth.metrics.direction import DIFFERENCES, DIRECTIONS
from echodepth.metrics.error_map import ErrorMap


@dataclass(frozen=True)
class Evaluation:
    """A model's figures on one split, with all that is needed to doubt or repeat them.

    Attributes:
        experiment: the name under which the model was trained.
        label: what it is, as tables say it: "audio", "RGB (upper bound)", "mean-depth baseline", ...
        control: "none", or which control was scored in the model's place.
        protocol: the rule's name.
        split: train, val or test.
        dataset: the reader's name.
        data_dir: the dataset's root.
        left_out: the one location that was scored, under ``loo``.
        metrics: every figure as mean over images, and pooled over pixels as ``pooled_<name>``; then the correlations
            over images of ``metrics/direction.py``, NaN where undefined.
        counts: images, pixels, images_without_valid, bad_predictions, bad_rows.
        bad_rows: one message for each row that was left out.
        rows: per image its name, its room, its scored pixels, and every figure (NaN where it has none); see
            ``MetricAccumulator.rows``.
        depth_bins: errors by ground-truth depth, pooled over pixels.
        error_map: mean absolute error by image region, pooled over pixels.
        model: network, parameters, size, range, input, seconds of sound, whether each prediction is averaged with that
            of the mirrored input, the run's seed and epoch.
        commit: of the source tree, with "-dirty" when files differ from it; "unknown" outside a repository.
        version: of this package.
        seed: of the shuffled control.
        calibration: see ``UncertaintyCalibration.compute``; None for a model without uncertainty.
        undefined: by name, why a correlation is undefined.
        provenance: whether the data are simulated, whatever dataset they are read as; None for recorded data.
    """

    experiment: str
    label: str
    control: str
    protocol: str
    split: str
    dataset: str
    data_dir: str
    left_out: str | None
    metrics: dict[str, float]
    counts: dict[str, int]
    bad_rows: list[str]
    rows: list[dict[str, Any]]
    depth_bins: list[DepthBin]
    error_map: ErrorMap
    model: dict[str, Any]
    commit: str
    version: str
    seed: int
    calibration: dict[str, Any] | None = None
    undefined: dict[str, str] = field(default_factory=dict)
    provenance: str | None = None

    @property
    def dataset_label(self) -> str:
        """The dataset as tables say it: ``batvisionv2 (simulated)`` for simulated rooms read as such."""
        return self.dataset if self.provenance in (None, self.dataset) else f"{self.dataset} ({self.provenance})"


def summary(evaluation: Evaluation) -> str:
    """Lines for the terminal: what was scored, the means and correlations over images, the uncertainty's if any."""
    counts = evaluation.counts
    bad = f", {counts['bad_predictions']} predictions were no depth" if counts["bad_predictions"] else ""
    left_out = f", {counts['bad_rows']} bad rows left out" if counts["bad_rows"] else ""
    mirrored = ", averaged with the mirrored input" if evaluation.model["mirror_average"] else ""
    figures = "  ".join(f"{name} {evaluation.metrics[name]:.4f}" for name in METRICS)
    figures += "\ncorrelation with ground truth: " + "  ".join(
        f"{name} undefined ({evaluation.undefined[name]})"
        if name in evaluation.undefined
        else f"{name} {evaluation.metrics[name]:.4f}"
        for name in DIRECTIONS
    )
    if evaluation.calibration:
        scalars = {name: value for name, value in evaluation.calibration.items() if isinstance(value, float)}
        figures += "\npredicted uncertainty: " + "  ".join(f"{name} {value:.4f}" for name, value in scalars.items())
    return (
        f"{evaluation.experiment}, {evaluation.label}{mirrored}: {evaluation.dataset_label} {evaluation.split}, "
        f"protocol {evaluation.protocol}, {counts['images']} images, {counts['pixels']} pixels{bad}{left_out}\n"
        f"{figures}"
    )


def interval_facts(evaluation: Evaluation) -> dict[str, Any]:
    """The confidence intervals of means and correlations over images, and what was resampled for them, for JSON."""
    images = [row["name"] for row in evaluation.rows]
    table = metric_table([evaluation.rows], images, evaluation.dataset, evaluation.seed)
    return {"intervals": table.intervals(0), "resampling": table.resampling.facts()}


def interval_line(facts: dict[str, Any]) -> str:
    """A line for the terminal: the interval of the RMSE, or why there is none."""
    bounds, note = facts["intervals"]["rmse"], facts["resampling"]["note"]
    return f"rmse [{bounds[0]:.4f}, {bounds[1]:.4f}]. {note}" if bounds else note


def write_evaluation(evaluation: Evaluation, intervals: dict[str, Any], stem: Path) -> None:
    """Write ``<stem>.json``, everything but the rows, and ``<stem>.csv``, a row per image."""
    facts = plain_facts(evaluation) | intervals
    with atomic_write(stem.with_name(stem.name + ".json")) as path:
        path.write_text(to_json(facts), encoding="utf-8")
    with atomic_write(stem.with_name(stem.name + ".csv")) as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("name", "room", "pixels", *METRICS, *DIFFERENCES))
        writer.writeheader()
        writer.writerows(without_nan(row, "") for row in evaluation.rows)


def plain_facts(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the rows, which are as many as images, as plain values."""
    return {name: value for name, value in asdict(replace(evaluation, rows=[])).items() if name != "rows"}
