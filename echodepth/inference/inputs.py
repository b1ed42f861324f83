"""From a picture or recording in any form to what a model was trained on.

NumPy arrays and tensors keep the conventions of their own worlds: images are [h, w, 3] in NumPy and [3, h, w] in torch,
so that a shape is never guessed.
"""

import logging
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
from echodepth.data.audio import AudioCut, check_ears, cut, read_wav, resample, to_full_scale
from echodepth.data.images import UNDECODABLE, check_area, open_image, to_square

log = logging.getLogger(__name__)

Input = str | Path | Image.Image | np.ndarray | Tensor
RECORDINGS = frozenset({".wav", ".flac"})
FILMS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
_EXIF_ORIENTATION = 0x0112
_TURNED_BY_A_QUARTER = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class Prepared:
    """One input as the model takes it.

    Attributes:
        raw: an image [3, s, s] in 0..1, or a waveform [2, t] at full scale 1, cut as in training.
        size: height and width that the answer is to have; None for the model's own.
    """

    raw: Tensor
    size: tuple[int, int] | None = None


def check_kind(path: Path, input_key: str, name: str) -> None:
    """Raise an error if a file is missing, or plainly not of the kind that model ``name`` takes."""
    if not path.is_file():
        raise DataError(f"{path} is a folder: name the files in it" if path.is_dir() else f"{path} does not exist")
    ending, hears = path.suffix.lower(), input_key == "audio"
    if ending in FILMS and hears:
        raise ConfigError(
            f"{path} is a film, and its sound track is no recording of a chirp's echoes: {name} takes two-channel WAV "
            "files"
        )
    if (ending in RECORDINGS) != hears:
        given, wanted = ("no WAV file", "two-channel recordings") if hears else ("a recording", "images")
        raise ConfigError(f"{path} is {given}, but {name} takes {wanted}: give such a file or another --checkpoint")


def is_batch(x: np.ndarray | Tensor, input_key: str) -> bool:
    """Whether an array has a leading axis of several inputs."""
    return x.ndim == (4 if input_key == "image" else 3)


def prepare_image(x: Input, image_size: int) -> Prepared:
    """A picture as a model of that size takes it, upright as its EXIF orientation asks.

    Raises:
        DataError: it is unreadable, too large, of 16 bits, or its numbers are no colours in 0..1 or 0..255.
        ConfigError: its shape is no picture's.
    """
    if isinstance(x, str | Path):
        with open_image(Path(x)) as image:
            return _from_picture(image, image_size, str(x))
    if isinstance(x, Image.Image):
        check_area(x, "the picture")
        # What opens a file reads it lazily, and shrinks it on the way: the caller's own stays as it is.
        return _from_picture(x.copy(), image_size, "the picture")
    if isinstance(x, Tensor):
        return _from_colours(x.detach().cpu(), image_size, tuple(x.shape), "tensors are [3, h, w]")
    if x.ndim not in (2, 3) or (x.ndim == 3 and x.shape[2] not in (1, 3, 4)) or not x.size:
        raise ConfigError(f"an array of shape {x.shape} is no picture: NumPy images are [h, w] or [h, w, 3]")
    flat = x[..., 0] if x.ndim == 3 and x.shape[2] == 1 else x
    if x.dtype == np.uint8:
        return _from_picture(Image.fromarray(np.ascontiguousarray(flat)), image_size, "the picture")
    channels = flat[None] if flat.ndim == 2 else flat.transpose(2, 0, 1)
    return _from_colours(_tensor(channels), image_size, x.shape, "NumPy images are [h, w] or [h, w, 3]")


def own_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of an opened picture once it is turned upright."""
    turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _TURNED_BY_A_QUARTER
    return (image.width, image.height) if turned else (image.height, image.width)


def _from_picture(image: Image.Image, image_size: int, name: str) -> Prepared:
    try:
        size = own_size(image)
    except UNDECODABLE as error:
        raise DataError(f"{name} cannot be decoded: {error}") from error
    return Prepared(torch.from_numpy(to_square(image, image_size, name, upright=True)), size)


def _tensor(x: np.ndarray) -> Tensor:
    if x.dtype.kind != "f":
        raise DataError(f"the picture holds {x.dtype}: give uint8, or floats in 0..1")
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


def _from_colours(x: Tensor, image_size: int, shape: tuple[int, ...], convention: str) -> Prepared:
    if x.ndim == 2:
        x = x[None]
    if x.ndim != 3 or x.shape[0] not in (1, 3, 4) or not x.numel():
        raise ConfigError(f"an array of shape {shape} is no picture: {convention}")
    if x.dtype == torch.uint8:
        return _from_picture(Image.fromarray(_channels_last(x)), image_size, "the picture")
    if not x.is_floating_point():
        raise DataError(f"the picture holds {x.dtype}: give uint8, or floats in 0..1")
    colours = (x.expand(3, -1, -1) if x.shape[0] == 1 else x[:3]).float()
    low, high = float(colours.min()), float(colours.max())
    if not (low >= 0 and high <= 1):  # NaN fails both
        raise DataError(f"the picture reaches from {low:.4g} to {high:.4g}: give floats in 0..1, or uint8")
    raw = F.interpolate(colours[None], (image_size, image_size), mode="bilinear", antialias=True)[0].clamp(0, 1)
    return Prepared(raw, (int(x.shape[1]), int(x.shape[2])))


def _channels_last(x: Tensor) -> np.ndarray:
    flat = x[0] if x.shape[0] == 1 else x.permute(1, 2, 0)
    return np.ascontiguousarray(flat.numpy())


def prepare_audio(x: Input, sample_rate: int | None, audio_cut: Callable[[], AudioCut]) -> Prepared:
    """A binaural recording at the rate of training, cut as in training.

    Args:
        x: a file, or an array [2, t] or [t, 2], left ear first.
        sample_rate: Hz of an array.
        audio_cut: what training cut; asked for only once the recording has been read.

    Raises:
        DataError: it is unreadable, not of two channels, not finite, silent, or too short.
        ConfigError: it is no recording, or of no known sample rate.
    """
    if isinstance(x, str | Path):
        name, (audio, rate) = str(x), read_wav(Path(x))
    elif isinstance(x, Image.Image):
        raise ConfigError("a picture is given, but the model takes two-channel recordings")
    else:
        name, audio = "the recording", _ears(x.detach().cpu().numpy() if isinstance(x, Tensor) else x)
        if sample_rate is None:
            raise ConfigError("an array does not say its sample rate: infer(x, sample_rate=44100)")
        rate = sample_rate
    if rate < 1:
        raise ConfigError(f"sample_rate must be at least 1 Hz, not {rate}")
    if rate != SAMPLE_RATE:
        log.info("%s was recorded at %d Hz and is resampled to the %d Hz of training", name, rate, SAMPLE_RATE)
    if rate < SAMPLE_RATE:
        log.warning("%s holds nothing above %g kHz, and echoes up to 20 kHz were learnt from", name, rate / 2000)
    return Prepared(torch.from_numpy(cut(resample(audio, rate), audio_cut(), name)))


def _ears(x: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "2 t"]:
    if x.ndim not in (1, 2):
        raise ConfigError(f"an array of shape {x.shape} is no recording: give [2, t] or [t, 2], left ear first")
    channels: Any = x[None] if x.ndim == 1 else x
    if channels.shape[0] != 2 and (channels.shape[1] == 2 or channels.shape[0] > channels.shape[1]):
        channels = channels.T  # as soundfile reads it
    return check_ears(to_full_scale(channels, "the recording"), "the recording")
