"""Conversion of images and recordings in any form to a model's input, as in training.

NumPy arrays and tensors keep their own conventions: images are [h, w, 3] in NumPy and [3, h, w] in torch. A layout is
therefore never guessed from a shape.
"""

import functools
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor

from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.input_files import why_no_file
from echodepth.data.arrays import LARGEST_ARRAY
from echodepth.data.audio import TO_PREDICT, AudioCut, check_ears, cut, read_wav, resample, to_full_scale
from echodepth.data.image_stream import MAX_BYTES
from echodepth.data.images import check_area, open_image, to_square, upright_size
from echodepth.data.wav_file import check_length

log = logging.getLogger(__name__)

Input = str | Path | Image.Image | np.ndarray | Tensor
AUDIO_SUFFIXES = frozenset({".wav", ".flac"})
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Suffixes that a folder is searched for; an image that is named itself may have any suffix."""


_LONG = 1.0
"""A recording of one chirp ends sooner after its echoes, in seconds; a longer one may hold several chirps."""


@dataclass(frozen=True)
class ModelInput:
    """One input as the model takes it.

    Attributes:
        raw: an image [3, s, s] in 0..1, or a waveform [2, t] with full scale 1, cut as in training.
        size: height and width of the estimate, in pixels; None for the model's own.
    """

    raw: Tensor
    size: tuple[int, int] | None = None


def check_file(path: Path, input_key: str, model_name: str) -> None:
    """Raise an error if a file is missing, or if its suffix shows that the model does not take it."""
    if reason := why_no_file(path):
        raise DataError(f"{path} is a folder: name the files in it" if path.is_dir() else reason)
    suffix, is_audio_model = path.suffix.lower(), input_key == "audio"
    if suffix in VIDEO_SUFFIXES and is_audio_model:
        raise ConfigError(
            f"{path} is a video, and its sound track does not hold the echoes of a chirp: {model_name} takes "
            "two-channel recordings"
        )
    if (suffix in AUDIO_SUFFIXES) != is_audio_model:
        actual, expected = "a recording", "images"
        if is_audio_model:
            actual, expected = "neither a WAV nor a FLAC file", "two-channel recordings"
        raise ConfigError(
            f"{path} is {actual}, but {model_name} takes {expected}: give such a file or another --checkpoint"
        )


def check_size(path: Path) -> None:
    """Raise a DataError if a file is larger than any image or recording, before all of it is read."""
    if path.suffix.lower() not in VIDEO_SUFFIXES and path.is_file() and path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} has more than {MAX_BYTES >> 20} MB, which no image or recording needs: save it again")


def is_batch(x: np.ndarray | Tensor, input_key: str) -> bool:
    """Whether an array has a leading batch axis."""
    return x.ndim == (4 if input_key == "image" else 3)


def prepare_image(x: Input, image_size: int) -> ModelInput:
    """Convert an image to the input of an RGB model, upright by its EXIF orientation.

    Args:
        x: the image.
        image_size: side s of the model's input, in pixels.

    Raises:
        DataError: the image is unreadable, too large or of 16 bits, or its values are outside 0..1 or 0..255.
        ConfigError: the array's shape is not that of an image.
    """
    if isinstance(x, str | Path):
        with open_image(Path(x)) as image:
            return _from_pillow(image, image_size, str(x))
    if isinstance(x, Image.Image):
        check_area(x, "the image")
        # Pillow decodes lazily and may shrink the image on the way; the copy leaves the caller's image unchanged.
        return _from_pillow(x.copy(), image_size, "the image")
    if isinstance(x, Tensor):
        return _from_tensor(x.detach().cpu(), image_size, tuple(x.shape), "tensors are [3, h, w]")
    if x.ndim not in (2, 3) or (x.ndim == 3 and x.shape[2] not in (1, 3, 4)) or not x.size:
        raise ConfigError(f"an array of shape {x.shape} is not an image: NumPy images are [h, w] or [h, w, 3]")
    flat = x[..., 0] if x.ndim == 3 and x.shape[2] == 1 else x
    if x.dtype == np.uint8:
        return _from_pillow(Image.fromarray(np.ascontiguousarray(flat)), image_size, "the image")
    if x.dtype.kind != "f":
        raise DataError(f"the image holds {x.dtype}: give uint8, or floats in 0..1")
    channels = flat[None] if flat.ndim == 2 else flat.transpose(2, 0, 1)
    tensor = torch.from_numpy(np.ascontiguousarray(channels, dtype=np.float32))
    return _from_tensor(tensor, image_size, x.shape, "NumPy images are [h, w] or [h, w, 3]")


def _from_pillow(image: Image.Image, image_size: int, name: str) -> ModelInput:
    size = _map_size(*upright_size(image, name))
    return ModelInput(torch.from_numpy(to_square(image, image_size, name)), size)


def _from_tensor(x: Tensor, image_size: int, shape: tuple[int, ...], convention: str) -> ModelInput:
    if x.ndim == 2:
        x = x[None]
    if x.ndim != 3 or x.shape[0] not in (1, 3, 4) or not x.numel():
        raise ConfigError(f"an array of shape {shape} is not an image: {convention}")
    if x.dtype == torch.uint8:
        flat = x[0] if x.shape[0] == 1 else x.permute(1, 2, 0)
        return _from_pillow(Image.fromarray(np.ascontiguousarray(flat.numpy())), image_size, "the image")
    if not x.is_floating_point():
        raise DataError(f"the image holds {x.dtype}: give uint8, or floats in 0..1")
    rgb = (x.expand(3, -1, -1) if x.shape[0] == 1 else x[:3]).float()
    low, high = float(rgb.min()), float(rgb.max())
    if not (low >= 0 and high <= 1):  # NaN fails both
        raise DataError(f"the image has values from {low:.4g} to {high:.4g}: give floats in 0..1, or uint8")
    raw = F.interpolate(rgb[None], (image_size, image_size), mode="bilinear", antialias=True)[0].clamp(0, 1)
    return ModelInput(raw, _map_size(int(x.shape[1]), int(x.shape[2])))


@functools.cache
def _map_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the estimate of an image: the image's, unless no reader would take such a map."""
    if height * width <= LARGEST_ARRAY:
        return height, width
    factor = math.sqrt(LARGEST_ARRAY / (height * width))
    rows, columns = max(1, int(factor * height)), max(1, int(factor * width))
    log.warning("the estimates of images of %dx%d pixels have %dx%d pixels", width, height, columns, rows)
    return rows, columns


