"""Scoring of a model, of a control in its place, or of a model on changed audio, over a split under a protocol."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from echodepth import __version__
from echodepth.core.errors import ConfigError, require_at_least
from echodepth.core.source_commit import source_commit
from echodepth.data.config import DataConfig
from echodepth.data.dataset import mean_depth_map
from echodepth.data.opening import WAVEFORMS, open_split
from echodepth.data.recorded import data_to_read, trained_data
from echodepth.data.records import Modality
from echodepth.data.sample import Sample
from echodepth.data.split_dataset import SplitDataset
from echodepth.evaluation.config import Control, ScoringConfig
from echodepth.evaluation.controls import ShuffledAudio
from echodepth.evaluation.results import Evaluation
from echodepth.metrics.accumulator import MetricAccumulator
from echodepth.metrics.protocols import Protocol, get_protocol
from echodepth.models.checkpoint import DepthModel
from echodepth.models.layers import count_parameters
from echodepth.models.mirror_average import MirrorAveraged
from echodepth.models.networks import NETWORKS

Predictor = Callable[[Sample], tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"] | None]]
"""Of a batch, depth and, of a network that predicts it, the uncertainty."""
AudioChange = Callable[[Float[Tensor, "b 2 t"]], Float[Tensor, "b 2 t"]]
"""Of waveforms, those that a model gets in their place."""
CONTROL_LABELS = {"mean_depth": "mean-depth baseline", "shuffled_audio": "shuffled-audio control"}


def score_model(
    model: DepthModel, config: ScoringConfig, control: Control = "none", change_audio: AudioChange | None = None
) -> Evaluation:
    """Score a loaded model, or a control in its place.

    Args:
        model: in eval mode.
        config: data and protocol.
        control: none, or what is scored in the model's place.
        change_audio: applied to the waveforms before an audio model gets them.

    Raises:
        ConfigError: protocol, split and control do not fit the model.
        DataError: the data are missing or, without ``skip_bad``, bad.
    """
    require_at_least(1, batch_size=config.batch_size)
    require_at_least(0, num_workers=config.num_workers, seed=config.seed)
    protocol = get_protocol(config.protocol)
    data = scored_data(model, config)
    dataset, predictor = _contender(model, config, control, change_audio, data, protocol)
    scores = _score(dataset, predictor, protocol, config)
    metrics = scores.total.compute()
    correlations, undefined = scores.correlations()
    return Evaluation(
        experiment=model.run.experiment_name,
        label=CONTROL_LABELS.get(control, model_label(model)),
        control=control,
        protocol=protocol.name,
        split=config.split,
        dataset=data.dataset,
        data_dir=str(data.address),
        left_out=data.leave_out if protocol.leave_one_out else None,
        metrics={name: float(value) for name, value in metrics.items() if value.is_floating_point()} | correlations,
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
            "mirror_average": config.mirror_average and control != "mean_depth",
            "seed": model.run.seed,
            "epoch": model.run.epoch,
        },
        commit=source_commit(),
        version=__version__,
        seed=config.seed,
        calibration=scores.calibration.compute() or None,
        undefined=undefined,
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
        return _read_from(model, config)
    return replace(_read_from(model, config), leave_out=None)


def _read_from(model: DepthModel, config: ScoringConfig) -> DataConfig:
    data = data_to_read(model, config.dataset, config.data_dir)
    return replace(data, skip_bad=config.skip_bad, verify=config.verify)


def _contender(
    model: DepthModel,
    config: ScoringConfig,
    control: Control,
    change_audio: AudioChange | None,
    data: DataConfig,
    protocol: Protocol,
) -> tuple[SplitDataset, Predictor]:
    """The frames to score and who predicts them: the model, or a control in its place."""

    def predict(batch: Sample) -> tuple[Tensor, Tensor | None]:
        raw: Tensor = batch[part]
        depth, uncertainty, _ = scored.predict(raw if change_audio is None else change_audio(raw))
        return depth, uncertainty

    scored = MirrorAveraged(model) if config.mirror_average else model
    part: Modality = "image" if model.input_key == "image" else "audio"
    prepared = WAVEFORMS if config.use_prepared else ()
    if control == "mean_depth":
        training = _read_from(model, config)
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
