"""The flags of ``echodepth shard``. This module imports no torch: it feeds ``--help``."""

from dataclasses import dataclass
from pathlib import Path

from echodepth.core.flags import PathsFromText
from echodepth.data.config import DataConfig
from echodepth.data.records import Split


@dataclass(frozen=True, kw_only=True)
class ShardConfig(PathsFromText):
    """Pack a dataset into tar shards for object storage.

    The shards hold the files' own bytes; the data flags only decide which rows.
    """

    out: Path
    """Folder of the shards and their index."""
    splits: tuple[Split, ...] = ("train", "val", "test")
    """Splits to pack; other splits that the folder already contains stay."""
    shard_mb: int = 500
    """Approximate size of a shard in MB."""
    seed: int = 0
    """Seed of the order in which samples are written."""
    workers: int = 2
    """Number of writing processes."""
    data: DataConfig
