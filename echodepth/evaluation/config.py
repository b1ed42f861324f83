"""The flags of evaluation and comparison. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from echodepth.data.config import Address
from echodepth.data.records import Split

ProtocolName = Literal["official", "valid", "loo"]
Control = Literal["none", "shuffled_audio", "mean_depth"]


@dataclass(frozen=True)
class EvaluateConfig:
    """Which model is scored, on what, and by which rule."""

    checkpoint: str
    """A best/ folder, an epoch_XXXX.pth, an experiment under checkpoints/, or ORG/NAME on the Hugging Face Hub."""
    split: Split = "test"
    """Which part of the dataset is scored."""
    protocol: ProtocolName = "valid"
    """Which pixels count: official, valid, or loo (the location that training left out)."""
    dataset: str | None = None
    """Another dataset than the one the model was trained on."""
    data_dir: Address | None = None
    """Another folder than the one the model was trained from."""
    control: Control = "none"
    """Score a control: shuffled_audio gives every frame another's echoes; mean_depth hears and sees nothing."""
    batch_size: int = 16
    """Frames at a time; changes speed alone."""
    num_workers: int = 0
    """Processes that read files; changes speed alone."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1."""
    seed: int = 0
    """Decides which frame's echoes the shuffled control hears."""
    skip_bad: bool = False
    """Leave bad rows out and count them; otherwise the first one stops the evaluation."""
    out: Path | None = None
    """Folder of the result files; results/<experiment> when not given."""


@dataclass(frozen=True)
class CompareConfig:
    """Several trained models side by side, with their controls."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Experiment names, best/ folders or .pth files."""
    split: Split = "test"
    """Which part of the dataset is scored."""
    protocol: ProtocolName = "valid"
    """Which pixels count: official, valid, or loo (the location that training left out)."""
    dataset: str | None = None
    """Another dataset than the one the models were trained on."""
    data_dir: Address | None = None
    """Another folder than the one the models were trained from."""
    name: str = "comparison"
    """Folder under results/ for the table and the page."""
    batch_size: int = 16
    """Frames at a time; changes speed alone."""
    num_workers: int = 0
    """Processes that read files; changes speed alone."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1."""
    seed: int = 0
    """Decides the bootstrap's draws and the shuffled echoes."""
    pictures: int = 4
    """How many frames the page shows that are spread evenly over the split; 0 for none."""
    extremes: int = 2
    """How many of the best, of the median and of the worst frames of the best audio model the page shows as well."""
    skip_bad: bool = False
    """Leave bad rows out and count them; otherwise the first one stops the comparison."""
