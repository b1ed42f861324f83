"""What a saved model claims, checked against its files before anything of that size is allocated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from echodepth.core.errors import CheckpointError

FORMAT = 2
"""Format of the models that this version writes; it reads those from 1 on."""
LARGEST_CONFIG = 2**24
"""Bytes of the largest config.json that is read."""


def read_config(path: Path) -> dict[str, Any]:
    """The contents of a model's ``config.json``.

    Raises:
        CheckpointError: it is larger than any such file.
        OSError, ValueError, RecursionError: it cannot be read as JSON.
    """
    if path.stat().st_size > LARGEST_CONFIG:
        raise CheckpointError(f"{path} has more than {LARGEST_CONFIG >> 20} MB: it is no config of a model")
    config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError("config.json is no mapping")
    return config


def check_format(saved: object, path: Path) -> None:
    """Raise a CheckpointError if a file's format is not one that this version reads."""
    if saved not in (1, FORMAT):
        raise CheckpointError(f"{path} has format {saved}; this version of echodepth reads 1 to {FORMAT}: update it")


def stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in a safetensors file, without reading its values."""
    with safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def as_stored(weights: Mapping[str, Tensor], dtype: str | None) -> dict[str, Tensor]:
    """Weights as a file holds them: on the CPU and contiguous, floating-point numbers in another format on request.

    Args:
        weights: a state dict.
        dtype: ``float16``, or None for the format they have.

    Raises:
        CheckpointError: a number is beyond the range of that format.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    if dtype is None:
        return stored
    rounded = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    for name, tensor in rounded.items():
        if not torch.equal(tensor.isfinite(), stored[name].isfinite()):
            raise CheckpointError(f"{name} has numbers above 65504, the largest of float16: save the model in float32")
    return rounded


def tensor_shapes(weights: Mapping[str, object], path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a state dict.

    Raises:
        CheckpointError: a value is no tensor, or is larger than what the file holds of it.
    """
    shapes = {}
    for name, value in weights.items():
        if not isinstance(value, Tensor) or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(f"{path} does not hold the weights that it claims: {name!a} is no whole tensor")
        shapes[str(name)] = tuple(value.shape)
    return shapes
