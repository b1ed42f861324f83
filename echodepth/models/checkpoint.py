"""Saved models: the network, the front end it was trained with, and the record of its training.

A model folder holds ``config.json``, ``model.safetensors`` and ``README.md``, the model card. Evaluation, prediction
and distillation need nothing else. The checkpoints of training (``epoch_0002.pth``) can be read as well.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from echodepth.core.atomic_io import atomic_folder
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.flags import plain, select
from echodepth.core.packaged import DEFAULT_MODEL, missing_model, packaged_model, packaged_or_own
from echodepth.core.registry import Registry
from echodepth.core.run_paths import experiment_name, model_folders
from echodepth.core.schema import check, check_arguments, short
from echodepth.models.bare_weights import recognise_network
from echodepth.models.format_1 import upgrade_checkpoint, upgrade_run, upgrade_spec, upgrade_weights
from echodepth.models.frontends import FRONT_ENDS, default_front_end
from echodepth.models.frontends.base import MINIMUM_SIZE, FrontEnd
from echodepth.models.hub import fetch, is_hub_id
from echodepth.models.layers import DepthNet, Features, Prediction, count_parameters
from echodepth.models.load_checks import load_settled, require_finite
from echodepth.models.model_card import write_card
from echodepth.models.networks import NETWORKS
from echodepth.models.removed_attention import drop_attention_pattern
from echodepth.models.run_record import RunRecord
from echodepth.models.saved_weights import (
    FORMAT,
    WEIGHTS,
    as_stored,
    check_parts,
    load_checkpoint,
    read_config,
    stored_shapes,
    tensor_shapes,
    write_weights,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSpec:
    """How to build a model, in plain values that can be saved.

    Attributes:
        network: a name in ``NETWORKS``.
        arguments: constructor arguments of the network.
        front_end: constructor arguments of the front end, and under ``name`` its name in ``FRONT_ENDS``; without a
            name it is the default front end of the network's modality.
    """

    network: str
    arguments: dict[str, Any] = field(default_factory=dict)
    front_end: dict[str, Any] = field(default_factory=dict)


def build_spec(
    network: str, network_config: object, front_end: str, front_end_config: object, image_size: int, max_depth: float
) -> ModelSpec:
    """The spec of a new model.

    Args:
        network: a name in ``NETWORKS``.
        network_config: has the flags of the network's config as attributes.
        front_end: a name in ``FRONT_ENDS``.
        front_end_config: has the flags of the front end's config as attributes.
        image_size: side in pixels of the depth map, and of the image of a network that takes one.
        max_depth: upper end of the prediction in metres.

    Raises:
        ConfigError: a name is unknown, or network and front end have different modalities.
        ValueError: a setting of the front end is out of range.
    """
    net, end = NETWORKS[network], FRONT_ENDS[front_end]
    if net.modality != end.modality:
        raise ConfigError(f"--{FRONT_ENDS.flag} {front_end} is for {end.modality}; {network} takes {net.modality}")
    built = end.from_config(front_end_config, image_size)
    arguments = {
        **plain(select(network_config, net.config)),
        "output_size": image_size,
        "max_depth": max_depth,
        **built.network_arguments,
    }
    return ModelSpec(network, arguments, {"name": front_end, **built.settings})


class DepthModel(nn.Module):
    """A network behind the front end it was trained with: raw images or waveforms in, depth in metres out.

    Args:
        spec: how to build it.
        run: the record of its training.

    Raises:
        CheckpointError: the spec names an unknown network or front end.
        ValueError: an argument is unknown, of another type or out of range.
    """

    def __init__(self, spec: ModelSpec, run: RunRecord | None = None) -> None:
        super().__init__()
        _require(NETWORKS, spec.network)
        network = NETWORKS[spec.network]
        name = check(spec.front_end.get("name") or default_front_end(network.modality), str, "front_end.name")
        _require(FRONT_ENDS, name)
        self.spec = replace(spec, front_end={**spec.front_end, "name": name})
        self.run = run or RunRecord()
        settings = {key: value for key, value in spec.front_end.items() if key != "name"}
        check_arguments(FRONT_ENDS[name], settings, "front_end")
        check_arguments(network, spec.arguments, "arguments")
        self.front_end: FrontEnd = FRONT_ENDS[name](**settings)
        self.network: DepthNet = network(**spec.arguments)
        if self.network.output_size is None:  # the output of a front end may have any shape
            self.network.output_size = self.front_end.image_size

    def __repr__(self) -> str:
        size, side = f"{count_parameters(self.network) / 1e6:.2f} M parameters", self.image_size
        return f"DepthModel({self.spec.network}, {size}: {self.input_key} to {side}x{side}, up to {self.max_depth:g} m)"

    @property
    def input_key(self) -> str:
        """Key of a sample that the model takes: ``image`` or ``audio``."""
        return self.front_end.modality

    @property
    def max_depth(self) -> float:
        """Upper end of the prediction, in metres."""
        return float(self.network.max_depth)

    @property
    def image_size(self) -> int:
        """Side of the depth map, in pixels."""
        return self.front_end.image_size

    @property
    def has_uncertainty(self) -> bool:
        """Whether the network has an uncertainty head."""
        return self.network.uncertainty_head is not None

    def feature_channels(self) -> dict[str, int]:
        """Channels of the feature maps by name."""
        return {level: shape[1] for level, shape in self._feature_shapes(MINIMUM_SIZE).items()}

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of the feature maps by name."""
        return {level: (shape[2], shape[3]) for level, shape in self._feature_shapes(self.image_size).items()}

    def _feature_shapes(self, side: int) -> dict[str, torch.Size]:
        training = self.training
        with torch.no_grad():
            example = next(self.network.parameters()).new_zeros(1, self.front_end.input_channels, side, side)
            _, features = self.network.eval()(example, return_features=True)
        self.train(training)
        return {level: feature.shape for level, feature in features.items()}

    def forward(self, raw: Tensor, return_features: bool = False) -> Tensor | tuple[Tensor, Features]:
        """Depth [B,1,S,S] in metres from images [B,3,H,W] in 0..1 or waveforms [B,2,T]; features on request."""
        result: Tensor | tuple[Tensor, Features] = self.network(self.front_end(raw), return_features)
        return result

    def predict(self, raw: Tensor) -> Prediction:
        """Depth, uncertainty and features from images or waveforms on any device."""
        prepared = self.front_end(raw.to(next(self.parameters()).device))
        if prepared.device.type == "cpu" and not torch.is_grad_enabled():
            # A sixth faster on a CPU without a backward pass; docs/speed.md has the figure.
            prepared = prepared.contiguous(memory_format=torch.channels_last)
        return self.network.predict(prepared)


