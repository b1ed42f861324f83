"""The flags of prediction and export. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from echodepth.data.records import Split

Kind = Literal["npy", "png", "color", "ply", "glb", "sheet"]
BackendName = Literal["torch", "onnx", "openvino"]
ExportFormat = Literal["onnx", "openvino", "pt2"]
Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class PredictConfig:
    """What becomes depth maps, by which model, and what is written of them."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Pictures and films for an RGB model, two-channel WAV or FLAC files for an audio model; or folders of them."""
    checkpoint: str
    """A best/ folder, an epoch_XXXX.pth, an experiment under checkpoints/, ORG/NAME on the Hugging Face Hub, or an
    exported file."""
    backend: BackendName = "torch"
    """What computes: torch (a checkpoint or a .pt2), onnx (an .onnx) or openvino (an .xml)."""
    split: Split | None = None
    """Predict this part of a dataset, in place of files; test when only --dataset or --data_dir is given."""
    dataset: str | None = None
    """Which dataset's; the one the model was trained on when not given."""
    data_dir: Path | None = None
    """Where it is; the folder the model was trained from when not given."""
    save: tuple[Kind, ...] = ()
    """npy: float32 metres; png: 16-bit millimetres; color: a picture or film; ply, glb: a cloud of points; sheet: a
    page of all. When not given npy png color, and of films color alone."""
    beside: Path | None = None
    """For an audio model, a picture to draw beside the depth and to colour points by, or a folder of them.
    In a folder they are named as the recordings are; a dataset has its own."""
    intrinsics: tuple[float, float, float, float] | None = None
    """fx fy cx cy, for clouds of points, in pixels of the picture, or of the depth map where there is none."""
    fov: float | None = None
    """In place of --intrinsics, the horizontal field of view in degrees, of a camera with square pixels."""
    every: int = 1
    """Of a film, every so many frames."""
    overwrite: bool = False
    """Predict anew what is already there; otherwise it is left out."""
    out: Path | None = None
    """Folder for the results; results/<experiment>/predictions when not given."""
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
    dataset: str | None = None
    """fp16, int8: another dataset than the one the model was trained on."""
    data_dir: Path | None = None
    """fp16, int8: another folder than the one the model was trained from."""


@dataclass(frozen=True)
class DemoConfig:
    """A page in the browser: what a model makes of a recording or picture, seen from all sides."""

    checkpoint: str
    """A best/ folder, an epoch_XXXX.pth, an experiment under checkpoints/, or ORG/NAME on the Hugging Face Hub."""
    against: str | None = None
    """A second model, shown beside the first."""
    examples: tuple[Path, ...] = ()
    """Files to pick from, or folders of them; a picture and a depth map of the same name beside one belong to it.
    When not given, some of the test split of the model's dataset."""
    data_dir: Path | None = None
    """Where that dataset is; the folder the model was trained from when not given."""
    fov: float = 86.0
    """Horizontal field of view in degrees, for the cloud of points; a simulated room's when not given."""
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 lets other machines in."""
    port: int = 7860
    """The port to listen on."""
    share: bool = False
    """Also open a public address, through a server of Gradio's; everything else works without a network."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
