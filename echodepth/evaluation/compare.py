"""Several trained models side by side, with the controls that say what their figures are worth."""

import json
import logging
from collections import defaultdict
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from echodepth.core.device import choose_device
from echodepth.core.errors import ConfigError, DataError, require_at_least
from echodepth.core.run_paths import EXPERIMENT_NAMES, RunPaths, is_experiment_name
from echodepth.data.config import SOURCE_FLAGS
from echodepth.data.streaming.index import is_sharded
from echodepth.evaluation.comparison import (
    Comparison,
    ComparisonRow,
    Curves,
    SeedMean,
    read_curves,
)
from echodepth.evaluation.config import CompareConfig, Control, ScoringConfig
from echodepth.evaluation.differences import HEADLINE, Difference
from echodepth.evaluation.frame_predictions import FramePrediction, predict_frames
from echodepth.evaluation.frame_selection import leading_row, select_frames
from echodepth.evaluation.intervals import MetricTable, metric_table
from echodepth.evaluation.report_files import write_report
from echodepth.evaluation.results import Evaluation, summary
from echodepth.evaluation.scoring import CONTROL_LABELS, model_label, score_model, scored_data
from echodepth.metrics.direction import SCORES
from echodepth.metrics.protocols import get_protocol
from echodepth.models.checkpoint import DepthModel, load_depth_model
from echodepth.models.networks import NETWORKS

log = logging.getLogger(__name__)


def compare(config: CompareConfig) -> Comparison:
    """Score all runs and controls, and write the report.

    It lies in ``results/<name>``: comparison.md, .html, .csv, .json and comparison_differences.csv.

    Returns:
        What the report shows.

    Raises:
        CheckpointError: a run has no model.
        ConfigError: no run is given, or protocol and runs do not fit each other.
        DataError: data are missing or bad, or no frame is scored by every run.
    """
    comparison = build_comparison(config)
    folder = RunPaths(config.name).results
    write_report(comparison, folder)
    _log_verdicts(comparison)
    log.info("written to %s", folder / "comparison.html")
    if config.json:
        print((folder / "comparison.json").read_text(encoding="utf-8"), end="")
    return comparison


def build_comparison(config: CompareConfig) -> Comparison:
    """Score all runs and controls; see ``compare`` for the errors."""
    if not config.runs:
        raise ConfigError("no run is given: name experiments, such as: echodepth compare rgb_depth binaural_attention")
    if not is_experiment_name(config.name):
        raise ConfigError(f"--name {config.name!r}: use {EXPERIMENT_NAMES}; it names a folder in results/")
    require_at_least(0, pictures=config.pictures, extremes=config.extremes, seed=config.scoring.seed)
    device = choose_device(config.scoring.device)
    models = {run: load_depth_model(run, device) for run in config.runs}
    models = dict(sorted(models.items(), key=lambda item: _order(model_label(item[1]))))
    names = _short_names(models)
    settings = config.scoring
    _require_same_data(models, settings)
    scored = _score_all(models, settings)
    shared = _shared_frames([evaluation for _, evaluation in scored])
    scored.sort(key=lambda each: _order(each[1].label))
    table = metric_table([each.rows for _, each in scored], shared, scored[0][1].dataset, settings.seed)
    rows = _mark_best([_row(names[run], each, table, index) for index, (run, each) in enumerate(scored)], table)
    leader = leading_row(rows)
    selected = select_frames(leader, shared, config.extremes, config.pictures)
    return Comparison(
        name=config.name,
        protocol=get_protocol(config.scoring.protocol),
        split=config.scoring.split,
        rows=rows,
        resampling=table.resampling,
        differences=_differences(rows, table),
        seed_means=_seed_means(models, names, rows),
        frames=shared,
        notes=_notes([evaluation for _, evaluation in scored], len(shared)),
        leader=leader,
        leader_as_given=next(run for run, name in names.items() if name == leader.run),
        selected=selected,
        predictions=_predictions(models, names, settings, list(selected)),
        curves=_all_curves(models, names),
    )


def _predictions(
    models: dict[str, DepthModel], names: dict[str, str], settings: ScoringConfig, frames: list[str]
) -> dict[str, dict[str, FramePrediction]]:
    by_frame: dict[str, dict[str, FramePrediction]] = {frame: {} for frame in frames}
    for run, predictions in (predict_frames(models, settings, frames) if frames else {}).items():
        for frame, prediction in zip(frames, predictions, strict=True):
            by_frame[frame][f"{model_label(models[run])} · {names[run]}"] = prediction
    return by_frame


