"""``echodepth convert``: convert the files of one room to a location in BatVision V2's format."""

import logging
import shutil
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt16
from tqdm import tqdm

from echodepth.apps.convert.config import ConvertConfig, DepthUnit
from echodepth.apps.convert.pairing import FileTriple, match_files
from echodepth.core.atomic_io import atomic_folder
from echodepth.core.batvision_tables import FILE_COLUMNS, INDEX, table_row, write_table
from echodepth.core.constants import SAMPLE_RATE, V2_ONSET
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.wav_writer import write_wav
from echodepth.data.audio import find_onset, read_wav, resample
from echodepth.data.datasets.rgbd import TIME_RANGES
from echodepth.data.images import UNDECODABLE, open_image, read_image, read_stored_depth
from echodepth.data.records import SPLITS, Split

log = logging.getLogger(__name__)

FOLDERS = tuple(FILE_COLUMNS)
_COLUMNS = (INDEX, *(column for kind, files in FILE_COLUMNS.items() for column in (f"{kind} time", *files)))
"""Columns of the CSV files: those that readers of BatVision V2 need, and the time of each file."""
_SAMPLES_TO_30_M = 7782  # after the onset: the travel time to 30 m and back
_COPIED_IMAGES = frozenset({".jpg", ".jpeg", ".png"})
_MAX_DEPTH = 65.535  # metres: the largest number of millimetres in 16 bits


def convert(config: ConvertConfig) -> Path:
    """Write ``OUT/LOCATION`` with audio/, camera/, depth/ and a CSV file for each split that has rows.

    Recordings are resampled to 44.1 kHz and start 282 samples before the direct sound. Depth becomes 16-bit
    millimetres, 0 where it is unknown. JPEG and PNG images are copied, others become PNG. A conversion that fails
    leaves nothing behind.

    Returns:
        The folder of the location.

    Raises:
        ConfigError: the location exists or is not a plain name, or flags cannot be combined.
        DataError: a file is unreadable, a recording has no direct sound, or no files match.
    """
    if not config.location or Path(config.location).name != config.location:
        raise ConfigError(f"--location {config.location!r} names a folder: give one word, such as Kitchen")
    target = config.out / config.location
    if target.exists():
        raise ConfigError(f"{target} exists: give another --location, or delete the folder to convert again")
    triples, unmatched = match_files(config)
    short = 0
    with atomic_folder(target) as unfinished:
        for number, triple in enumerate(tqdm(triples, desc=config.location, unit="row", disable=None)):
            short += _write_files(unfinished, number, triple, config) < _SAMPLES_TO_30_M
        _write_tables(unfinished, config, triples)
    note = f"; {unmatched} recordings have no matching image and depth map" if unmatched else ""
    log.info("%s: %d rows%s", target, len(triples), note)
    if short:
        log.warning("%d recordings end before an echo from 30 m: train with a smaller --max_depth", short)
    return target


def _write_files(folder: Path, number: int, triple: FileTriple, config: ConvertConfig) -> int:
    """Write the files of one instance; return the number of samples after the onset."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    audio, after_onset = read_recording(triple.audio, config.swap_ears)
    write_wav(folder / f"audio/audio_{number}.wav", audio.T, SAMPLE_RATE, "PCM_24")
    np.save(folder / f"depth/depth_{number}.npy", read_millimetres(triple.depth, config.depth_unit))
    read_image(triple.camera, 16)  # raises a DataError if the file is truncated or no colour image
    target = folder / f"camera/{_image_name(number, triple)}"
    if target.suffix == triple.camera.suffix.lower():
        shutil.copyfile(triple.camera, target)
    else:
        with open_image(triple.camera) as image:
            image.convert("RGB").save(target)
    return after_onset


def _image_name(number: int, triple: FileTriple) -> str:
    suffix = triple.camera.suffix.lower()
    return f"camera_{number}{suffix if suffix in _COPIED_IMAGES else '.png'}"


def read_recording(path: Path, swap_ears: bool = False) -> tuple[Float[np.ndarray, "2 t"], int]:
    """Read a recording at 44.1 kHz, from 282 samples before its direct sound on, as in BatVision V2.

    Args:
        path: a two-channel recording.
        swap_ears: exchange the channels.

    Returns:
        The recording, left ear first, and the number of samples after the onset.

    Raises:
        DataError: the file is unreadable, not of two channels, or without a direct sound.
    """
    audio, rate = read_wav(path)
    if rate != SAMPLE_RATE:
        # Resampling may overshoot full scale a little, which 24-bit integers cannot hold.
        audio = np.clip(resample(audio, rate), -1, 1)
    try:
        onset = find_onset(audio)
    except DataError as error:
        raise DataError(f"{path}: {error}; leave this recording out") from error
    cut = audio[:, max(0, onset - V2_ONSET) :]
    return np.ascontiguousarray(cut[::-1] if swap_ears else cut), audio.shape[1] - onset


def read_millimetres(path: Path, unit: DepthUnit) -> UInt16[np.ndarray, "h w"]:
    """Read a depth map as 16-bit millimetres; values that are not finite, not positive or beyond 65.535 m become 0.

    Args:
        path: a two-dimensional ``.npy``, or a one-channel image of 16 bits or floats.
        unit: unit of the values.

    Raises:
        DataError: the file is unreadable, of another shape or type, or its values are implausible in this unit.
    """
    try:
        raw = read_stored_depth(path)
    except UNDECODABLE as error:
        raise DataError(f"{path} cannot be read as a depth map: {error}") from error
    if raw.ndim != 2 or raw.dtype.kind not in "iuf" or raw.dtype.itemsize == 1:
        raise DataError(f"{path} holds {raw.dtype} of shape {raw.shape}: a 2-D map of at least 16 bits is expected")
    metres = raw.astype(np.float64) / (1000 if unit == "mm" else 1)
    valid = (metres > 0) & (metres <= _MAX_DEPTH)
    positive = metres[np.isfinite(metres) & (metres > 0)]
    if positive.size and (np.median(positive) > _MAX_DEPTH or positive.max() < 0.05):
        other = "mm" if unit == "m" else "m"
        raise DataError(f"{path}: its median depth is {np.median(positive):.3g} m: is it in --depth_unit {other}?")
    return np.where(valid, np.round(1000 * np.where(valid, metres, 0)), 0).astype(np.uint16)


def _write_tables(folder: Path, config: ConvertConfig, triples: list[FileTriple]) -> None:
    for split in SPLITS:
        rows = [
            (number, triple) for number, triple in enumerate(triples) if _in_split(number, len(triples), split, config)
        ]
        if not rows:
            continue
        write_table(folder / f"{split}.csv", (_row(number, each, config.location) for number, each in rows), _COLUMNS)


def _in_split(number: int, count: int, split: Split, config: ConvertConfig) -> bool:
    if config.split != "along":
        return split == config.split
    start, end = TIME_RANGES[split]
    return start <= number / count < end


def _row(number: int, triple: FileTriple, location: str) -> dict[str, object]:
    names = {"audio": f"audio_{number}.wav", "camera": _image_name(number, triple), "depth": f"depth_{number}.npy"}
    time = number if triple.time is None else triple.time
    return table_row(number, location, names, {f"{kind} time": time for kind in names})
