"""The data flags of commands whose dataset is chosen on the command line: each dataset may have flags of its own."""

import functools
from dataclasses import field, make_dataclass
from typing import Annotated, Any, Literal, TypeVar

import tyro

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


@functools.cache
def with_data(config: type[Config], dataset: str | None, for_command_line: bool = False) -> type[Config]:
    """A command's config whose group ``data`` has the flags of one dataset; arguments as of ``data_group``."""
    groups = [("data", data_group(dataset, for_command_line))]
    composed = make_dataclass(config.__name__, groups, bases=(config,), frozen=True, kw_only=True)
    composed.__doc__ = config.__doc__
    return composed
