"""Chosen frames as models see and answer them, for pictures."""

import logging
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.core.errors import DataError
from echodepth.data.config import DataConfig
from echodepth.data.dataset import DepthDataset, open_dataset
from echodepth.data.datasets import batvision
from echodepth.data.sample import ALL_MODALITIES, Modality, Sample
from echodepth.evaluation.config import EvaluateConfig
from echodepth.evaluation.evaluate import scored_data
from echodepth.inference.runtime import experiment_name
from echodepth.metrics.protocols import Protocol, get_protocol
from echodepth.models.attention.attention_lags import predict_with_lags
from echodepth.models.checkpoint import DepthModel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FramePrediction:
    """One frame as one model sees and answers it.

    Attributes:
        inputs: a caption to an [h, w, 3] image in 0..1 or an [f, t] spectrogram.
        prediction: metres.
        depth: true metres.
        scored: the pixels that the protocol counts.
        expected: metres that the model expects to be off; None of one that does not say.
        lags: by level, the weights with which the left ear looks in the right one, see ``lag_weights``; empty of a
            model without attention.
    """

    inputs: dict[str, np.ndarray]
    prediction: Float[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    scored: Bool[np.ndarray, "h w"]
    expected: Float[np.ndarray, "h w"] | None
    lags: dict[str, Float[Tensor, "2 lags"]]


def predict_frames(
    models: dict[str, DepthModel], config: EvaluateConfig, frames: list[str]
) -> dict[str, list[FramePrediction]]:
    """What each model makes of the frames of these names; files are read once for all models of the same settings.

    Args:
        models: by run.
        config: says from which split and by which protocol.
        frames: names, of which every model can read its part.
    """
    protocol = get_protocol(config.protocol)
    alike: dict[DataConfig, list[str]] = defaultdict(list)
    for run, model in models.items():
        alike[scored_data(model, config)].append(run)
    views: dict[str, list[FramePrediction]] = {run: [] for run in models}
    for data, runs in alike.items():
        dataset = _pictured({run: models[run] for run in runs}, data, config, frames)
        for index in range(len(dataset)):
            sample = dataset[index]
            for run in runs:
                views[run].append(_view(models[run], sample, protocol))
    return views


def _view(model: DepthModel, sample: Sample, protocol: Protocol) -> FramePrediction:
    inputs = {"RGB": sample["image"].permute(1, 2, 0).numpy()} if "image" in sample else {}
    raw = (sample["image"] if model.input_key == "image" else sample["audio"])[None]
    with torch.inference_mode():
        prepared = model.front_end(raw.to(next(model.parameters()).device))
        (depth, uncertainty, _), lags = predict_with_lags(model.network, prepared)
    if model.input_key == "audio":
        left, right = prepared[0].chunk(2)
        inputs |= {"left ear": left[0].cpu().numpy(), "right ear": right[0].cpu().numpy()}
    return FramePrediction(
        inputs,
        _map(depth),
        sample["depth"][0].numpy(),
        protocol.scored(sample["depth"], sample["valid"])[0].numpy(),
        None if uncertainty is None else _map(uncertainty),
        lags,
    )


def _map(metres: Float[Tensor, "1 1 h w"]) -> Float[np.ndarray, "h w"]:
    drawn: np.ndarray = metres[0, 0].float().cpu().numpy()
    return drawn


def _pictured(
    models: dict[str, DepthModel], data: DataConfig, config: EvaluateConfig, frames: list[str]
) -> DepthDataset:
    """The frames to draw, with the camera's view of them where the dataset has it."""
    resize = get_protocol(config.protocol).depth_resize
    keys = {model.input_key for model in models.values()}
    needed: tuple[Modality, ...] = tuple(part for part in ALL_MODALITIES if part == "depth" or part in keys)
    dataset = open_dataset(data, config.split, needed, resize)
    decoder, listed = dataset.decoder, dataset.records
    if "image" not in needed:
        try:
            listed = batvision.list_records(data, config.split, ALL_MODALITIES)
            records = {record.name: record for record in listed}
            return DepthDataset([records[name] for name in frames], replace(decoder, modalities=ALL_MODALITIES))
        except DataError as error:
            names = ", ".join(experiment_name(model) for model in models.values())
            log.warning("the pictures for %s lack the camera's view: %s", names, error)
            listed = dataset.records
    records = {record.name: record for record in listed}
    return DepthDataset([records[name] for name in frames], decoder)