def prepare_audio(x: Input, sample_rate: int | None, audio_cut: Callable[[], AudioCut]) -> ModelInput:
    """Convert a binaural recording to the input of an audio model: resampled and cut as in training.

    Args:
        x: a file, or an array [2, t] or [t, 2], left ear first.
        sample_rate: sample rate of an array, in Hz.
        audio_cut: returns the cut of training; called only after the recording has been read.

    Raises:
        DataError: the recording is unreadable, not of two channels, not finite, silent or too short.
        ConfigError: the input is not a recording, or its sample rate is unknown.
    """
    if isinstance(x, str | Path):
        name, (audio, rate) = str(x), read_wav(Path(x))
    elif isinstance(x, Image.Image):
        raise ConfigError("the input is an image, but the model takes two-channel recordings")
    else:
        name, audio = "the recording", _to_stereo(x.detach().cpu().numpy() if isinstance(x, Tensor) else x)
        if sample_rate is None:
            raise ConfigError("an array does not state its sample rate: infer(x, sample_rate=44100)")
        rate = sample_rate
    if rate < 1:
        raise ConfigError(f"sample_rate must be at least 1 Hz, not {rate}")
    check_length(audio.shape[1], rate, name)
    if rate != SAMPLE_RATE:
        log.info("%s was recorded at %d Hz and is resampled to the %d Hz of training", name, rate, SAMPLE_RATE)
    if rate < SAMPLE_RATE:
        log.warning(
            "%s has no content above %.3g kHz, but models are trained on echoes up to 20 kHz", name, rate / 2000
        )
    settings = audio_cut()
    if isinstance(x, str | Path) and (seconds := audio.shape[1] / rate) > settings.seconds + _LONG:
        log.info(
            "%s lasts %.1f s: its first chirp and the echoes of that are used, and nothing after them", name, seconds
        )
    return ModelInput(torch.from_numpy(cut(resample(audio, rate), settings, name, TO_PREDICT)))


def _to_stereo(x: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "2 t"]:
    if x.ndim not in (1, 2):
        raise ConfigError(f"an array of shape {x.shape} is not a recording: give [2, t] or [t, 2], left ear first")
    channels: Any = x[None] if x.ndim == 1 else x
    if channels.shape[0] != 2 and (channels.shape[1] == 2 or channels.shape[0] > channels.shape[1]):
        channels = channels.T  # [t, 2], the layout of soundfile
    return check_ears(to_full_scale(channels, "the recording"), "the recording")
