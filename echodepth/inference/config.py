"""The flags of prediction and export. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from echodepth.data.config import DatasetName, Split

Backend = Literal["torch", "onnx", "openvino"]
ExportFormat = Literal["onnx", "openvino", "pt2"]
Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class PredictConfig:
    """Which files become depth maps, and by which model."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Images for an RGB model, two-channel WAV files for an audio model."""
    checkpoint: str
    """A best/ folder, an epoch_XXXX.pth, the name of an experiment under checkpoints/, or an exported file."""
    backend: Backend = "torch"
    """What computes: torch (a checkpoint or a .pt2), onnx (an .onnx) or openvino (an .xml)."""
    out: Path | None = None
    """Folder for the depth maps; results/<experiment>/predictions when not given."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""


@dataclass(frozen=True)
class ExportConfig:
    """Which model becomes a file that runs without its code, and of what kind."""

    checkpoint: str
    """A best/ folder, an epoch_XXXX.pth, or the name of an experiment under checkpoints/."""
    format: ExportFormat = "onnx"
    """onnx (for ONNX Runtime and many more), openvino (.xml and .bin), or pt2 (torch.export)."""
    precision: Precision = "fp32"
    """Of the network: fp32, fp16 (half the size), int8 (a quarter; onnx and openvino)."""
    out: Path | None = None
    """Folder for the file; results/<experiment>/exported when not given."""
    calibration_samples: int = 64
    """int8: training frames from which the range of every activation is learnt."""
    scored_samples: int = 256
    """fp16, int8: frames on which the loss of accuracy is measured, spread evenly over the split."""
    split: Split = "test"
    """fp16, int8: which part of the dataset those frames come from."""
    dataset: DatasetName | None = None
    """fp16, int8: another dataset than the one the model was trained on."""
    data_dir: Path | None = None
    """fp16, int8: another folder than the one the model was trained from."""