def _require(registry: Registry[Any], name: str) -> None:
    if name not in registry:
        raise CheckpointError(
            f"unknown {registry.kind} {short(name)}: there are {', '.join(registry.names())}; load the module that "
            "defines it with --plugin MODULE"
        )


def save_model(model: DepthModel, folder: str | Path, licence: str | None = None) -> None:
    """Write a model folder, which replaces an older one in one step; ``licence`` is that of the weights.

    Raises:
        CheckpointError: a weight is too large for the record's ``dtype``.
    """
    config = {"format": FORMAT, **asdict(model.spec), "run": model.run.to_plain()}
    weights = as_stored(model.network.state_dict(), model.run.dtype)
    with atomic_folder(Path(folder), replace=True) as new:
        write_weights(new, config, weights)
        (new / "README.md").write_text(write_card(model.network, model.image_size, model.run, licence))


def load_depth_model(checkpoint: str | Path | None = None, device: str | torch.device = "cpu") -> DepthModel:
    """Load a saved model, in eval mode.

    Args:
        checkpoint: a model folder, a ``.pth`` file with ``model_state_dict``, the name of an experiment, whose best
            model is read, that of a packaged model, or ``ORG/NAME`` on the Hugging Face Hub; None for the default
            packaged model, with a warning that says so.
        device: of the model.

    Raises:
        CheckpointError: there is no such model, it is unreadable, or its weights do not fit the network or are NaN.
    """
    path = find_checkpoint(checkpoint)
    model = load_settled(path, _load_folder) if path.is_dir() else _load_file(path)
    require_finite(model.network.state_dict(), path)
    if checkpoint is None:
        limits = model.run.data_limits or ""
        log.warning("no model is named: %s is used, which comes with echodepth. %s", DEFAULT_MODEL, limits)
    return model.to(device).eval()


