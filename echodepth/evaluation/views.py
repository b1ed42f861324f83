"""Chosen frames as one model sees and answers them, for pictures."""

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from echodepth.data import batvision
from echodepth.data.dataset import DepthDataset, open_dataset
from echodepth.data.sample import ALL_PARTS
from echodepth.errors import DataError
from echodepth.evaluation.config import EvaluateConfig
from echodepth.evaluation.evaluate import scored_data
from echodepth.evaluation.protocols import get_protocol
from echodepth.inference.trained import experiment_name
from echodepth.models.store import DepthModel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """One frame as one model sees and answers it.

    Attributes:
        inputs: a caption to an [h, w, 3] image in 0..1 or an [f, t] spectrogram.
        prediction: metres.
        depth: true metres.
        scored: the pixels that the protocol counts.
    """

    inputs: dict[str, np.ndarray]
    prediction: Float[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    scored: Bool[np.ndarray, "h w"]


def view_frames(model: DepthModel, config: EvaluateConfig, frames: list[str]) -> list[View]:
    """Predict the frames of these names; ``config`` says from which split and by which protocol."""
    if not frames:
        return []
    dataset = _pictured(model, config, frames)
    protocol = get_protocol(config.protocol)
    views = []
    for index in range(len(dataset)):
        sample = dataset[index]
        inputs = {"RGB": sample["image"].permute(1, 2, 0).numpy()} if "image" in sample else {}
        raw = (sample["image"] if model.input_key == "image" else sample["audio"])[None]
        with torch.inference_mode():
            raw = raw.to(next(model.parameters()).device)
            prediction = model(raw)[0, 0].float().cpu().numpy()
            if model.input_key == "audio":
                left, right = model.front_end(raw)[0].chunk(2)
                inputs |= {"left ear": left[0].cpu().numpy(), "right ear": right[0].cpu().numpy()}
        scored = protocol.scored(sample["depth"], sample["valid"])[0].numpy()
        views.append(View(inputs, prediction, sample["depth"][0].numpy(), scored))
    return views


def _pictured(model: DepthModel, config: EvaluateConfig, frames: list[str]) -> DepthDataset:
    """The frames to draw, with the camera's view of them where the dataset has it."""
    data = scored_data(model, config)
    resize = get_protocol(config.protocol).depth_resize
    if model.input_key == "image":
        dataset = open_dataset(data, config.split, ("image", "depth"), resize)
        records = {record.name: record for record in dataset.records}
        return DepthDataset([records[name] for name in frames], dataset.decoder)
    dataset = open_dataset(data, config.split, ("audio", "depth"), resize)
    try:
        records = {record.name: record for record in batvision.list_records(data, config.split, ALL_PARTS)}
        decoder = replace(dataset.decoder, parts=ALL_PARTS)
        return DepthDataset([records[name] for name in frames], decoder)
    except DataError as error:
        log.warning("the pictures for %s lack the camera's view: %s", experiment_name(model), error)
    records = {record.name: record for record in dataset.records}
    return DepthDataset([records[name] for name in frames], dataset.decoder)
