"""The flags of ``echodepth doctor``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class DoctorConfig:
    """Examine a dataset: what is missing, broken, swapped, shifted, doubled. Exit status 1 when there are faults."""

    root: Annotated[Path, tyro.conf.Positional]
    """The dataset's root."""
    dataset: str | None = None
    """Which reader; told from the folder when not given."""
    modalities: tuple[Literal["image", "audio", "depth"], ...] = ("image", "audio", "depth")
    """What a row is expected to have. rgbd has no audio."""
    max_depth: float | None = None
    """Metres that a recording must be long enough for. Default: the dataset's, 30 for V2."""
    depth_scale: float = 5000.0
    """rgbd only: the PNG's units per metre (TUM: 5000, millimetres: 1000)."""
    rooms_apart: bool = False
    """A location in two splits is a fault, not a note (BatVision's own splits share every location)."""
    out: Path | None = None
    """Folder of doctor.html and doctor.json; results/doctor/<name of the root> when not given."""
    json: bool = False
    """Print the findings as JSON."""
    workers: int = 2
    """Processes that read the files; 1 stays in this one."""
