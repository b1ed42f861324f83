"""Score a trained model on a split under a named protocol, and write down everything that the figures depend on."""

import csv
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from echodepth import __version__
from echodepth.core.atomic_io import atomic_write
from echodepth.core.device import choose_device
from echodepth.core.errors import ConfigError, require_at_least
from echodepth.core.run_paths import RunPaths
from echodepth.core.source_commit import source_commit
from echodepth.core.strict_json import to_json, without_nan
from echodepth.data.config import DataConfig, change_source
from echodepth.data.dataset import mean_depth_map
from echodepth.data.opening import WAVEFORMS, open_split
from echodepth.data.recorded import trained_data
from echodepth.data.records import Modality
from echodepth.data.sample import Sample
from echodepth.data.split_dataset import SplitDataset
from echodepth.evaluation.config import Control, EvaluateConfig, ScoringConfig
from echodepth.evaluation.controls import ShuffledAudio
from echodepth.evaluation.intervals import metric_table
from echodepth.metrics.accumulator import MetricAccumulator
from echodepth.metrics.depth import METRICS
from echodepth.metrics.depth_bins import DepthBin
from echodepth.metrics.error_map import ErrorMap
from echodepth.metrics.protocols import Protocol, get_protocol
from echodepth.models.checkpoint import DepthModel, load_model
from echodepth.models.layers import count_parameters
from echodepth.models.networks import NETWORKS
from echodepth.report.calibration_figure import calibration_figure
from echodepth.report.figures import save_figure

log = logging.getLogger(__name__)

