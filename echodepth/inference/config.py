"""The flags of prediction. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class PredictConfig:
    """Which files become depth maps, and by which model."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Images for an RGB model, two-channel WAV files for an audio model."""
    checkpoint: str
    """A best/ folder, an epoch_XXXX.pth, or the name of an experiment under checkpoints/."""
    out: Path | None = None
    """Folder for the depth maps; results/<experiment>/predictions when not given."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
