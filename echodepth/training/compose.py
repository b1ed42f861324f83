"""Training configs whose flags are composed from the registries: those of the chosen network, front end and dataset."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, Literal, overload

import tyro

from echodepth.core.errors import ConfigError
from echodepth.core.flags import build, compose, with_groups
from echodepth.core.registry import Registry, did_you_mean
from echodepth.data.flag_groups import data_group
from echodepth.data.records import Modality
from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.losses import LOSSES
from echodepth.losses.config import Curriculum
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.networks import NETWORKS
from echodepth.training.config import (
    BinauralConfig,
    DistillationConfig,
    DistillConfig,
    FrontEndChoice,
    NetworkChoice,
    PrepareConfig,
    RGBConfig,
    TrainConfig,
)
from echodepth.training.initial_weights import load_initial

_MODEL_SECTION = tyro.conf.arg(name="model")
KINDS: dict[str, type[TrainConfig]] = {config.kind: config for config in (RGBConfig, BinauralConfig, DistillConfig)}
"""The subcommands of ``echodepth train``."""


@dataclass(frozen=True)
class Choices:
    """What decides which flags a training command has; None takes the default.

    Attributes:
        model: name of the network.
        front_end: name of the front end.
        dataset: name of the dataset.
    """

    model: str | None = None
    front_end: str | None = None
    dataset: str | None = None

    @classmethod
    def of(cls, flags: Mapping[str, Any]) -> "Choices":
        """Those that are among some flags."""
        return cls(flags.get("model"), flags.get("front_end"), flags.get("dataset"))


@overload
def train_config(kind: Literal["distill"], **flags: Any) -> DistillConfig: ...
@overload
def train_config(kind: str, **flags: Any) -> TrainConfig: ...
def train_config(kind: str, **flags: Any) -> TrainConfig:
    """A training config from flags by name, as on the command line.

    Args:
        kind: rgb, binaural or distill.
        flags: any flag that this kind, network, front end and dataset have.

    Raises:
        CheckpointError: the model of ``init`` cannot be read.
        ConfigError: a flag or a choice is unknown, contradicts ``init``, or a required flag is missing.
    """
    if kind in KINDS and flags.get("init") is not None:
        flags = load_initial(flags["init"], KINDS[kind].modality, flags)[1] | flags
    return build(config_class(kind, Choices.of(flags)), flags)


def config_class(kind: str, choices: Choices, for_command_line: bool = False) -> type[TrainConfig]:
    """The config of one kind of training, with all flags of the chosen network, front end and dataset.

    Args:
        kind: rgb, binaural or distill.
        choices: network, front end and dataset.
        for_command_line: list the registered names as choices.

    Raises:
        ConfigError: a choice is unknown, or does not take this kind's input.
    """
    if kind not in KINDS:
        raise ConfigError(f"train {kind}: there is no such training; {did_you_mean(kind, KINDS)}")
    base = KINDS[kind]
    groups: list[tuple[str, Any]] = [
        ("data", data_group(choices.dataset, for_command_line)),
        ("network", Annotated[_network_group(base.modality, choices, for_command_line), _MODEL_SECTION]),
        ("loss", compose("Losses", "Supervised loss against ground truth.", Curriculum, *_in_order(LOSSES))),
    ]
    if issubclass(base, DistillConfig):
        group = compose(
            "Distillation", str(DistillationConfig.__doc__), DistillationConfig, *_in_order(DISTILLATION_LOSSES)
        )
        groups.append(("distillation", group))
    return with_groups(base, *groups)


def _in_order(losses: Registry[Any]) -> list[type]:
    return sorted(losses, key=lambda loss: (loss.order, loss.name))


def _network_group(modality: Modality, choices: Choices, for_command_line: bool) -> type:
    network = _chosen(NETWORKS, modality, choices.model)
    front_end = _chosen(FRONT_ENDS, modality, choices.front_end)
    model_type = _one_of(NETWORKS, modality, for_command_line)
    front_end_type = _one_of(FRONT_ENDS, modality, for_command_line)
    choice = _choice(("model", model_type, network.name), ("front_end", front_end_type, front_end.name))
    return compose("Network", str(NetworkChoice.__doc__), choice, network.config, front_end.config)


def _front_end_group(name: str | None, for_command_line: bool) -> type:
    front_end = _chosen(FRONT_ENDS, "audio", name)
    choice = _choice(("front_end", _one_of(FRONT_ENDS, "audio", for_command_line), front_end.name))
    return compose("FrontEnd", str(FrontEndChoice.__doc__), choice, front_end.config)


@functools.cache
def _choice(*flags: tuple[str, Any, str]) -> type:
    """A group of flags that name registry entries: name, type and default of each."""
    base = NetworkChoice if len(flags) > 1 else FrontEndChoice
    fields = [(name, annotation, field(default=default)) for name, annotation, default in flags]
    return make_dataclass(base.__name__, fields, bases=(base,), frozen=True, kw_only=True)


def _chosen(registry: Registry[Any], modality: Modality, name: str | None) -> Any:
    """The entry of that name, or the modality's default."""
    if name is None:
        return next(entry for entry in registry if entry.modality == modality and entry.is_default)
    entry = registry[name]
    if entry.modality != modality:
        raise ConfigError(f"--{registry.flag} {name} takes {entry.modality}, and the input here is {modality}")
    return entry


def _one_of(registry: Registry[Any], modality: Modality, for_command_line: bool) -> Any:
    """The type of a flag that names an entry: on the command line with the names as choices."""
    if not for_command_line:
        return str
    names = tuple(entry.name for entry in registry if entry.modality == modality)
    aliases = ("--student",) if registry is NETWORKS and modality == "audio" else ()
    return Annotated[Literal[names], tyro.conf.arg(help=f"Name of the {registry.kind}.", aliases=aliases)]


def prepare_class(choices: Choices, for_command_line: bool = False) -> type[PrepareConfig]:
    """The config of ``prepare``, with the flags of the chosen dataset and front end; arguments as ``config_class``."""
    return with_groups(
        PrepareConfig,
        ("data", data_group(choices.dataset, for_command_line)),
        ("front_end", _front_end_group(choices.front_end, for_command_line)),
    )
