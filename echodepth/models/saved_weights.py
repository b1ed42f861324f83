"""What a saved model claims, checked against its files before anything of that size is allocated."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from echodepth.core.errors import CheckpointError, is_of_machine
from echodepth.core.integrity import (
    SEAL,
    DamageError,
    check_file,
    check_size,
    file_digest,
    seal,
    unseal,
    warn_of_no_seal,
)
from echodepth.core.schema import SchemaError, check, parse, read_json, require_shallow, short
from echodepth.models.run_record import RunRecord

log = logging.getLogger(__name__)
FORMAT = 2
"""Format of the models that this version writes; it reads those from 1 on."""
WEIGHTS = "model.safetensors"
_REMEDY = "copy the model again from where it came, or train it again"


@dataclass(frozen=True)
class SavedSpec:
    """A model's spec in a file; the arguments are those of the constructors that are named."""

    network: str
    arguments: dict[str, Any]
    front_end: dict[str, Any]


@dataclass(frozen=True)
class SavedModel(SavedSpec):
    """The content of a model's ``config.json``."""

    format: int
    run: RunRecord


@dataclass(frozen=True)
class SavedCheckpoint:
    """What a checkpoint of training holds beside weights and the states of the run, which no reader of models needs."""

    model_spec: SavedSpec
    run: RunRecord


def write_weights(folder: Path, config: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Write the weights of a model, and its ``config.json`` with their digest and those of its own two parts."""
    save_file(weights, folder / WEIGHTS)
    spec = {name: value for name, value in config.items() if name != "run"}
    sealed = seal(spec, folder, [WEIGHTS]) | {"run": seal(config["run"])}
    config_file = folder / "config.json"
    config_file.write_text(json.dumps(sealed, indent=2) + "\n", encoding="utf-8")
    (folder / WEIGHTS).chmod(config_file.stat().st_mode)  # safetensors lets the owner alone read them


def read_config(path: Path) -> dict[str, Any]:
    """The contents of a model's ``config.json``.

    Raises:
        CheckpointError: its format is not one that this version reads, or it or the weights beside it are damaged.
        OSError, SchemaError: it cannot be read, or is no such file.
    """
    config = check(read_json(path), dict[str, Any], "")
    if "format" in config:
        check_format(config["format"], path)
    config = _intact(config, path)
    parse(SavedModel, config)
    return config


def _intact(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """A config without its digests, once they are those of the network's description and of the weights beside it.

    The record of the training has a digest of its own, and a change of it is only warned of: it may be a user's. A
    folder that another program wrote has no digests: damage in it stays unseen, and a warning says so.

    Raises:
        CheckpointError: network, arguments or front end differ from their digest, or the weights from theirs.
    """
    run = config.pop("run", None)
    try:
        content, digests = unseal(config)
    except DamageError as error:
        raise CheckpointError(
            f"{path} is damaged, or was edited ({error}): {_REMEDY}; if the change is yours, delete its entry {SEAL!r}"
        ) from error
    weights = path.with_name(WEIGHTS)
    if digests is None:
        warn_of_no_seal(weights)
    try:
        check_size(weights)
    except DamageError as error:
        raise CheckpointError(f"{weights} is damaged, {error}: {_REMEDY}") from error
    if digests is not None and weights.is_file() and file_digest(weights) != digests.get(WEIGHTS):
        raise CheckpointError(f"{weights} is damaged, its contents differ from their sha256: {_REMEDY}")
    if isinstance(run, dict):
        try:
            run, sealed = unseal(run)
        except DamageError:
            run.pop(SEAL, None)
            sealed = None
        if sealed is None and digests is not None:
            log.warning("%s: the record of the training was edited, or is damaged: it differs from its sha256", path)
    return content if run is None else content | {"run": run}


def load_checkpoint(path: Path) -> Any:
    """The contents of a ``.pth``, once they are those of its digest, or of the checksums of another program's archive.

    Raises:
        CheckpointError: the file is damaged, or contains other objects than plain values and tensors.
    """
    try:
        check_file(path)
    except DamageError as error:
        raise CheckpointError(
            f"{path} is damaged, {error}: copy it again from where it came, or take another epoch of its run"
        ) from error
    # torch's own message recommends weights_only=False, which would execute code from the file.
    other = f"{path} cannot be read as a checkpoint of plain tensors: it is damaged, or contains other objects"
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive raises errors of many types
        if is_of_machine(error):
            raise
        raise CheckpointError(other) from error
    try:
        require_shallow(checkpoint)
    except SchemaError as error:
        raise CheckpointError(other) from error
    return checkpoint


def check_format(saved: object, path: Path) -> None:
    """Raise a CheckpointError if a file's format is not one that this version reads."""
    if type(saved) is not int or not 1 <= saved <= FORMAT:
        raise CheckpointError(
            f"{path} has format {short(saved)}; this version of echodepth reads 1 to {FORMAT}: update it"
        )


def check_parts(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Raise a CheckpointError if format, spec, record or weights of a ``.pth`` are none; weights may stand alone."""
    check_format(checkpoint.get("format", 1), path)
    try:
        if parts := {name: checkpoint[name] for name in ("model_spec", "run") if name in checkpoint}:
            parse(SavedCheckpoint, parts)
        check(checkpoint["model_state_dict"], dict[str, Tensor], "model_state_dict")
    except SchemaError as error:
        raise CheckpointError(f"{path} is not a complete checkpoint: {error}") from error


def stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in a safetensors file, without reading its values; an OSError if it is no file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing")  # a pipe would never open
    with safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def as_stored(weights: Mapping[str, Tensor], dtype: str | None) -> dict[str, Tensor]:
    """Weights as a file holds them: on the CPU and contiguous, weights of layers in another format on request.

    Biases and the vectors of norms keep theirs: they take little room, and a norm's rounding is that of all its pixels.

    Args:
        weights: a state dict.
        dtype: ``float16``, or None for the format they have.

    Raises:
        CheckpointError: a number is beyond the range of that format.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    if dtype is None:
        return stored
    rounded = {
        name: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        for name, tensor in stored.items()
    }
    for name, tensor in rounded.items():
        if not torch.equal(tensor.isfinite(), stored[name].isfinite()):
            raise CheckpointError(f"{name} has numbers above 65504, the largest of float16: save the model in float32")
    return rounded


def _is_whole(value: object) -> TypeGuard[Tensor]:
    """Whether a value is a plain tensor whose numbers are all in the file: not sparse, complex or a shell."""
    if (
        not isinstance(value, Tensor)
        or value.layout != torch.strided
        or value.is_meta
        or value.is_quantized
        or value.is_complex()
    ):
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def tensor_shapes(weights: Mapping[str, object], path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a state dict.

    Raises:
        CheckpointError: a value is no plain tensor, or is larger than what the file holds of it.
    """
    shapes = {}
    for name, value in weights.items():
        if not _is_whole(value):
            raise CheckpointError(f"{path} does not hold the weights that it claims: {name!a} is no whole tensor")
        shapes[str(name)] = tuple(value.shape)
    return shapes
