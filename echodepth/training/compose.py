"""Training configs whose flags are composed from the registries: those of the chosen network, front end and dataset."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, Literal, overload

import tyro

from echodepth.core.errors import ConfigError
from echodepth.core.flags import build, compose
from echodepth.core.registry import Registry, did_you_mean
from echodepth.data.config import DataConfig
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
        ConfigError: a flag or a choice is unknown, or a required flag is missing.
    """
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
    modality = KINDS[kind].modality
    network = _chosen(NETWORKS, modality, choices.model)
    front_end = _chosen(FRONT_ENDS, modality, choices.front_end)
    resolved = Choices(network.name, front_end.name, choices.dataset or DataConfig.dataset)
    return _composed(kind, resolved, for_command_line)


@functools.cache
def _composed(kind: str, choices: Choices, for_command_line: bool) -> type[TrainConfig]:
    base = KINDS[kind]
    groups: list[tuple[str, Any]] = [
        ("data", data_group(choices.dataset, for_command_line)),
        ("network", Annotated[_network_group(base.modality, choices, for_command_line), tyro.conf.arg(name="model")]),
        ("loss", compose("Losses", "Supervised loss against ground truth.", [Curriculum, *LOSSES])),
    ]
    if issubclass(base, DistillConfig):
        group = compose("Distillation", str(DistillationConfig.__doc__), [DistillationConfig, *DISTILLATION_LOSSES])
        groups.append(("distillation", group))
    composed = make_dataclass(base.__name__, groups, bases=(base,), frozen=True, kw_only=True)
    composed.__doc__ = base.__doc__
    return composed


def _network_group(modality: Modality, choices: Choices, for_command_line: bool) -> type:
    network = _chosen(NETWORKS, modality, choices.model)
    front_end = _chosen(FRONT_ENDS, modality, choices.front_end)
    fields = [
        ("model", _one_of(NETWORKS, modality, for_command_line), field(default=network.name)),
        ("front_end", _one_of(FRONT_ENDS, modality, for_command_line), field(default=front_end.name)),
    ]
    choice = make_dataclass("NetworkChoice", fields, bases=(NetworkChoice,), frozen=True, kw_only=True)
    return compose("Network", str(NetworkChoice.__doc__), [choice, network.config, front_end.config])


def _front_end_group(name: str | None, for_command_line: bool) -> type:
    front_end = _chosen(FRONT_ENDS, "audio", name)
    fields = [("front_end", _one_of(FRONT_ENDS, "audio", for_command_line), field(default=front_end.name))]
    choice = make_dataclass("FrontEndChoice", fields, bases=(FrontEndChoice,), frozen=True, kw_only=True)
    return compose("FrontEnd", str(FrontEndChoice.__doc__), [choice, front_end.config])


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


@functools.cache
def prepare_class(choices: Choices, for_command_line: bool = False) -> type[PrepareConfig]:
    """The config of ``prepare``, with the flags of the chosen dataset and front end; arguments as ``config_class``."""
    groups = [
        ("data", data_group(choices.dataset, for_command_line)),
        ("front_end", _front_end_group(choices.front_end, for_command_line)),
    ]
    composed = make_dataclass("PrepareConfig", groups, bases=(PrepareConfig,), frozen=True, kw_only=True)
    composed.__doc__ = PrepareConfig.__doc__
    return composed
