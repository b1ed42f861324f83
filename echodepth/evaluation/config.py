"""The flags of evaluation and comparison."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from echodepth.core.flags import PathsFromText, TrueOrFalse
from echodepth.data.config import OptionalAddress
from echodepth.data.records import Split
from echodepth.metrics.config import ProtocolName

Control = Literal["none", "shuffled_audio", "mean_depth"]


@dataclass(frozen=True, kw_only=True)
class ScoringConfig(PathsFromText):
    """Data, protocol and machine of scoring."""

    split: Split = "test"
    """Split to score."""
    protocol: ProtocolName = "valid"
    """valid: measured depth >= 0.5 m, as in no paper; htf: HTF-EchoDepth; official: BatVision; loo: room left out."""
    dataset: str | None = None
    """Dataset to score on, if it is not the one of training."""
    data_dir: OptionalAddress = None
    """Dataset root, or address of shards; default: that of a model trained from here, or data/<dataset>."""
    skip_bad: bool = False
    """Skip and count bad rows; without it the first one is an error."""
    use_prepared: TrueOrFalse = True
    """Read the memory-mapped arrays of `echodepth prepare` where they equal the files; affects speed only."""
    verify: bool = False
    """Read all prepared arrays, local shards and simulated files first, to compare each with its sha256."""
    mirror_average: bool = False
    """Average each prediction with that of the mirrored input (ears or image sides exchanged); twice the time."""
    batch_size: int = 16
    """Frames per batch; affects speed only."""
    num_workers: int = 0
    """Data loading processes; affects speed only."""
    device: str = "auto"
    """Device: auto, cpu, cuda, cuda:1."""
    seed: int = 0
    """Seed of the shuffled-audio control and of the bootstrap."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(PathsFromText):
    """Score a trained model, or a control in its place."""

    checkpoint: str | None = None
    """Model folder, .pth file, experiment name, or ORG/NAME on the Hugging Face Hub; default: echodepth-light."""
    control: Control = "none"
    """Control: shuffled_audio gives every frame another frame's echoes; mean_depth predicts the mean training map."""
    ablate: bool = False
    """Also score an audio model with swapped, single and equal ears, without attention, and its controls."""
    out: Path | None = None
    """Folder of the result files. Default: results/<experiment>."""
    json: bool = False
    """Print the result as JSON: one document, as in the result file; all messages go to stderr."""
    scoring: ScoringConfig = ScoringConfig()


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Score several trained models and their controls, and write one report."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Experiment names, model folders or .pth files."""
    name: str = "comparison"
    """Folder under results/ for the report."""
    pictures: int = 4
    """Number of frames in the report that are spread evenly over the split."""
    extremes: int = 2
    """Number of best, median and worst frames of the best audio model in the report."""
    json: bool = False
    """Print the report as JSON: one document, as in comparison.json; all messages go to stderr."""
    scoring: ScoringConfig = ScoringConfig()
