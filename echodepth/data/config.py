"""The data flags of training, evaluation and comparison. Nothing heavy is imported: they feed ``--help``."""

import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.constructors import PrimitiveConstructorSpec

from echodepth.core import flags as flag_groups
from echodepth.core.constants import SPEED_OF_SOUND
from echodepth.core.errors import ConfigError
from echodepth.core.flags import PathsFromText
from echodepth.data.dataset_registry import DATASETS

SOURCE_FLAGS = frozenset({"data_dir", "shard_cache", "verify"})
"""Flags that select where samples are read from, or how, and leave the samples as they are."""


def address(text: str) -> Path | str:
    """A folder as a path; an address such as ``s3://bucket/rooms`` as text, because a path merges its two slashes."""
    return text if "://" in text else Path(text)


OptionalAddress = Annotated[
    Path | str | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH|URL",
        instance_from_str=lambda words: address(words[0]),
        is_instance=lambda value: value is None or isinstance(value, Path | str),
        str_from_instance=lambda value: [str(value)],
    ),
]
"""Type of a flag that takes a folder or an address, or is not given."""


@dataclass(frozen=True)
class DataConfig(PathsFromText):
    """Dataset, image size and audio cut."""

    dataset: str = "batvisionv2"
    """Reader of the dataset: batvisionv1, batvisionv2, rgbd (a folder with a TUM association list), simulated."""
    data_dir: OptionalAddress = None
    """Root of the dataset (default: data/<dataset>; simulated: created in the cache), or address of its shards."""
    image_size: int = 256
    """Side in pixels of image and depth map."""
    max_depth: float | None = None
    """Clip depth at this many metres. Default: 30 for batvisionv2 and simulated, 12 for batvisionv1, 10 for rgbd."""
    audio_start: Literal["onset", "zero"] | int = "onset"
    """Start of the waveform: onset of the direct sound, sample zero, or a sample number."""
    audio_seconds: float | None = None
    """Length of the waveform in seconds. Default: the round trip of sound to max_depth at 340 m/s."""
    locations: tuple[str, ...] = ()
    """Use only these locations (batvisionv1: dated folders). Default: all."""
    leave_out: str | None = None
    """Exclude this location from training and validation; all its rows, of every split, become the test split."""
    skip_bad: bool = False
    """Skip, count and list bad rows; otherwise the first bad row stops the run."""
    shard_cache: Path | None = None
    """Shards only: keep fetched shards in this folder and reuse them."""
    verify: bool = False
    """Read all prepared arrays, local shards and simulated files first, to compare each with its sha256."""

    @property
    def address(self) -> Path | str:
        """Root of the dataset, or address of its shards, as messages name it."""
        return self.data_dir if isinstance(self.data_dir, str) else self.root

    @property
    def root(self) -> Path:
        """Root folder of the dataset.

        Raises:
            ConfigError: ``data_dir`` is an address, or the dataset is unknown.
        """
        if isinstance(self.data_dir, str):
            raise ConfigError(
                f"--data_dir {self.data_dir}: only training and `echodepth evaluate` read shards from an address; "
                "give a folder with the dataset's files"
            )
        return self.data_dir if self.data_dir is not None else DATASETS[self.dataset].default_root()

    @property
    def depth_limit(self) -> float:
        """``max_depth`` in metres, by default that of the dataset."""
        return self.max_depth if self.max_depth is not None else DATASETS[self.dataset].max_depth

    @property
    def cut_seconds(self) -> float:
        """Length of the waveform in seconds."""
        return self.audio_seconds if self.audio_seconds is not None else 2 * self.depth_limit / SPEED_OF_SOUND

    def as_flags(self) -> str:
        """The flags that differ from their defaults, for a command that messages name."""
        words = ["--dataset", self.dataset]
        for each in fields(DATASETS[self.dataset].config):
            value = getattr(self, each.name, each.default)
            if each.name not in ("dataset", "verify") and value != each.default:
                given = [] if value is True else value if isinstance(value, tuple) else [value]
                words += [f"--{each.name}", *map(str, given)]
        return shlex.join(words)

    def check_locations(self) -> None:
        """Raise a ConfigError if locations are selected and the dataset has none."""
        if (self.locations or self.leave_out is not None) and not DATASETS[self.dataset].has_locations:
            raise ConfigError(f"--dataset {self.dataset} has no locations: omit --locations and --leave_out")


def data_config(dataset: str, **flags: Any) -> DataConfig:
    """The config of a dataset, of the class that has the dataset's own flags.

    Args:
        dataset: name in the registry.
        flags: any flags of that config.

    Raises:
        ConfigError: the dataset or a flag is unknown.
    """
    config: DataConfig = flag_groups.build(DATASETS[dataset].config, flags | {"dataset": dataset})
    return config


def extract_data_config(config: Any, dataset: str | None = None, **changes: Any) -> DataConfig:
    """The data flags alone of a command's config, as the config class of its dataset.

    Args:
        config: has a dataset and any data flags; absent ones keep their defaults.
        dataset: replaces that of the config.
        changes: flags with other values.

    Raises:
        ConfigError: the dataset or a flag is unknown.
    """
    name = dataset if dataset is not None else config.dataset
    present = {each.name for each in fields(DATASETS[name].config) if hasattr(config, each.name)} - {"dataset"}
    return data_config(name, **{each: getattr(config, each) for each in present} | changes)


def change_source(config: DataConfig, dataset: str | None, data_dir: Path | str | None) -> DataConfig:
    """The same settings for another dataset or another root, where one is given.

    Root and locations are reset with the dataset: they have no meaning in another one.
    """
    if dataset is not None and dataset != config.dataset:
        config = extract_data_config(config, dataset=dataset, data_dir=None, locations=(), leave_out=None)
    return config if data_dir is None else replace(config, data_dir=data_dir)


def flag_names() -> frozenset[str]:
    """Names of the data flags of all registered datasets."""
    return frozenset(each.name for reader in DATASETS for each in fields(reader.config))
