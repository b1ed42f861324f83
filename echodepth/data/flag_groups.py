"""The data flags of commands whose dataset is chosen on the command line: each dataset may have flags of its own."""

import argparse
from collections.abc import Sequence
from dataclasses import field, make_dataclass
from typing import Annotated, Any, Literal, TypeVar

import tyro

from echodepth.core.flags import CommandFlags, build, flat, with_groups
from echodepth.data.config import DataConfig
from echodepth.data.dataset_registry import DATASETS

Config = TypeVar("Config")


def data_group(dataset: str | None, for_command_line: bool = False) -> type[DataConfig]:
    """The config class of a dataset.

    Args:
        dataset: name in the registry; None takes the default.
        for_command_line: list the registered names as the choices of ``--dataset``.

    Raises:
        ConfigError: there is no such dataset.
    """
    name = dataset or DataConfig.dataset
    config: type[DataConfig] = DATASETS[name].config
    if not for_command_line:
        return config
    names = tuple(DATASETS.names())
    choices: Any = Annotated[Literal[names], tyro.conf.arg(help="Name of the dataset.")]
    chosen = make_dataclass(config.__name__, [("dataset", choices, field(default=name))], bases=(config,), frozen=True)
    chosen.__doc__ = DataConfig.__doc__
    return chosen


def with_data(config: type[Config], dataset: str | None, for_command_line: bool = False) -> type[Config]:
    """A command's config whose group ``data`` has the flags of one dataset; arguments as of ``data_group``."""
    return with_groups(config, ("data", data_group(dataset, for_command_line)))


def data_flags(config: type, words: Sequence[str]) -> CommandFlags:
    """The flags of a command whose config has a group ``data``."""
    dataset = chosen_values(words, "dataset")["dataset"]
    composed: type[Any] = with_data(config, dataset)
    return CommandFlags(with_data(config, dataset, True), None, lambda given: build(composed, flat(given)))


def chosen_values(words: Sequence[str], *flags: str) -> dict[str, str | None]:
    """The values of some flags, found before the others are known."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for flag in flags:
        names = {f"--{flag}", f"--{flag.replace('_', '-')}"} | ({"--student"} if flag == "model" else set())
        parser.add_argument(*sorted(names), dest=flag, nargs="?")
    return vars(parser.parse_known_args(list(words))[0])
