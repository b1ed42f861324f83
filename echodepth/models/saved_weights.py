"""What a saved model claims, checked against its files before anything of that size is allocated."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from echodepth.core.errors import CheckpointError
from echodepth.core.schema import parse, read_json, short
from echodepth.models.run_record import RunRecord

FORMAT = 2
"""Format of the models that this version writes; it reads those from 1 on."""


@dataclass(frozen=True)
class SavedModel:
    """The content of a model's ``config.json``; the arguments are those of the constructors that are named."""

    format: int
    network: str
    arguments: dict[str, Any]
    front_end: dict[str, Any]
    run: RunRecord


def read_config(path: Path) -> dict[str, Any]:
    """The contents of a model's ``config.json``.

    Raises:
        CheckpointError: its format is not one that this version reads.
        OSError, SchemaError: it cannot be read, or is no such file.
    """
    config = read_json(path)
    if isinstance(config, dict) and "format" in config:
        check_format(config["format"], path)
    parse(SavedModel, config)
    return config  # type: ignore[no-any-return]


def check_format(saved: object, path: Path) -> None:
    """Raise a CheckpointError if a file's format is not one that this version reads."""
    if type(saved) is not int or not 1 <= saved <= FORMAT:
        raise CheckpointError(
            f"{path} has format {short(saved)}; this version of echodepth reads 1 to {FORMAT}: update it"
        )


def stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in a safetensors file, without reading its values; an OSError if it is no file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing")  # a pipe would never open
    with safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


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
