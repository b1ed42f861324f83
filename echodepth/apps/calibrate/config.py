"""The flags of ``echodepth calibrate``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from echodepth.core.flags import PathsFromText


@dataclass(frozen=True)
class CalibrateConfig(PathsFromText):
    """Measure a robot's rig from about ten recordings, for `echodepth simulate --rig`."""

    recordings: Annotated[Path, tyro.conf.Positional]
    """Root of a dataset, or a folder of WAV files, left ear first, with or without depth_7.npy beside audio_7.wav."""
    out: Path = Path("rig.json")
    """File to write."""
    dataset: str | None = None
    """Dataset reader. Default: recognised from the files in the folder, otherwise a folder of WAV files."""
    field_of_view: tuple[float, float] | None = None
    """Horizontal and vertical field of view of the depth camera, degrees. Default: camera.json, or the dataset's."""
    depth_scale: float = 5000.0
    """rgbd only: units of the depth PNG per metre (TUM: 5000, millimetres: 1000)."""
    count: int = 40
    """Largest number of recordings to read, evenly spaced over the folder."""
    reference_rooms: int = 96
    """Number of simulated rooms, two poses each, that the recordings' echoes are compared with."""