def _short_names(models: dict[str, DepthModel]) -> dict[str, str]:
    """Each run's experiment; what the user typed, where two runs are of one experiment."""
    experiments = [model.run.experiment_name for model in models.values()]
    return {run: name if experiments.count(name) == 1 else run for run, name in zip(models, experiments, strict=True)}


def _order(label: str) -> tuple[int, str]:
    """RGB first, then the default audio network, the other audio networks and the controls."""
    base = label.removesuffix(" + distillation")
    networks = sorted(NETWORKS, key=lambda network: (network.modality != "image", not network.is_default))
    labels = [network.label for network in networks] + list(CONTROL_LABELS.values())
    return (labels.index(base) if base in labels else len(networks)), label


def _score_all(models: dict[str, DepthModel], settings: ScoringConfig) -> list[tuple[str, Evaluation]]:
    """Every run; the mean depth once; shuffled echoes for the first run of each kind that hears."""
    todo: list[tuple[str, Control]] = [(run, "none") for run in models]
    todo.append((next(iter(models)), "mean_depth"))
    shuffled: dict[str, str] = {}
    for run, model in models.items():
        if model.input_key == "audio":
            shuffled.setdefault(model_label(model), run)
    todo += [(run, "shuffled_audio") for run in shuffled.values()]
    scored = []
    for run, control in todo:
        evaluation = score_model(models[run], settings, control)
        log.info("%s", summary(evaluation))
        scored.append((run, evaluation))
    return scored


def _require_same_data(models: dict[str, DepthModel], settings: ScoringConfig) -> None:
    data = [scored_data(model, settings) for model in models.values()]
    for each in data:
        if is_sharded(each):
            raise ConfigError(
                f"{each.address} holds shards, which are read sequentially, but the controls need random access: "
                "score each run with `echodepth evaluate`, or give --data_dir a folder with the files"
            )
    sets = sorted({f"{each.dataset} in {each.address}" for each in data})
    if len(sets) > 1:
        raise ConfigError(
            f"the runs were trained on different data ({'; '.join(sets)}): say which to score them on, "
            "with --dataset and --data_dir"
        )
    left_out = sorted({str(each.leave_out) for each in data})
    if len(left_out) > 1:
        raise ConfigError(f"the runs left different locations out ({', '.join(left_out)}): compare runs of one")


def _shared_frames(evaluations: list[Evaluation]) -> list[str]:
    """The images that all of them scored, in order."""
    names = [{row["name"] for row in evaluation.rows} for evaluation in evaluations]
    shared = [row["name"] for row in evaluations[0].rows if all(row["name"] in scored for scored in names)]
    if not shared:
        raise DataError("no frame is scored by every run: each of them is a bad row for one, or in no common location")
    return shared


def _notes(evaluations: list[Evaluation], shared: int) -> list[str]:
    """What a reader must know before comparing the rows."""
    notes = []
    everything = {row["name"] for evaluation in evaluations for row in evaluation.rows}
    if missing := len(everything) - shared:
        what, verb = ("frame", "is") if missing == 1 else ("frames", "are")
        notes.append(f"{missing} {what} that some row could not read {verb} left out of all.")
    if (label := evaluations[0].dataset_label) != evaluations[0].dataset:
        notes.append(f"The frames are not what the dataset's name says: {label}.")
    for setting, unit in {"max_depth": "m", "image_size": "pixels"}.items():
        values = sorted({evaluation.model[setting] for evaluation in evaluations})
        if len(values) > 1:
            listed = " and ".join(f"{value:g}" for value in values)
            notes.append(
                f"The runs differ in {setting} ({listed} {unit}): each is scored against its own ground truth."
            )
    if any(evaluation.model["mirror_average"] for evaluation in evaluations):
        notes.append("The models' predictions are averaged with those of the mirrored input (--mirror_average).")
    if any(evaluation.counts["bad_predictions"] for evaluation in evaluations):
        notes.append("Some predictions were no depth (NaN, infinite or not positive); they are scored as 1 mm.")
    return notes


