"""Predictions and derived data for the demo page."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from PIL import Image

from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.core.sampling import pixel_centres
from echodepth.data.arrays import array_shape
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.images import DepthMap, open_upright, read_depth_array, read_depth_image, to_rgb
from echodepth.data.recorded import trained_data
from echodepth.inference.cloud_camera import fits
from echodepth.inference.estimate import Estimate
from echodepth.inference.inputs import check_file
from echodepth.inference.outputs import point_cloud_file
from echodepth.inference.point_cloud import Intrinsics
from echodepth.inference.predictor import Predictor
from echodepth.metrics.depth import per_image_metrics
from echodepth.models.frontends.echo import EchoFrontEnd
from echodepth.report.figures import depth_to_rgb

_MAX_SIDE = 512  # pixels: the page shows no more
_CLOUD_SIDE = 320  # points: the viewer draws each as one pixel, so a small map would look sparse
_UNKNOWN_FOV = 70.0  # degrees: about a webcam's
_SLOWDOWN = 10  # a chirp of 3 ms up to 20 kHz becomes 30 ms up to 2 kHz, and its echoes become audible
_PEAK = 0.9


@dataclass(frozen=True)
class DemoInput:
    """Files of one scene.

    Attributes:
        recording: input of audio models.
        image: input of RGB models; with a recording alone it is only displayed.
        ground_truth: depth map, ``.npy`` in millimetres or a 16-bit ``.png``.
    """

    recording: Path | None = None
    image: Path | None = None
    ground_truth: Path | None = None


@dataclass(frozen=True, eq=False)
class DemoResult:
    """Prediction of one model.

    Attributes:
        name: name of the model.
        estimate: the prediction in metres, at most 512 pixels to a side.
        seconds: time from the file to the depth map.
        ground_truth: metres at the pixels of the estimate, NaN where unknown; None if there is no ground truth.
        metrics: metrics of the estimate against the ground truth, by name.
    """

    name: str
    estimate: Estimate
    seconds: float
    ground_truth: Float[np.ndarray, "h w"] | None = None
    metrics: dict[str, float] | None = None

    @property
    def error(self) -> Float[np.ndarray, "h w"] | None:
        """Absolute error in metres."""
        return None if self.ground_truth is None else np.abs(self.estimate.depth - self.ground_truth)


def run_model(predictor: Predictor, demo_input: DemoInput) -> DemoResult:
    """Run one model and compare its prediction with the ground truth.

    Raises:
        ConfigError: the input lacks the file that the model takes, or the file is of another kind.
        DataError: a file is missing or unreadable, or the depth map holds no valid depth.
    """
    is_audio = predictor.backend.input_key == "audio"
    path = demo_input.recording if is_audio else demo_input.image
    if path is None:
        expected = "a two-channel WAV file" if is_audio else "an image"
        raise ConfigError(f"{predictor.name} is {'an audio' if is_audio else 'an RGB'} model: give it {expected}")
    check_file(path, predictor.backend.input_key, predictor.name)
    started = time.perf_counter()
    estimate = predictor.estimate([predictor.prepare(path)])[0]
    seconds = time.perf_counter() - started
    metrics = ground_truth = None
    if demo_input.ground_truth is not None:
        depth_map = _read_ground_truth(demo_input.ground_truth, predictor)
        ground_truth = _sample(depth_map, estimate.depth.shape, predictor.backend.max_depth)
        metrics = _metrics(estimate.depth, ground_truth, demo_input.ground_truth)
        ground_truth = _subsample(ground_truth)
    uncertainty = None if estimate.uncertainty is None else _subsample(estimate.uncertainty)
    return DemoResult(predictor.name, Estimate(_subsample(estimate.depth), uncertainty), seconds, ground_truth, metrics)


def _read_ground_truth(path: Path, predictor: Predictor) -> DepthMap:
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    if path.suffix.lower() == ".npy":
        return read_depth_array(path)
    data = trained_data(predictor.backend)
    return read_depth_image(path, DATASETS[data.dataset].depth_units(data))


def _sample(depth: DepthMap, shape: tuple[int, ...], max_depth: float) -> Float[np.ndarray, "h w"]:
    """Ground truth at the centre of each pixel, never interpolated, and clipped at ``max_depth``, as in training."""
    metres = np.where(depth.valid, np.minimum(depth.metres, np.float32(max_depth)), np.float32(np.nan))
    rows, columns = (pixel_centres(source, target) for source, target in zip(metres.shape, shape, strict=True))
    sampled: Float[np.ndarray, "h w"] = metres[np.ix_(rows, columns)]
    return sampled


def _metrics(depth: Float[np.ndarray, "h w"], ground_truth: Float[np.ndarray, "h w"], path: Path) -> dict[str, float]:
    valid = np.isfinite(ground_truth)
    if not valid.any():
        raise DataError(f"{path} holds no valid depth")
    prediction, target, mask = (
        torch.from_numpy(each)[None, None] for each in (depth, np.where(valid, ground_truth, np.float32(0)), valid)
    )
    return {name: float(value) for name, value in per_image_metrics(prediction, target, mask).items()}


def _subsample(metres: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h2 w2"]:
    step = -(-max(metres.shape) // _MAX_SIDE)
    return metres[::step, ::step]


def audio_input(
    predictor: Predictor, recording: Path
) -> tuple[list[Float[np.ndarray, "f t"]], tuple[int, Shaped[np.ndarray, "n 2"]], float]:
    """The part of a recording that a model receives, as spectrograms and as slowed audio.

    Args:
        predictor: an audio model; its training settings define the cut.
        recording: a file that the model takes.

    Returns:
        Log-magnitude spectrograms of the left and the right ear, low frequencies first; the waveform ten times slower,
        as sample rate and 16-bit samples; and the length of the cut in seconds.

    Raises:
        DataError: the file is unreadable.
    """
    waveform = predictor.prepare(recording).raw
    left, right = EchoFrontEnd(256)(waveform[None])[0].numpy()
    scaled = waveform * (_PEAK / waveform.abs().max())
    slowed = (scaled.T * (2**15 - 1)).round().to(torch.int16).numpy()
    return [left, right], (SAMPLE_RATE // _SLOWDOWN, slowed), waveform.shape[1] / SAMPLE_RATE


def display_shape(
    demo_input: DemoInput, results: list[DemoResult], camera: FieldOfView | None = None
) -> tuple[int, int]:
    """Height and width in which the maps are drawn: the shape of the files, or of the camera where these are square.

    Args:
        demo_input: the files.
        results: at least one result.
        camera: that of the model's training data, which were resized to a square.

    Raises:
        DataError: the image cannot be read.
    """
    if demo_input.image is not None:
        with open_upright(demo_input.image) as image:
            height, width = image.height, image.width
    elif demo_input.ground_truth is not None and demo_input.ground_truth.suffix.lower() == ".npy":
        height, width = array_shape(demo_input.ground_truth)
    else:
        height, width = results[0].estimate.depth.shape
    aspect_ratio = camera.aspect_ratio if camera is not None and height == width else width / height
    scale = _MAX_SIDE / max(aspect_ratio, 1)
    return max(1, round(scale)), max(1, round(scale * aspect_ratio))


def read_image(path: Path, shape: tuple[int, int]) -> Image.Image:
    """Read an image at the given height and width; a DataError if it cannot be read."""
    with open_upright(path) as opened:
        return to_rgb(opened, (shape[1], shape[0]), path.name)


def depth_image(depth: Float[np.ndarray, "h w"], shape: tuple[int, int], limit: float) -> Image.Image:
    """Draw a predicted map in colour, from 0 to ``limit`` metres, at the given height and width."""
    resized = _interpolate(depth, shape)
    return Image.fromarray(depth_to_rgb(resized, np.isfinite(resized), limit))


def initial_fov(predictor: Predictor) -> float:
    """Horizontal field of view of the model's camera in degrees; a webcam's if it is not known."""
    return predictor.field_of_view.horizontal if predictor.field_of_view is not None else _UNKNOWN_FOV


def point_cloud(predictor: Predictor, depth: Float[np.ndarray, "h w"], image: Image.Image, fov: float) -> bytes:
    """Encode a predicted map as a GLB point cloud in the colours of an image, dense enough for display.

    Args:
        predictor: the model. A recording is predicted in the shape of its camera, and so is an image of that shape.
        depth: the prediction, in metres.
        image: RGB image of the same view.
        fov: horizontal field of view in degrees.

    Raises:
        ConfigError: the field of view is not between 0 and 180 degrees.
    """
    known, aspect_ratio = predictor.field_of_view, image.width / image.height
    if known is not None and (predictor.backend.input_key == "audio" or fits(known, image.height, image.width)):
        aspect_ratio = known.aspect_ratio
    camera = FieldOfView.from_width(fov, aspect_ratio)
    scale = _CLOUD_SIDE / max(image.size)
    dense = _interpolate(depth, (max(1, round(image.height * scale)), max(1, round(image.width * scale))))
    intrinsics = Intrinsics.from_field_of_view(camera, (image.height, image.width))
    return point_cloud_file("glb", dense, image, intrinsics, "the image")


def _interpolate(depth: Float[np.ndarray, "h w"], shape: tuple[int, int]) -> Float[np.ndarray, "h2 w2"]:
    # For predictions only, which are smooth: ground truth has holes and edges.
    tensor = torch.from_numpy(np.ascontiguousarray(depth))[None, None]
    resized: Float[np.ndarray, "h2 w2"] = F.interpolate(tensor, shape, mode="bilinear")[0, 0].numpy()
    return resized
