"""``echodepth convert``: one room's files become a location in BatVision V2's format, whole or not at all."""

import csv
import logging
import shutil
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float, UInt16
from scipy.signal import resample_poly
from tqdm import tqdm

from echodepth.apps.convert.config import ConvertConfig, DepthUnit
from echodepth.apps.convert.pairing import Trio, pair_up
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError, DataError
from echodepth.data.audio import find_onset, read_wav
from echodepth.data.datasets.rgbd import TIME_RANGES
from echodepth.data.images import open_image, read_image
from echodepth.data.records import SPLITS, Split

log = logging.getLogger(__name__)

COLUMNS = tuple(f"{part} {what}" for part in ("audio", "camera", "depth") for what in ("time", "path", "file name"))
"""Of the CSV files: those of BatVision V2 that are read, and the times."""
_BEFORE_ONSET = 282
"""Samples kept before the direct sound, as in a genuine BatVision V2 recording: the onset's finder needs some quiet."""
_ENOUGH = 7782  # samples after the onset: sound's way to 30 m and back
_KEPT_PICTURES = frozenset({".jpg", ".jpeg", ".png"})
_FARTHEST = 65.535  # metres in 16 bits of millimetres


def convert(config: ConvertConfig) -> Path:
    """Write ``OUT/LOCATION`` with audio/, camera/, depth/ and a CSV file for each split that has rows.

    Recordings are resampled to 44.1 kHz and begin 282 samples before the direct sound; depth becomes millimetres in
    16 bits, 0 where it is unknown; JPEG and PNG pictures are copied, others become PNG.

    Returns:
        The location's folder.

    Raises:
        ConfigError: the location exists or is no name, or flags do not go together.
        DataError: a file is unreadable, a recording has no direct sound, or nothing belongs together.
    """
    if not config.location or Path(config.location).name != config.location:
        raise ConfigError(f"--location {config.location!r} names a folder: give one word, such as Kitchen")
    target = config.out / config.location
    if target.exists():
        raise ConfigError(f"{target} exists: give another --location, or delete the folder to convert again")
    trios, alone = pair_up(config)
    unfinished = config.out / f".{config.location}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    short = 0
    try:
        for number, trio in enumerate(tqdm(trios, desc=config.location, unit="row", disable=None)):
            short += _write(unfinished, number, trio, config) < _ENOUGH
        _write_tables(unfinished, config, trios)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    log.info("%s: %d rows%s", target, len(trios), f"; {alone} recordings have no partner" if alone else "")
    if short:
        log.warning("%d recordings end before an echo from 30 m: train with a smaller --max_depth", short)
    return target


def _write(folder: Path, number: int, trio: Trio, config: ConvertConfig) -> int:
    """Write one instance; how many samples the recording has after its onset."""
    for part in ("audio", "camera", "depth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    audio, after = as_v2(trio.audio, config.swap_ears)
    soundfile.write(folder / f"audio/audio_{number}.wav", audio.T, SAMPLE_RATE, subtype="PCM_24")
    np.save(folder / f"depth/depth_{number}.npy", read_millimetres(trio.depth, config.depth_unit))
    read_image(trio.camera, 16)  # refuses what is no colour picture, or is cut short
    picture = folder / f"camera/{_picture_name(number, trio)}"
    if picture.suffix == trio.camera.suffix.lower():
        shutil.copyfile(trio.camera, picture)
    else:
        with open_image(trio.camera) as image:
            image.convert("RGB").save(picture)
    return after


def _picture_name(number: int, trio: Trio) -> str:
    suffix = trio.camera.suffix.lower()
    return f"camera_{number}{suffix if suffix in _KEPT_PICTURES else '.png'}"


def as_v2(path: Path, swap_ears: bool = False) -> tuple[Float[np.ndarray, "2 t"], int]:
    """Read a recording at 44.1 kHz from 282 samples before its direct sound on.

    Args:
        path: of two channels.
        swap_ears: exchange them.

    Returns:
        The recording, left ear first, and how many samples follow the onset.

    Raises:
        DataError: it is unreadable, not of two channels, or without a direct sound.
    """
    audio, rate = read_wav(path)
    if rate != SAMPLE_RATE:
        common = gcd(rate, SAMPLE_RATE)
        # Resampling may overshoot full scale by a little, where 24 bits would clip.
        audio = np.clip(resample_poly(audio, SAMPLE_RATE // common, rate // common, axis=1), -1, 1).astype(np.float32)
    try:
        onset = find_onset(audio)
    except DataError as error:
        raise DataError(f"{path}: {error}; leave this recording out") from error
    kept = audio[:, max(0, onset - _BEFORE_ONSET) :]
    return np.ascontiguousarray(kept[::-1] if swap_ears else kept), audio.shape[1] - onset


def read_millimetres(path: Path, unit: DepthUnit) -> UInt16[np.ndarray, "h w"]:
    """Read a depth map as 16-bit millimetres; 0 where it is 0, negative, not finite or beyond 65.535 m.

    Args:
        path: a two-dimensional ``.npy``, or a one-channel picture of 16 bits or floats.
        unit: of its numbers.

    Raises:
        DataError: it is unreadable, of another shape or type, or its numbers cannot be of that unit.
    """
    try:
        if path.suffix == ".npy":
            raw = np.load(path, allow_pickle=False)
        else:
            with open_image(path) as image:
                raw = np.asarray(image)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read as a depth map: {error}") from error
    if raw.ndim != 2 or raw.dtype.kind not in "iuf" or raw.dtype.itemsize == 1:
        raise DataError(f"{path} holds {raw.dtype} of shape {raw.shape}: a 2-D map of at least 16 bits is expected")
    metres = raw.astype(np.float64) / (1000 if unit == "mm" else 1)
    known = (metres > 0) & (metres <= _FARTHEST)
    found = metres[np.isfinite(metres) & (metres > 0)]
    if found.size and (np.median(found) > _FARTHEST or found.max() < 0.05):
        other = "mm" if unit == "m" else "m"
        raise DataError(f"{path}: half of it is beyond {np.median(found):.3g} m: is it in --depth_unit {other}?")
    return np.where(known, np.round(1000 * np.where(known, metres, 0)), 0).astype(np.uint16)


def _write_tables(folder: Path, config: ConvertConfig, trios: list[Trio]) -> None:
    for split in SPLITS:
        rows = [(number, trio) for number, trio in enumerate(trios) if _belongs(number, len(trios), split, config)]
        if not rows:
            continue
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ("index", *COLUMNS))
            table.writeheader()
            table.writerows(_row(number, trio, config.location) for number, trio in rows)


def _belongs(number: int, count: int, split: Split, config: ConvertConfig) -> bool:
    if config.split != "along":
        return split == config.split
    start, end = TIME_RANGES[split]
    return start <= number / count < end


def _row(number: int, trio: Trio, location: str) -> dict[str, object]:
    names = {"audio": f"audio_{number}.wav", "camera": _picture_name(number, trio), "depth": f"depth_{number}.npy"}
    row: dict[str, object] = {"index": number}
    for part, name in names.items():
        row |= {f"{part} path": f"{location}/{part}/", f"{part} file name": name}
        row[f"{part} time"] = number if trio.time is None else trio.time
    return row
