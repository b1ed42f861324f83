"""The flags of ``echodepth record`` and ``echodepth listen``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CardConfig:
    """Which loudspeaker and microphones, and how loud."""

    card: Literal["sounddevice", "simulated"] = "sounddevice"
    """sounddevice: this computer's (pip install 'echodepth[live]'); simulated: rooms that need no hardware."""
    input_device: str | None = None
    """Part of the name, or the number, of a device with two microphones; the system's own when not given."""
    output_device: str | None = None
    """Part of the name, or the number, of the loudspeaker; the system's own when not given."""
    volume: float = 0.5
    """Of the chirp, 0 to 1 of full scale."""
    calibrate: bool = False
    """First measure latency and level with a few chirps, and write them to the calibration file."""
    calibration: Path = Path("calibration.json")
    """Read where it is there: the chirp is then expected where it was measured."""
    seed: int = 0
    """Of the simulated card's rooms."""


@dataclass(frozen=True, kw_only=True)
class RecordConfig(CardConfig):
    """Play chirps and record what both ears hear, as numbered WAV files. Pictures and depth are another device's."""

    location: str
    """Name of the room: its folder below --out."""
    out: Path = Path("recordings")
    """Folder of the recordings; numbers go on where an earlier run ended."""
    count: int = 10
    """How many recordings."""
    interval: float = 1.0
    """Seconds from one chirp to the next, at least; a room must fall silent in between."""


@dataclass(frozen=True, kw_only=True)
class ListenConfig(CardConfig):
    """Chirp, listen, and show the depth that a trained model hears, again and again."""

    checkpoint: str | None = None
    """An audio model: a best/ folder, an epoch_XXXX.pth, or the name of an experiment under checkpoints/."""
    count: int | None = None
    """How many chirps; until Ctrl-C when not given."""
    interval: float = 0.5
    """Seconds from one chirp to the next, at least."""
    save: Path | None = None
    """Keep every recording and its depth map in this folder."""
    columns: int = 48
    """Width of the depth picture in characters."""
    match_level: bool = True
    """Scale each recording to the loudness of BatVision V2's direct sound, which models are trained with."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
