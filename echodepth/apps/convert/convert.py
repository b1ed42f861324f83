"""``echodepth convert``: convert the files of one room to a location in BatVision V2's format."""

import logging
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from echodepth.apps.convert.config import ConvertConfig, DepthUnit
from echodepth.apps.convert.pairing import FileTriple, match_files
from echodepth.core.atomic_io import atomic_folder
from echodepth.core.batvision_tables import FILE_COLUMNS, INDEX, table_row, write_table
from echodepth.core.constants import SAMPLE_RATE, V2_ONSET
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.input_files import read_bounded
from echodepth.core.safe_paths import DataRoot
from echodepth.core.schema import LARGEST_INDEX
from echodepth.core.wav_writer import write_wav
from echodepth.data.audio import find_onset, read_wav, resample
from echodepth.data.datasets.rgbd import TIME_RANGES
from echodepth.data.depth_values import DepthMarker, to_metres
from echodepth.data.images import (
    UNDECODABLE,
    DepthMap,
    exif_orientation,
    open_image,
    open_upright,
    read_image,
    read_stored_depth,
    upright_size,
)
from echodepth.data.provenance import SIMULATION_FILE, simulation_file_above
from echodepth.data.records import SPLITS, Split

log = logging.getLogger(__name__)

FOLDERS = tuple(FILE_COLUMNS)
_COLUMNS = (INDEX, *(column for kind, files in FILE_COLUMNS.items() for column in (f"{kind} time", *files)))
"""Columns of the CSV files: those that readers of BatVision V2 need, and the time of each file."""
_SAMPLES_TO_30_M = 7782  # after the onset: the travel time to 30 m and back
_COPIED_IMAGES = frozenset({".jpg", ".jpeg", ".png"})


def convert(config: ConvertConfig) -> Path:
    """Write ``OUT/LOCATION`` with audio/, camera/, depth/ and a CSV file for each split that has rows.

    Recordings are resampled to 44.1 kHz and start 282 samples before the direct sound; they have 24 bits, or are floats
    if they exceed full scale. Depth becomes 16-bit millimetres, 0 where it is unknown. JPEG and PNG images are copied,
    others become PNG; those with an EXIF orientation are turned upright. A conversion that fails leaves nothing behind.

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
    with atomic_folder(target) as unfinished:
        written = [
            _write_files(unfinished, number, triple, config)
            for number, triple in enumerate(tqdm(triples, desc=config.location, unit="row", disable=None))
        ]
        _write_tables(unfinished, config, triples)
        _keep_provenance(unfinished, triples)
    note = f"; {unmatched} recordings have no matching image and depth map" if unmatched else ""
    log.info("%s: %d rows%s", target, len(triples), note)
    _report(written)
    return target


class _Written(NamedTuple):
    """What was found in the files of one instance: samples after the onset, peak of the recording, and so on."""

    after_onset: int
    peak: float
    marker: DepthMarker | None
    is_turned: bool


def _report(written: list[_Written]) -> None:
    """Log what was changed, dropped or found wanting."""
    if short := sum(each.after_onset < _SAMPLES_TO_30_M for each in written):
        log.warning("%d recordings end before an echo from 30 m: train with a smaller --max_depth", short)
    if loud := [each.peak for each in written if each.peak > 1]:
        log.warning(
            "%d recordings exceed full scale, by up to %.1f dB: they are written as 32-bit floats, unclipped",
            *(len(loud), 20 * np.log10(max(loud))),
        )
    if markers := [each.marker for each in written if each.marker is not None]:
        log.warning(
            "%d depth maps hold numbers that are no distances, such as %g in %d pixels: 0 is written there",
            *(len(markers), markers[0].number, markers[0].pixels),
        )
    if turned := sum(each.is_turned for each in written):
        log.warning("%d images were turned upright by their EXIF orientation: check that the depth maps are", turned)


def _write_files(folder: Path, number: int, triple: FileTriple, config: ConvertConfig) -> _Written:
    """Write the files of one instance."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    audio, after_onset = read_recording(triple.audio, config.swap_ears)
    peak = float(np.abs(audio).max())
    # Integers would flatten what lies above full scale, and scaling one recording would change its level to others.
    write_wav(folder / f"audio/audio_{number}.wav", audio.T, SAMPLE_RATE, "PCM_24" if peak <= 1 else "FLOAT")
    depth = read_depth(triple.depth, config.depth_unit)
    np.save(folder / f"depth/depth_{number}.npy", np.round(1000 * depth.metres.astype(np.float64)).astype(np.uint16))
    with open_image(triple.camera) as image:
        name = str(triple.camera)
        orientation, size = exif_orientation(image, name), upright_size(image, name)
    if orientation > 1:
        _check_turned(triple, size, depth)
    read_image(triple.camera, 16)  # raises a DataError if the file is truncated or no colour image
    target = folder / f"camera/{_image_name(number, triple)}"
    if orientation == 1 and target.suffix == triple.camera.suffix.lower():
        shutil.copyfile(triple.camera, target)
    else:
        with open_upright(triple.camera) as image:
            image.convert("RGB").save(target, quality=95, subsampling=0)
    return _Written(after_onset, peak, depth.marker, orientation > 1)


