"""Flags of ``echodepth predict`` and ``echodepth export``. Imports nothing heavy, because ``--help`` reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from echodepth.core.flags import PathsFromText
from echodepth.data.records import Split

OutputFormat = Literal["npy", "png", "color", "ply", "glb", "sheet"]
BackendName = Literal["auto", "torch", "onnx", "openvino"]
"""Runtime of a model. auto: that of an exported file's suffix, torch for all else."""
ExportFormat = Literal["onnx", "openvino", "pt2", "safetensors"]
Precision = Literal["fp32", "fp16", "int8"]
CompileMode = Literal["latency"]
"""How a model in PyTorch is prepared. latency: for the shortest time of one frame, by CUDA graphs on a GPU."""


@dataclass(frozen=True)
class PredictConfig(PathsFromText):
    """Predict depth maps from files, folders or a dataset split."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files, folders or quoted patterns. RGB models: images and videos; audio models: two-channel WAV or FLAC."""
    checkpoint: str | None = None
    """Model: best/ folder, .pth, experiment, ORG/NAME on the Hub, or exported file; default: echodepth-light."""
    backend: BackendName = "auto"
    """Runtime: torch (a checkpoint or a .pt2), onnx (an .onnx), openvino (an .xml); auto: by the file's suffix."""
    trust_code: bool = False
    """Open a .pt2 file, which can hold code that runs on opening: only one that you exported yourself."""
    mirror_average: bool = False
    """Average each prediction with that of the mirrored input (ears or image sides exchanged); twice the time."""
    examples: bool = False
    """Predict the three simulated recordings that come with echodepth, or for an RGB model their images."""
    split: Split | None = None
    """Predict this dataset split instead of files; test if only --dataset or --data_dir is given."""
    dataset: str | None = None
    """Dataset of --split; default: the dataset that the model was trained on."""
    data_dir: Path | None = None
    """Root folder of the dataset; default: that of a model trained from here, or data/<dataset>."""
    save: tuple[OutputFormat, ...] = ()
    """npy (m), png (16-bit mm), color, ply, glb (point clouds), sheet; default: npy png color, of videos color."""
    image: Path | None = None
    """Audio models: image, or folder of images named as the recordings, for --save color and for point colours."""
    intrinsics: tuple[float, float, float, float] | None = None
    """Camera fx fy cx cy for point clouds, in pixels of the image, or of the depth map if there is no image."""
    fov: float | None = None
    """Horizontal field of view for point clouds, in degrees; default: both angles of the training data's camera."""
    vertical_fov: float | None = None
    """Vertical field of view; default: by --fov and the shape of the image, or of the model's camera if square."""
    frame_stride: int = 1
    """Predict every n-th frame of a video."""
    overwrite: bool = False
    """Predict and write results that exist already; by default they are skipped."""
    out: Path | None = None
    """Output folder; default: results/<experiment>/predictions."""
    device: str = "auto"
    """Device that computes: auto, cpu, cuda, cuda:1 or mps."""


@dataclass(frozen=True)
class ExportConfig(PathsFromText):
    """Export a trained model as one file for another runtime."""

    checkpoint: str | None = None
    """Model to export: a best/ folder, an epoch_XXXX.pth, or an experiment; default: echodepth-light."""
    format: ExportFormat = "onnx"
    """onnx (ONNX Runtime and others), openvino (.xml and .bin), pt2 (torch.export) or safetensors (a model folder)."""
    precision: Precision = "fp32"
    """Number format of the weights: fp32, fp16 (half the size) or int8 (a quarter; onnx and openvino only)."""
    out: Path | None = None
    """Output folder; default: results/<experiment>/exported."""
    calibration_samples: int = 64
    """int8: number of training frames from which the range of every activation is measured."""
    scored_samples: int = 256
    """fp16, int8: number of frames, spread evenly over --split, on which the loss of accuracy is measured."""
    split: Split = "test"
    """fp16, int8: dataset split on which the loss of accuracy is measured."""
    dataset: str | None = None
    """fp16, int8: dataset for calibration and scoring; default: the dataset that the model was trained on."""
    data_dir: Path | None = None
    """fp16, int8: root folder of the dataset; default: that of a model trained from here, or data/<dataset>."""
    mirror_average: bool = False
    """Average the prediction with that of the mirrored input inside the exported graph; twice the arithmetic."""
