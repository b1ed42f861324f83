"""Recordings of a robot: those of a dataset, or a folder of WAV files, with their depth maps."""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from statistics import median

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from echodepth.apps.calibrate.config import CalibrateConfig
from echodepth.apps.calibrate.floor import Floor, fit_floor
from echodepth.apps.calibrate.sound import Sound, measure_sound
from echodepth.apps.calibrate.view import describe_view
from echodepth.apps.live.record import LATENCY, TABLE
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.core.input_files import read_text
from echodepth.data.audio import read_ear_arrays, read_wav, resample
from echodepth.data.camera_file import CAMERA_FILE, read_camera
from echodepth.data.config import extract_data_config
from echodepth.data.dataset_registry import DATASETS, recognise_dataset
from echodepth.data.images import DepthMap, read_depth_array
from echodepth.data.records import SPLITS, File, Modality, Record

_HOLES = 0.02  # share of the pixels: stereo cameras miss more, lidar and simulation less


@dataclass(frozen=True)
class Source:
    """Where recordings come from.

    Attributes:
        records: their files.
        read_depth: reads a depth map.
        camera: field of view of the depth camera; None if it is not known.
        no_depth: why there are no depth maps; empty if there are.
        latency: from the start of playback to the direct sound, ms, as ``echodepth record`` lists it; None without
            its table.
    """

    records: list[Record]
    read_depth: Callable[[File], DepthMap]
    camera: FieldOfView | None
    no_depth: str = ""
    latency: float | None = None


@dataclass(frozen=True)
class Recording:
    """Measurements of one recording.

    Attributes:
        room: smallest known group of recordings from one place.
        sound: of the WAV file; None without one.
        floor: of the depth map; None without one, or if it shows no floor.
        view: see `describe_view`; None without a depth map or camera.
        has_depth: whether there is a depth map.
        has_holes: whether more than a fiftieth of its pixels are missing.
    """

    room: str
    sound: Sound | None
    floor: Floor | None
    view: Float[np.ndarray, " 5"] | None
    has_depth: bool
    has_holes: bool = False


def open_source(config: CalibrateConfig) -> Source:
    """List the recordings of a folder without opening them.

    Raises:
        ConfigError: a flag is out of range.
        DataError: there is no folder, or nothing in it to read.
    """
    root = config.recordings
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: give the root of a dataset, or a folder of WAV files")
    try:
        angles = None if config.field_of_view is None else FieldOfView(*config.field_of_view)
    except ConfigError as error:
        raise ConfigError(f"--field_of_view: {error}") from error
    try:
        name = config.dataset or recognise_dataset(root)
    except DataError:
        return _open_folder(root, angles)
    reader = DATASETS[name]
    data = extract_data_config(config, dataset=reader.name, data_dir=root)
    splits = [split for split in SPLITS if reader.has_split(root, split)]
    wanted: tuple[Modality, ...] = tuple(each for each in ("audio", "depth") if each in reader.modalities)
    no_depth = ""
    try:
        records = [record for split in splits for record in reader.list_records(data, split, wanted)]
    except DataError as error:  # the lists may leave depth out
        if "audio" not in wanted:
            raise
        no_depth = str(error)
        records = [record for split in splits for record in reader.list_records(data, split, ("audio",))]
    read_depth = partial(reader.read_depth, units=reader.depth_units(data))
    return Source(records, read_depth, angles or reader.camera(root), no_depth)


def _open_folder(root: Path, angles: FieldOfView | None) -> Source:
    paths = sorted(root.rglob("*.wav"), key=_natural_key)
    if not paths:
        raise DataError(
            f"{root} has neither WAV files nor the lists of a dataset: give a folder of two-channel WAV files, "
            "left ear first"
        )
    records = [
        Record(path.stem, path.parent.name, str(path.parent), None, (path,), _depth_beside(path), str(path))
        for path in paths
    ]
    return Source(records, read_depth_array, angles or read_camera(root / CAMERA_FILE), latency=_read_latency(root))


def _read_latency(root: Path) -> float | None:
    """Median latency in the tables of ``echodepth record`` below a folder."""
    latencies: list[float] = []
    for table in sorted(root.rglob(TABLE)):
        try:
            rows = csv.DictReader(StringIO(read_text(table), newline=""))
            latencies += [float(row[LATENCY]) for row in rows]
        except (OSError, csv.Error, KeyError, ValueError, TypeError) as error:
            raise DataError(f"{table} is no table of `echodepth record` ({error!r}): move it elsewhere") from error
    return median(latencies) if latencies else None


def _natural_key(path: Path) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.findall(r"\d+|\D+", str(path))]


def _depth_beside(path: Path) -> Path | None:
    """The depth map of a recording: ``depth_7.npy`` beside ``audio_7.wav``, or in ``depth/`` beside ``audio/``."""
    name = f"{path.stem.replace('audio', 'depth')}.npy"
    candidates = (path.parent / name, path.parent.parent / "depth" / name)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def measure_source(source: Source, count: int, crop: FieldOfView) -> tuple[list[Recording], list[str]]:
    """Read and measure up to ``count`` recordings, evenly spaced.

    Args:
        source: from `open_source`.
        count: largest number of recordings.
        crop: field of view that the descriptions of the views are limited to.

    Returns:
        The measurements, and for each file that cannot be used, why not.

    Raises:
        DataError: no recording can be used.
    """
    chosen = np.unique(np.linspace(0, len(source.records) - 1, min(count, len(source.records))).round().astype(int))
    measured, problems = [], []
    for index in tqdm(chosen, desc="Measuring recordings", unit="recording", disable=None):
        record = source.records[int(index)]
        try:
            measured.append(_measure(record, source, crop))
        except DataError as error:
            problems.append(f"{record.name}: {error}")
    if not measured:
        raise DataError(f"none of {len(chosen)} recordings can be used; the first: {problems[0]}")
    return measured, problems


def _measure(record: Record, source: Source, crop: FieldOfView) -> Recording:
    sound = measure_sound(_read_audio(record)) if record.audio else None
    floor, view, has_holes = None, None, False
    has_depth = record.depth is not None and record.depth.is_file()
    if record.depth is not None and has_depth and source.camera is not None:
        depth = source.read_depth(record.depth)
        floor = fit_floor(depth, source.camera)
        view = describe_view(depth, source.camera, crop)
        has_holes = bool(depth.valid.mean() < 1 - _HOLES)
    return Recording(record.room, sound, floor, view, has_depth, has_holes)


def _read_audio(record: Record) -> Float[np.ndarray, "2 t"]:
    if len(record.audio) == 2:
        return read_ear_arrays(*record.audio)
    audio, rate = read_wav(record.audio[0])
    return resample(audio, rate)
