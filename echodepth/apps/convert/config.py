"""Flags of ``echodepth convert``. Imports nothing heavy, because ``--help`` reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from echodepth.core.flags import PathsFromText

Pairing = Literal["stem", "order", "time"]
DepthUnit = Literal["mm", "m"]
SplitChoice = Literal["train", "val", "test", "along"]


@dataclass(frozen=True)
class ConvertConfig(PathsFromText):
    """Convert the files of one room into BatVision V2's format; run it once per room."""

    out: Path
    """Root folder of the dataset; a conversion that fails leaves nothing in it."""
    location: str
    """Name of the room, and of its folder below --out."""
    audio: str
    """Quoted glob pattern of the two-channel recordings, left ear first: 'kitchen/*.wav'; names may have brackets."""
    depth: str
    """Quoted glob pattern of the depth maps: .npy, or one-channel 16-bit images."""
    camera: str
    """Quoted glob pattern of the RGB images, registered to the depth maps."""
    depth_unit: DepthUnit = "mm"
    """Unit of the depth maps: mm or m."""
    pair: Pairing = "stem"
    """Match files by stem (audio_7 and depth_7), by order in the sorted lists, or by time."""
    times: Path | None = None
    """--pair time: CSV file with the columns file and time (seconds); default: each stem is a time in seconds."""
    tolerance: float = 0.05
    """--pair time: largest difference between a recording and its image or depth map, in seconds."""
    split: SplitChoice = "train"
    """Split of the whole room; along splits it by order: first 70 % train, 72 to 78 % val, last 20 % test."""
    swap_ears: bool = False
    """Exchange the channels, for recordings whose first channel is the right ear."""