def find_checkpoint(checkpoint: str | Path | None) -> Path:
    """The folder or file that ``checkpoint`` names, downloaded from the Hub if it is not a local one.

    None is the default packaged model, and never one of the user's that has its name.

    Raises:
        CheckpointError: there is none; the message lists the experiments that have a model.
    """
    if checkpoint is None and packaged_model(DEFAULT_MODEL) is None:
        raise missing_model("no model is named, and none comes with this installation of echodepth: give --checkpoint")
    checkpoint = DEFAULT_MODEL if checkpoint is None else checkpoint
    own = next((each for each in model_folders(checkpoint) if (each / "config.json").is_file() or each.is_file()), None)
    if found := packaged_or_own(checkpoint, own):
        return found
    if is_hub_id(str(checkpoint)):
        return fetch(str(checkpoint))
    raise missing_model(f"no model at {checkpoint}: give")


def _load_folder(folder: Path) -> DepthModel:
    try:
        config = read_config(folder / "config.json")
        saved = config["format"]
        if saved == 1:
            config = {**upgrade_spec(config), "run": upgrade_run(config["run"])}
        config = drop_attention_pattern(config, folder)
        spec = ModelSpec(config["network"], config["arguments"], config["front_end"])
        shapes, run = stored_shapes(folder / WEIGHTS), RunRecord.from_plain(config["run"], folder / "config.json")
        _check_fit(spec, upgrade_weights(shapes) if saved == 1 else shapes, folder)
        model, weights = DepthModel(spec, run), load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is not a complete model folder: {error}") from error
    return _fill(model, upgrade_weights(weights) if saved == 1 else weights, folder)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The plain values and tensors of a ``.pth`` file with ``model_state_dict``, on the CPU, in today's names.

    Raises:
        CheckpointError: the file is damaged, contains other objects, or has no network of this version.
    """
    checkpoint = load_checkpoint(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model_state_dict"), dict):
        raise CheckpointError(f"{path} has no model_state_dict: give a checkpoint of a depth network")
    check_parts(checkpoint, path)
    upgraded: dict[str, Any] = upgrade_checkpoint(checkpoint) if checkpoint.get("format", 1) == 1 else checkpoint
    return drop_attention_pattern(upgraded, path) if "model_spec" in upgraded else upgraded


def _load_file(path: Path) -> DepthModel:
    checkpoint = read_checkpoint(path)
    weights = checkpoint["model_state_dict"]
    try:
        if "model_spec" in checkpoint:
            spec, run = ModelSpec(**checkpoint["model_spec"]), RunRecord.from_plain(checkpoint["run"], path)
        else:
            spec = ModelSpec(*recognise_network(weights, path))
            run = RunRecord(experiment_name=experiment_name(path.stem))
        _check_fit(spec, tensor_shapes(weights, path), path)
        model = DepthModel(spec, run)
    except (LookupError, ValueError) as error:  # weights of no dimension, when the spec is inferred from them
        raise CheckpointError(f"{path} is not a complete checkpoint: {error}") from error
    return _fill(model, weights, path)


def _check_fit(spec: ModelSpec, shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Raise a CheckpointError if weights of these shapes are not the model's; nothing is allocated."""
    with torch.device("meta"):
        _fill(DepthModel(spec), {name: torch.empty(shape) for name, shape in shapes.items()}, path)


def _fill(model: DepthModel, weights: Mapping[str, Tensor], path: Path) -> DepthModel:
    try:
        model.network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        _, *mismatches = str(error).splitlines()
        listed = "; ".join(line.strip() for line in mismatches[:3])
        more = f"; and {len(mismatches) - 3} more" if len(mismatches) > 3 else ""
        raise CheckpointError(f"the weights in {path} do not fit {model.spec}: {listed}{more}") from error
    return model
