"""The flags of ``echodepth convert`` and ``echodepth shard``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from echodepth.data.config import DataConfig, Split

Pairing = Literal["stem", "order", "time"]
DepthUnit = Literal["mm", "m"]
SplitChoice = Literal["train", "val", "test", "along"]


@dataclass(frozen=True)
class ConvertConfig:
    """Make one room's files into a location of a dataset in BatVision V2's format; run it once per room."""

    out: Path
    """The dataset's root; the location is written into it, whole or not at all."""
    location: str
    """Name of the room."""
    audio: str
    """Two-channel recordings, left ear first, as a quoted pattern: 'kitchen/*.wav'."""
    depth: str
    """Depth maps: .npy, or one-channel 16-bit pictures."""
    camera: str
    """Pictures, registered to the depth."""
    depth_unit: DepthUnit = "mm"
    """What a number in a depth map means."""
    pair: Pairing = "stem"
    """What belongs together: the same stem (audio_7, depth_7), the same place in the sorted list, or time."""
    times: Path | None = None
    """--pair time: a CSV file with the columns file and time (seconds); without it, stems are times."""
    tolerance: float = 0.05
    """--pair time: seconds between a recording and its picture or depth, at most."""
    split: SplitChoice = "train"
    """Where the room goes, as a whole; along: the first 70 % train, 72 to 78 % val, the last 20 % test."""
    swap_ears: bool = False
    """The right ear is the first channel."""


@dataclass(frozen=True, kw_only=True)
class ShardConfig(DataConfig):
    """Pack a dataset into tar files, to be read from object storage.

    They keep the files' own bytes: the settings of reading only say which rows are bad, and are chosen anew when the
    shards are read.
    """

    out: Path
    """Folder for the shards and their index."""
    splits: tuple[Split, ...] = ("train", "val", "test")
    """Which splits; others that were packed into the folder before stay."""
    shard_mb: int = 500
    """Size of a shard, about."""
    seed: int = 0
    """Of the order in which samples are written."""
    workers: int = 2
    """Processes."""
