"""Short training runs on a tiny set, and what they leave behind."""

import csv
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from echodepth.models.checkpoint import DepthModel, load_depth_model
from echodepth.models.run_record import RunRecord
from echodepth.training import train as training
from echodepth.training.compose import train_config
from echodepth.training.config import DistillConfig, TrainConfig

TINY: dict[str, Any] = {
    "image_size": 32,
    "base_channels": 4,
    "batch_size": 2,
    "num_workers": 0,
    "nb_epochs": 1,
    "learning_rate": 1e-3,
    "device": "cpu",
}


def rgb(root: Path, **flags: Any) -> TrainConfig:
    return train_config("rgb", **{**TINY, "data_dir": root, "experiment_name": "rgb", **flags})


def binaural(root: Path, **flags: Any) -> TrainConfig:
    return train_config("binaural", **{**TINY, "data_dir": root, "experiment_name": "ears", **flags})


def distil(root: Path, teacher: str = "rgb", **flags: Any) -> DistillConfig:
    return train_config(
        "distill", **{**TINY, "data_dir": root, "teacher": teacher, "experiment_name": "taught", **flags}
    )


def train(config: TrainConfig) -> DepthModel:
    return load_depth_model(training.train(config))


def last_weights(experiment: str, epoch: int) -> dict[str, Tensor]:
    checkpoint = torch.load(f"checkpoints/{experiment}/epoch_{epoch:04d}.pth", weights_only=True)
    weights: dict[str, Tensor] = checkpoint["model_state_dict"]
    return weights


def assert_bit_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def curve(experiment: str) -> list[dict[str, str]]:
    with Path(f"logs/{experiment}/metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def untrained_teacher(root: Path, seed: int) -> DepthModel:
    torch.manual_seed(seed)
    return DepthModel(training.model_spec(rgb(root)), RunRecord(kind="rgb"))