def _row(run: str, evaluation: Evaluation, table: MetricTable, index: int) -> ComparisonRow:
    name = "no input" if evaluation.control == "mean_depth" else run
    return ComparisonRow(name, evaluation, table.mean(index), table.intervals(index))


def _differences(rows: list[ComparisonRow], table: MetricTable) -> list[Difference]:
    """Of every two models, then of every model and the controls that were scored for it."""
    models = [index for index, row in enumerate(rows) if row.evaluation.control == "none"]
    pairs = [sorted(pair, key=lambda index: rows[index].means[HEADLINE]) for pair in combinations(models, 2)]
    for control, row in enumerate(rows):
        if row.evaluation.control != "none":
            # Shuffled audio shows what its own network takes from the echoes, not what another one does.
            own = row.evaluation.control == "shuffled_audio"
            pairs += [[model, control] for model in models if not own or rows[model].run == row.run]
    return [_difference(rows, table, model, other) for model, other in pairs]


def _difference(rows: list[ComparisonRow], table: MetricTable, model: int, other: int) -> Difference:
    means = {metric: value - rows[other].means[metric] for metric, value in rows[model].means.items()}
    control = rows[other].evaluation.control
    name = rows[other].label if control == "mean_depth" else rows[other].name
    return Difference(rows[model].name, name, control, means, table.intervals(model, other))


def _log_verdicts(comparison: Comparison) -> None:
    """The leading model against the others, and all warnings; the page has all pairs."""
    if comparison.resampling.problem:
        log.info("no intervals and no verdicts: %s", comparison.resampling.problem)
    else:
        for each in comparison.leading_differences:
            if each.control == "none":
                log.info("%s", each.sentence)
    for warning in comparison.warnings:
        log.warning("%s", warning)


def _mark_best(rows: list[ComparisonRow], table: MetricTable) -> list[ComparisonRow]:
    """Mark the audio model that is better than each other one, with all intervals clear of 0, if there is one."""
    hearing = [index for index, row in enumerate(rows) if row.hears]
    best = min(hearing, key=lambda index: rows[index].means[HEADLINE], default=None)
    others = [table.intervals(best, other)[HEADLINE] for other in hearing if best is not None and other != best]
    is_clear = bool(others) and all(interval is not None and interval[1] < 0 for interval in others)
    return [replace(row, is_best=is_clear and index == best) for index, row in enumerate(rows)]


def _seed_means(models: dict[str, DepthModel], names: dict[str, str], rows: list[ComparisonRow]) -> list[SeedMean]:
    row_of = {row.run: row for row in rows if row.evaluation.control == "none"}
    groups: dict[str, dict[object, ComparisonRow]] = defaultdict(dict)
    for run, model in models.items():
        row = row_of[names[run]]
        data = {name: value for name, value in model.run.data.items() if name not in SOURCE_FLAGS}
        flags = model.run.flags
        groups[repr((row.label, model.spec, sorted(data.items()), sorted(flags.items())))][model.run.seed] = row
    means = []
    for group in (list(group.values()) for group in groups.values() if len(group) > 1):
        table = np.array([[row.means[metric] for metric in SCORES] for row in group])
        mean = dict(zip(SCORES, table.mean(axis=0).tolist(), strict=True))
        deviation = dict(zip(SCORES, table.std(axis=0, ddof=1).tolist(), strict=True))
        means.append(SeedMean(group[0].label, [row.run for row in group], mean, deviation))
    return sorted(means, key=lambda each: _order(each.label))


def _is_run_of(model: DepthModel, config: Path) -> bool:
    """Whether the local run of a model's name trained it: one from elsewhere may have the name of another run."""
    try:
        flags = json.loads(config.read_text(encoding="utf-8"))["flags"]
        recorded = {**model.run.data, **model.run.flags, "seed": model.run.seed}
        return all(flags[name] == value for name, value in recorded.items() if name in flags)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def _all_curves(models: dict[str, DepthModel], names: dict[str, str]) -> dict[str, Curves]:
    curves = {}
    for run, model in models.items():
        name = model.run.experiment_name
        path = RunPaths(name).logs / "metrics.csv" if is_experiment_name(name) else None
        if path is not None and path.is_file() and _is_run_of(model, RunPaths(name).config):
            curves[f"{model_label(model)} · {names[run]}"] = read_curves(path)
    return curves