Predictor = Callable[[Sample], tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"] | None]]
"""Of a batch, depth and, of a network that predicts it, the uncertainty."""
CONTROL_LABELS = {"mean_depth": "mean-depth baseline", "shuffled_audio": "shuffled-audio control"}


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
        metrics: every figure as mean over images, and pooled over pixels as ``pooled_<name>``.
        counts: images, pixels, images_without_valid, bad_predictions, bad_rows.
        bad_rows: one message for each row that was left out.
        rows: per image its name, its room, its scored pixels, and every figure (NaN where it has none).
        depth_bins: errors by ground-truth depth, pooled over pixels.
        error_map: mean absolute error by image region, pooled over pixels.
        model: network, parameters, size, range, input, seconds of sound, the run's seed and epoch.
        commit: of the source tree, with "-dirty" when files differ from it; "unknown" outside a repository.
        version: of this package.
        seed: of the shuffled control.
        calibration: see ``UncertaintyCalibration.compute``; None for a model without uncertainty.
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


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Score a model, log the figures and write them.

    Writes ``evaluate_<split>_<protocol>[_<control>].json``, and ``.csv`` with a row per image, into ``config.out``
    or ``results/<experiment>``; of a model with uncertainty also a picture of it, ``..._calibration.png``.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: protocol, split and control do not fit the model.
        DataError: the data are missing or, without ``skip_bad``, bad.
    """
    scoring = config.scoring
    model = load_model(config.checkpoint, choose_device(scoring.device))
    evaluation = score_model(model, scoring, config.control)
    stem = f"evaluate_{scoring.split}_{scoring.protocol}" + (f"_{config.control}" if config.control != "none" else "")
    folder = config.out if config.out is not None else RunPaths(evaluation.experiment).results
    intervals = interval_facts(evaluation)
    write_evaluation(evaluation, intervals, folder / stem)
    if evaluation.calibration:
        title = f"{evaluation.experiment}, {evaluation.label}: {scoring.split}, protocol {scoring.protocol}"
        save_figure(calibration_figure(evaluation.calibration, title), folder / f"{stem}_calibration.png")
    lines = (summary(evaluation), interval_line(intervals), f"written to {folder / stem}.json and .csv")
    log.info("%s", "\n".join(lines))
    return evaluation


def score_model(model: DepthModel, config: ScoringConfig, control: Control = "none") -> Evaluation:
    """Score a loaded model, or a control in its place; errors as of ``evaluate``."""
    require_at_least(1, batch_size=config.batch_size)
    require_at_least(0, num_workers=config.num_workers, seed=config.seed)
    protocol = get_protocol(config.protocol)
    data = scored_data(model, config)
    dataset, predictor = _contender(model, config, control, data, protocol)
    scores = _score(dataset, predictor, protocol, config)
    metrics = scores.total.compute()
    return Evaluation(
        experiment=model.run.experiment_name,
        label=CONTROL_LABELS.get(control, model_label(model)),
        control=control,
        protocol=protocol.name,
        split=config.split,
        dataset=data.dataset,
        data_dir=str(data.address),
        left_out=data.leave_out if protocol.leave_one_out else None,
        metrics={name: float(value) for name, value in metrics.items() if value.is_floating_point()},
        counts={name: int(value) for name, value in metrics.items() if not value.is_floating_point()}
        | {"bad_rows": len(dataset.bad_rows)},
        bad_rows=dataset.bad_rows,
        rows=scores.rows,
        depth_bins=scores.depth_bins.compute(),
        error_map=scores.error_map.compute(),
        model={
            "network": type(model.network).__name__,
            "parameters": count_parameters(model.network),
            "input": model.input_key,
            "image_size": model.image_size,
            "max_depth": model.max_depth,
            "audio_seconds": trained_data(model).cut_seconds if model.input_key == "audio" else None,
            "seed": model.run.seed,
            "epoch": model.run.epoch,
        },
        commit=source_commit(),
        version=__version__,
        seed=config.seed,
        calibration=scores.calibration.compute() or None,
    )


def model_label(model: DepthModel) -> str:
    """The name of this kind of model in tables: the network's label, and whether it was distilled."""
    label = NETWORKS[model.spec.network].label
    return f"{label} + distillation" if model.run.kind == "distill" else label


def scored_data(model: DepthModel, config: ScoringConfig) -> DataConfig:
    """The data settings of an evaluation: as trained, but for the flags that say otherwise.

    Only protocol ``loo`` keeps to the location that training left out; the others score the dataset's own split.

    Raises:
        ConfigError: ``loo`` is asked of a model that left nothing out, of another dataset, or of another split.
    """
    trained = trained_data(model)
    elsewhere = config.dataset not in (None, trained.dataset)
    if get_protocol(config.protocol).leave_one_out:
        if trained.leave_out is None or elsewhere:
            raise ConfigError(
                f"--protocol loo: {model.run.experiment_name} was trained on all locations of its dataset; "
                "train with --leave_out LOCATION and evaluate on that dataset"
            )
        if config.split != "test":
            raise ConfigError(f"--protocol loo scores the location left out: use --split test, not {config.split}")
        return _read_from(trained, config)
    return replace(_read_from(trained, config), leave_out=None)


def _read_from(trained: DataConfig, config: ScoringConfig) -> DataConfig:
    return replace(change_source(trained, config.dataset, config.data_dir), skip_bad=config.skip_bad)


def _contender(
    model: DepthModel, config: ScoringConfig, control: Control, data: DataConfig, protocol: Protocol
) -> tuple[SplitDataset, Predictor]:
    """The frames to score and who predicts them: the model, or a control in its place."""

    def predict(batch: Sample) -> tuple[Tensor, Tensor | None]:
        raw: Tensor = batch[part]
        depth, uncertainty, _ = model.predict(raw)
        return depth, uncertainty

    part: Modality = "image" if model.input_key == "image" else "audio"
    prepared = WAVEFORMS if config.use_prepared else ()
    if control == "mean_depth":
        training = _read_from(trained_data(model), config)
        mean = mean_depth_map(open_split(training, "train", ("depth",), prepared=prepared, exact=True))
        frames = open_split(data, config.split, ("depth",), protocol.depth_resize, prepared=prepared, exact=True)
        return frames, lambda batch: (mean.expand(len(batch["depth"]), -1, -1, -1), None)
    if control == "shuffled_audio" and part != "audio":
        raise ConfigError(
            f"--control shuffled_audio: {model.run.experiment_name} takes images, there is no audio to shuffle"
        )
    frames = open_split(data, config.split, (part, "depth"), protocol.depth_resize, prepared=prepared, exact=True)
    if control != "shuffled_audio":
        return frames, predict
    if not frames.is_random_access:
        raise ConfigError(
            "--control shuffled_audio pairs each frame with another's audio, and shards are read sequentially: give "
            "--data_dir a folder with the dataset's files"
        )
    return ShuffledAudio(frames, config.seed), predict


def _score(dataset: SplitDataset, predictor: Predictor, protocol: Protocol, config: ScoringConfig) -> MetricAccumulator:
    scores = MetricAccumulator()
    loader = dataset.loader(config.batch_size, config.num_workers, keep_order=True)
    with torch.inference_mode():
        for batch in tqdm(loader, desc=f"Scoring {config.split}", unit="batch", disable=None):
            depth, scale = predictor(batch)
            scored = protocol.scored(batch["depth"], batch["valid"])
            scale = None if scale is None else scale.cpu()
            scores.update(batch["name"], batch["room"], depth.cpu(), scale, batch["depth"], scored)
    return scores


def summary(evaluation: Evaluation) -> str:
    """Lines for the terminal: what was scored, the means over images, and those of the uncertainty if there is one."""
    counts = evaluation.counts
    bad = f", {counts['bad_predictions']} predictions were no depth" if counts["bad_predictions"] else ""
    left_out = f", {counts['bad_rows']} bad rows left out" if counts["bad_rows"] else ""
    figures = "  ".join(f"{name} {evaluation.metrics[name]:.4f}" for name in METRICS)
    if evaluation.calibration:
        scalars = {name: value for name, value in evaluation.calibration.items() if isinstance(value, float)}
        figures += "\n" + "  ".join(f"{name} {value:.4f}" for name, value in scalars.items())
    return (
        f"{evaluation.experiment}, {evaluation.label}: {evaluation.dataset} {evaluation.split}, protocol "
        f"{evaluation.protocol}, {counts['images']} images, {counts['pixels']} pixels{bad}{left_out}\n{figures}"
    )


def interval_facts(evaluation: Evaluation) -> dict[str, Any]:
    """The confidence intervals of the means over images, and what was resampled for them, for JSON."""
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
        writer = csv.DictWriter(file, ("name", "room", "pixels", *METRICS))
        writer.writeheader()
        writer.writerows(without_nan(row, "") for row in evaluation.rows)


def plain_facts(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the rows, which are as many as images, as plain values."""
    return {name: value for name, value in asdict(replace(evaluation, rows=[])).items() if name != "rows"}
