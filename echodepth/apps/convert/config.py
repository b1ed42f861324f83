"""The flags of ``echodepth convert``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
