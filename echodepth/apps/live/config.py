"""Flags of ``echodepth record`` and ``echodepth listen``. Imports nothing heavy, because ``--help`` reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from echodepth.core.flags import PathsFromText


@dataclass(frozen=True, kw_only=True)
class CardConfig(PathsFromText):
    """Sound card, volume and calibration."""

    card: Literal["sounddevice", "simulated"] = "sounddevice"
    """sounddevice: this computer's card (pip install 'echodepth[live]'); simulated: simulated rooms, no hardware."""
    input_device: str | None = None
    """Number, or part of the name, of a device with two microphones; default: the system's input device."""
    output_device: str | None = None
    """Number, or part of the name, of the loudspeaker; default: the system's output device."""
    volume: float = 0.5
    """Amplitude of the chirp, above 0 and up to 1, as a fraction of full scale."""
    calibrate: bool = False
    """Measure latency and level with five chirps first, and write them to --calibration."""
    calibration: Path = Path("calibration.json")
    """Calibration file; if it exists, the chirp is accepted only near the measured latency."""
    seed: int = 0
    """Random seed of the rooms of --card simulated."""


@dataclass(frozen=True, kw_only=True)
class RecordConfig(CardConfig):
    """Play chirps and record both ears as numbered WAV files, without images or depth."""

    location: str
    """Name of the room, and of its folder below --out."""
    out: Path = Path("recordings")
    """Output folder; numbering continues after existing recordings."""
    count: int = 10
    """Number of recordings."""
    interval: float = 1.0
    """Shortest time from one chirp to the next, in seconds; echoes must decay in between."""


@dataclass(frozen=True, kw_only=True)
class ListenConfig(CardConfig):
    """Play chirps, record the echoes, and show the predicted depth in the terminal."""

    checkpoint: str | None = None
    """Audio model: folder, .pth, experiment or ORG/NAME on the Hub; default: echodepth-light, --calibrate: none."""
    count: int | None = None
    """Number of chirps; default: until Ctrl-C."""
    interval: float = 0.5
    """Shortest time from one chirp to the next, in seconds."""
    save: Path | None = None
    """Folder for all recordings and predicted depth maps; default: nothing is kept."""
    columns: int = 48
    """Width of the depth map in characters, at least 8."""
    match_level: bool = True
    """Scale each recording so that its direct sound has the level of BatVision V2's, as in training."""
    trust_code: bool = False
    """Open a .pt2 file, which can hold code that runs on opening: only one that you exported yourself."""
    mirror_average: bool = False
    """Average each prediction with that of the mirrored input (ears or image sides exchanged); twice the time."""
    device: str = "auto"
    """Device that computes: auto, cpu, cuda, cuda:1 or mps."""