def _check_turned(triple: FileTriple, size: tuple[int, int], depth: DepthMap) -> None:
    """Raise a DataError if an image that EXIF turns by 90 degrees then lies across its depth map."""
    shape = depth.metres.shape
    if (size[0] - size[1]) * (shape[0] - shape[1]) < 0:
        raise DataError(
            f"{triple.camera} is {size[1]}x{size[0]} upright, as its EXIF orientation asks, but {triple.depth} is "
            f"{shape[1]}x{shape[0]}: turn the depth map too, or remove the orientation from the image"
        )


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
    audio = resample(audio, rate)
    try:
        onset = find_onset(audio)
    except DataError as error:
        raise DataError(f"{path}: {error}; leave this recording out") from error
    cut = audio[:, max(0, onset - V2_ONSET) :]
    return np.ascontiguousarray(cut[::-1] if swap_ears else cut), audio.shape[1] - onset


def read_depth(path: Path, unit: DepthUnit) -> DepthMap:
    """Read a depth map of any kind of file in a given unit; see ``to_metres`` for what is invalid.

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
    remedy = f"is it in --depth_unit {'mm' if unit == 'm' else 'm'}?"
    return DepthMap(*to_metres(raw, 1000 if unit == "mm" else 1, str(path), remedy))


def _write_tables(folder: Path, config: ConvertConfig, triples: list[FileTriple]) -> None:
    for split in SPLITS:
        rows = [
            (number, triple) for number, triple in enumerate(triples) if _in_split(number, len(triples), split, config)
        ]
        if not rows:
            continue
        write_table(folder / f"{split}.csv", (_row(number, each, config.location) for number, each in rows), _COLUMNS)


def _keep_provenance(folder: Path, triples: list[FileTriple]) -> None:
    """Copy the simulator's file of the inputs, by which readers know simulated rooms."""
    folders = {file.parent: file for triple in triples for file in (triple.audio, triple.depth)}
    found = (simulation_file_above(file) for file in folders.values())
    if (source := next(filter(None, found), None)) is not None:
        DataRoot(source.parent).join(str(source.parent), source.name)
        (folder / SIMULATION_FILE).write_bytes(read_bounded(source, LARGEST_INDEX))


def _in_split(number: int, count: int, split: Split, config: ConvertConfig) -> bool:
    if config.split != "along":
        return split == config.split
    start, end = TIME_RANGES[split]
    return start <= number / count < end


def _row(number: int, triple: FileTriple, location: str) -> dict[str, object]:
    names = {"audio": f"audio_{number}.wav", "camera": _image_name(number, triple), "depth": f"depth_{number}.npy"}
    time = number if triple.time is None else triple.time
    return table_row(number, location, names, {f"{kind} time": time for kind in names})
