"""Inputs and predictions of selected frames, for pictures."""

import logging
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.core.errors import DataError
from echodepth.data.config import DataConfig
from echodepth.data.dataset import DepthDataset, list_split
from echodepth.data.records import ALL_MODALITIES, Modality
from echodepth.data.sample import Sample
from echodepth.evaluation.config import ScoringConfig
from echodepth.evaluation.scoring import scored_data
from echodepth.metrics.protocols import Protocol, get_protocol
from echodepth.models.attention.attention_lags import predict_with_lags
from echodepth.models.checkpoint import DepthModel
from echodepth.models.mirror_average import MirrorAveraged

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FramePrediction:
    """One model's input and prediction for one frame.

    Attributes:
        inputs: a caption to an [h, w, 3] image in 0..1 or an [f, t] spectrogram.
        prediction: metres.
        ground_truth: metres.
        scored: the pixels that the protocol scores.
        uncertainty: predicted uncertainty in metres; None for a model without it.
        lags: by level, the attention weights of the left ear's queries by the lag of the right ear's keys, see
            ``lag_weights``; empty for a model without attention.
    """

    inputs: dict[str, np.ndarray]
    prediction: Float[np.ndarray, "h w"]
    ground_truth: Float[np.ndarray, "h w"]
    scored: Bool[np.ndarray, "h w"]
    uncertainty: Float[np.ndarray, "h w"] | None
    lags: dict[str, Float[Tensor, "2 lags"]]


def predict_frames(
    models: dict[str, DepthModel], config: ScoringConfig, frames: list[str]
) -> dict[str, list[FramePrediction]]:
    """Each model's predictions for the named frames; files are read once for all models of the same data settings.

    Args:
        models: by run.
        config: gives split and protocol.
        frames: names of frames that every model can read.
    """
    protocol = get_protocol(config.protocol)
    runs_by_data: dict[DataConfig, list[str]] = defaultdict(list)
    for run, model in models.items():
        runs_by_data[scored_data(model, config)].append(run)
    predictions: dict[str, list[FramePrediction]] = {run: [] for run in models}
    for data, runs in runs_by_data.items():
        dataset = _selected_dataset({run: models[run] for run in runs}, data, config, frames)
        for index in range(len(dataset)):
            sample = dataset[index]
            for run in runs:
                predictions[run].append(_predict_frame(models[run], sample, protocol, config.mirror_average))
    return predictions


def _predict_frame(model: DepthModel, sample: Sample, protocol: Protocol, mirror_average: bool) -> FramePrediction:
    inputs = {"RGB": sample["image"].permute(1, 2, 0).numpy()} if "image" in sample else {}
    raw = (sample["image"] if model.input_key == "image" else sample["audio"])[None]
    with torch.inference_mode():
        prepared = model.front_end(raw.to(next(model.parameters()).device))
        (depth, uncertainty, _), lags = predict_with_lags(model.network, prepared)
        if mirror_average:
            depth, uncertainty, _ = MirrorAveraged(model).predict(raw)
    if model.input_key == "audio":
        left, right = prepared[0].chunk(2)
        inputs |= {"left ear": left[0].cpu().numpy(), "right ear": right[0].cpu().numpy()}
    return FramePrediction(
        inputs,
        _to_array(depth),
        sample["depth"][0].numpy(),
        protocol.scored(sample["depth"], sample["valid"])[0].numpy(),
        None if uncertainty is None else _to_array(uncertainty),
        lags,
    )


def _to_array(metres: Float[Tensor, "1 1 h w"]) -> Float[np.ndarray, "h w"]:
    array: np.ndarray = metres[0, 0].float().cpu().numpy()
    return array


def _selected_dataset(
    models: dict[str, DepthModel], data: DataConfig, config: ScoringConfig, frames: list[str]
) -> DepthDataset:
    """The selected frames, with their camera images where the dataset has them."""
    resize = get_protocol(config.protocol).depth_resize
    keys = {model.input_key for model in models.values()}
    needed: tuple[Modality, ...] = tuple(name for name in ALL_MODALITIES if name == "depth" or name in keys)
    listed, decoder = list_split(data, config.split, needed, resize)
    if "image" not in needed:
        try:
            with_images, _ = list_split(data, config.split, ALL_MODALITIES)
            records = {record.name: record for record in with_images}
            return DepthDataset([records[name] for name in frames], replace(decoder, modalities=ALL_MODALITIES))
        except DataError as error:
            names = ", ".join(model.run.experiment_name for model in models.values())
            log.warning("the pictures of %s lack the camera image: %s", names, error)
    records = {record.name: record for record in listed}
    return DepthDataset([records[name] for name in frames], decoder)
