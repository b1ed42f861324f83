"""The flags of ``echodepth doctor``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from echodepth.core.flags import PathsFromText


@dataclass(frozen=True)
class DoctorConfig(PathsFromText):
    """Check a dataset for missing, corrupt, swapped, misaligned and duplicate data.

    Exit status 1 on faults.
    """

    root: Annotated[Path, tyro.conf.Positional]
    """Root folder of the dataset."""
    dataset: str | None = None
    """Dataset reader. Default: recognised from the files in the root."""
    modalities: tuple[Literal["image", "audio", "depth"], ...] = ("image", "audio", "depth")
    """Modalities that every row must have. rgbd has no audio."""
    max_depth: float | None = None
    """Depth in metres that recordings must be long enough for. Default: the dataset's own, 30 for V2."""
    depth_scale: float = 5000.0
    """rgbd only: units of the depth PNG per metre (TUM: 5000, millimetres: 1000)."""
    rooms_apart: bool = False
    """Report a location in several splits as a fault instead of a note (BatVision's splits share every location)."""
    out: Path | None = None
    """Folder of doctor.html and doctor.json. Default: results/doctor/<name of the root>."""
    json: bool = False
    """Print the findings as JSON."""
    workers: int = 2
    """Processes that read files; 1 reads in the main process."""
