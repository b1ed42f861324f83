"""What the page shows of one question: each model's depth, how long it took, and how far off it is."""

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
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.images import open_upright, read_depth_array, read_depth_image, to_rgb
from echodepth.data.records import DepthMap
from echodepth.inference.inputs import check_kind
from echodepth.inference.outputs import coloured_cloud
from echodepth.inference.point_cloud import Intrinsics
from echodepth.inference.predictor import Estimate, Predictor
from echodepth.inference.runtime import trained_data
from echodepth.metrics.depth import per_image_metrics
from echodepth.models.frontends.echo import EchoFrontEnd
from echodepth.report.figures import depth_to_rgb

_LONGEST = 512  # pixels of a side: the page shows no more
_DENSE = 320  # points of a side: a viewer draws each as one pixel, and a small map would be a mist
_SLOWER = 10  # a chirp of 3 ms, up to 20 kHz, becomes 30 ms up to 2 kHz: now an echo can be told from it
_LOUD = 0.9


@dataclass(frozen=True)
class Question:
    """What is known of one place.

    Attributes:
        recording: for models that hear.
        picture: for models that see; beside a recording, only to look at.
        truth: the measured depth, ``.npy`` in millimetres or a 16-bit ``.png``.
    """

    recording: Path | None = None
    picture: Path | None = None
    truth: Path | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What one model makes of it.

    Attributes:
        name: the model's.
        estimate: metres, at most 512 pixels to a side.
        seconds: from the file to the depth.
        truth: measured metres at the estimate's pixels, NaN where not known; None where it is not given at all.
        metrics: of the estimate against the truth, by name.
    """

    name: str
    estimate: Estimate
    seconds: float
    truth: Float[np.ndarray, "h w"] | None = None
    metrics: dict[str, float] | None = None

    @property
    def error(self) -> Float[np.ndarray, "h w"] | None:
        """How far off the depth is, in metres."""
        return None if self.truth is None else np.abs(self.estimate.depth - self.truth)


def answer(predictor: Predictor, question: Question) -> Answer:
    """Ask one model.

    Raises:
        ConfigError: what the model takes is not given, or something else is.
        DataError: a file is missing or unreadable, or holds no depth that is known.
    """
    hears = predictor.backend.input_key == "audio"
    path = question.recording if hears else question.picture
    if path is None:
        wanted = "hears: give it a two-channel WAV file" if hears else "sees: give it a picture"
        raise ConfigError(f"{predictor.name} {wanted}")
    check_kind(path, predictor.backend.input_key, predictor.name)
    started = time.perf_counter()
    estimate = predictor.estimate([predictor.prepare(path)])[0]
    seconds = time.perf_counter() - started
    metrics = truth = None
    if question.truth is not None:
        truth = _at_pixels_of(_read_truth(question.truth, predictor), estimate.depth.shape, predictor.backend.max_depth)
        metrics = _metrics(estimate.depth, truth, question.truth)
        truth = _shown(truth)
    doubt = estimate.uncertainty
    shown = Estimate(_shown(estimate.depth), None if doubt is None else _shown(doubt))
    return Answer(predictor.name, shown, seconds, truth, metrics)


def _read_truth(path: Path, predictor: Predictor) -> DepthMap:
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    if path.suffix.lower() == ".npy":
        return read_depth_array(path)
    data = trained_data(predictor.backend)
    return read_depth_image(path, DATASETS[data.dataset].depth_units(data))


def _at_pixels_of(depth: DepthMap, shape: tuple[int, ...], max_depth: float) -> Float[np.ndarray, "h w"]:
    """The measured value at each pixel's centre, as in training: never one that is interpolated, and cut off."""
    metres = np.where(depth.valid, np.minimum(depth.metres, np.float32(max_depth)), np.float32(np.nan))
    rows, columns = (
        (2 * np.arange(wanted) + 1) * side // (2 * wanted) for wanted, side in zip(shape, metres.shape, strict=True)
    )
    sampled: Float[np.ndarray, "h w"] = metres[np.ix_(rows, columns)]
    return sampled


