"""From a file to a depth map: an image through an RGB model, a binaural recording through an audio model."""

import logging
from collections import Counter
from math import gcd
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image
from scipy.signal import resample_poly
from torch import Tensor

from echodepth.data.audio import SAMPLE_RATE, AudioCut, cut, read_wav
from echodepth.data.frames import open_image, read_image
from echodepth.errors import ConfigError, DataError
from echodepth.files import written_whole
from echodepth.inference.config import PredictConfig
from echodepth.inference.engines import Engine, as_engine, load_engine
from echodepth.inference.trained import Trained, experiment_name, trained_data
from echodepth.models.store import DepthModel
from echodepth.viz import depth_picture, display_limit, error_picture, save_figure

log = logging.getLogger(__name__)

RECORDINGS = frozenset({".wav", ".flac"})
FARTHEST_IN_PNG = 65.535
"""Metres: 16 bits of millimetres end here."""
_EXIF_ORIENTATION = 0x0112


def predict(config: PredictConfig) -> list[Path]:
    """Predict the depth of every file and write it.

    For each file: ``<stem>_depth.npy`` (float32, metres), ``<stem>_depth.png`` (16 bits, millimetres, cut off at
    65.535 m) and ``<stem>_depth_color.png`` (a picture with its scale in metres). A model with uncertainty also writes
    how far off it expects to be, likewise, as ``<stem>_uncertainty``.

    Returns:
        The files written, three for each map.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: no file is given, two would be written to one place, or one is not what the model takes.
        DataError: a file is missing or unreadable.
    """
    if not config.files:
        raise ConfigError("no file is given: name images for an RGB model, or WAV files for an audio model")
    if twice := [stem for stem, count in Counter(path.stem for path in config.files).items() if count > 1]:
        raise ConfigError(
            f"two files are called {twice[0]}, and one result would replace the other: predict them apart"
        )
    model = load_engine(config.checkpoint, config.backend, config.device)
    folder = config.out if config.out is not None else Path("results") / experiment_name(model) / "predictions"
    written: list[Path] = []
    for path in config.files:
        depth, scale = predict_maps(model, path)
        written += write_depth(depth, folder / path.stem, model.max_depth)
        said = f"{path}: {depth.min():.2f} to {depth.max():.2f} m, median {np.median(depth):.2f} m"
        if scale is not None:
            written += write_uncertainty(scale, folder / path.stem)
            said += f", expected to be off by {np.median(scale):.2f} m"
        log.info(said)
    log.info("written to %s", folder)
    return written


def predict_file(model: DepthModel | Engine, path: Path) -> Float[np.ndarray, "h w"]:
    """Predict the depth that one file shows, or lets hear.

    Args:
        model: from ``load_model`` or ``load_engine``.
        path: any picture that Pillow reads, for an RGB model; a two-channel WAV, left ear first, for an audio model.

    Returns:
        Metres, float32: of an image at the image's own size, of a recording at the model's.

    Raises:
        ConfigError: the file is not what the model takes.
        DataError: the file is missing or unreadable, or the recording is mono or too short.
    """
    return predict_maps(model, path)[0]


def predict_maps(
    model: DepthModel | Engine, path: Path
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"] | None]:
    """``predict_file``, and beside its depth how far off that is expected to be, in metres.

    Returns:
        Depth, and the mean absolute error to expect at each pixel; None of a model trained without ``--uncertainty``.
    """
    if not path.is_file():
        raise DataError(f"{path} is a folder: name the files in it" if path.is_dir() else f"{path} does not exist")
    is_recording = path.suffix.lower() in RECORDINGS
    if is_recording != (model.input_key == "audio"):
        given, wanted = ("a recording", "images") if is_recording else ("no WAV file", "two-channel recordings")
        raise ConfigError(
            f"{path} is {given}, but {experiment_name(model)} takes {wanted}: give such a file or another --checkpoint"
        )
    raw = _recording(model, path) if is_recording else torch.from_numpy(read_image(path, model.image_size))
    depth, scale = as_engine(model).predict(raw[None])
    maps = torch.cat([depth, scale] if scale is not None else [depth], dim=1)
    if not is_recording:
        # A prediction is smooth where a measured map has holes and edges, so it may be interpolated.
        maps = F.interpolate(maps, _own_size(path), mode="bilinear", align_corners=False)
    metres = maps[0].float().cpu().numpy()
    return metres[0], metres[1] if scale is not None else None


def write_depth(depth: Float[np.ndarray, "h w"], stem: Path, max_depth: float) -> list[Path]:
    """Write a depth map in metres as ``<stem>_depth.npy``, ``_depth.png`` (mm) and ``_depth_color.png``."""
    known = np.isfinite(depth)
    picture = depth_picture(depth, known, display_limit(depth, known, max_depth), stem.name)
    return _write_map(depth, picture, stem.with_name(f"{stem.name}_depth"))


def write_uncertainty(scale: Float[np.ndarray, "h w"], stem: Path) -> list[Path]:
    """Write a map of expected errors in metres as ``write_depth`` does, to ``<stem>_uncertainty.npy`` and so on."""
    return _write_map(scale, error_picture(scale, stem.name), stem.with_name(f"{stem.name}_uncertainty"))


def _write_map(metres: Float[np.ndarray, "h w"], figure: Figure, stem: Path) -> list[Path]:
    array, millimetres, picture = (stem.with_name(stem.name + end) for end in (".npy", ".png", "_color.png"))
    with written_whole(array) as unfinished, unfinished.open("wb") as file:
        np.save(file, metres.astype(np.float32))
    with written_whole(millimetres) as unfinished:
        Image.fromarray(to_millimetres(metres)).save(unfinished, format="PNG")
    save_figure(figure, picture)
    return [array, millimetres, picture]


def to_millimetres(depth: Float[np.ndarray, "h w"]) -> np.ndarray:
    """Metres as uint16 millimetres, cut off at 65.535 m; what is no depth becomes 0, which readers take as unknown."""
    known = np.nan_to_num(depth.astype(np.float64), nan=0.0)
    rounded: np.ndarray = np.round(1000 * np.clip(known, 0, FARTHEST_IN_PNG)).astype(np.uint16)
    return rounded


def _recording(model: Trained, path: Path) -> Float[Tensor, "2 t"]:
    audio, rate = read_wav(path)
    if rate != SAMPLE_RATE:
        log.info("%s was recorded at %d Hz and is resampled to the %d Hz of training", path, rate, SAMPLE_RATE)
        common = gcd(rate, SAMPLE_RATE)
        audio = resample_poly(audio, SAMPLE_RATE // common, rate // common, axis=1).astype(np.float32)
    data = trained_data(model)
    return torch.from_numpy(cut(audio, AudioCut(data.audio_start, data.cut_seconds), str(path)))


def _own_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture as its pixels lie in the file."""
    with open_image(path) as image:
        if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
            log.warning("%s asks to be shown turned (EXIF orientation), which is not done: turn it first", path)
        return image.height, image.width