def _metrics(depth: Float[np.ndarray, "h w"], truth: Float[np.ndarray, "h w"], path: Path) -> dict[str, float]:
    valid = np.isfinite(truth)
    if not valid.any():
        raise DataError(f"{path} holds no depth that is known")
    prediction, target, mask = (
        torch.from_numpy(each)[None, None] for each in (depth, np.where(valid, truth, np.float32(0)), valid)
    )
    return {name: float(value) for name, value in per_image_metrics(prediction, target, mask).items()}


def _shown(metres: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h2 w2"]:
    step = -(-max(metres.shape) // _LONGEST)
    return metres[::step, ::step]


def ears(
    predictor: Predictor, recording: Path
) -> tuple[list[Float[np.ndarray, "f t"]], tuple[int, Shaped[np.ndarray, "n 2"]], float]:
    """What a model hears of a recording, for the eye and for the ear.

    Args:
        predictor: its training says which stretch of the recording is used.
        recording: a file that it takes.

    Returns:
        Each ear's levels on one scale, low frequencies first; the same stretch ten times slower, as a sample rate and
        16-bit samples; and its length in seconds.

    Raises:
        DataError: the file is unreadable.
    """
    sound = predictor.prepare(recording).raw
    left, right = EchoFrontEnd(256)(sound[None])[0].numpy()
    loud = sound * (_LOUD / sound.abs().max())
    slow = (loud.T * (2**15 - 1)).round().to(torch.int16).numpy()
    return [left, right], (SAMPLE_RATE // _SLOWER, slow), sound.shape[1] / SAMPLE_RATE


def view_shape(question: Question, answers: list[Answer]) -> tuple[int, int]:
    """Height and width in which the maps are drawn: training squeezed a wide view to a square, the eye wants it back.

    Raises:
        DataError: the picture cannot be read.
    """
    if question.picture is not None:
        with open_upright(question.picture) as picture:
            height, width = picture.height, picture.width
    elif question.truth is not None and question.truth.suffix.lower() == ".npy":
        height, width = np.load(question.truth, mmap_mode="r").shape
    else:
        height, width = answers[0].estimate.depth.shape
    share = _LONGEST / max(height, width)
    return max(1, round(height * share)), max(1, round(width * share))


def seen(picture: Path, shape: tuple[int, int]) -> Image.Image:
    """A picture at the size of the page; a DataError if it cannot be read."""
    with open_upright(picture) as opened:
        return to_rgb(opened, (shape[1], shape[0]), picture.name)


def drawn_depth(depth: Float[np.ndarray, "h w"], shape: tuple[int, int], limit: float) -> Image.Image:
    """A predicted map in its colours, of another size."""
    smooth = _smooth(depth, shape)
    return Image.fromarray(depth_to_rgb(smooth, np.isfinite(smooth), limit))


def cloud(depth: Float[np.ndarray, "h w"], picture: Image.Image, fov: float) -> bytes:
    """A predicted map as a GLB file of points in a picture's colours, dense enough to look at.

    Raises:
        ConfigError: no pinhole camera sees so far around.
    """
    camera = Intrinsics.from_fov(fov, (picture.height, picture.width))
    scale = _DENSE / max(picture.size)
    dense = _smooth(depth, (max(1, round(picture.height * scale)), max(1, round(picture.width * scale))))
    return coloured_cloud("glb", dense, picture, camera, "the picture")


def _smooth(depth: Float[np.ndarray, "h w"], shape: tuple[int, int]) -> Float[np.ndarray, "h2 w2"]:
    # Only of predictions, which are smooth: a measured map has holes and edges.
    tensor = torch.from_numpy(np.ascontiguousarray(depth))[None, None]
    wider: Float[np.ndarray, "h2 w2"] = F.interpolate(tensor, shape, mode="bilinear")[0, 0].numpy()
    return wider
