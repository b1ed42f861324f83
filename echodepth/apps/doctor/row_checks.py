"""Checks of single rows: each row's files are read once, checked and measured."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

from echodepth.apps.doctor.ear_order import laterality, level_differences
from echodepth.apps.doctor.findings import Finding
from echodepth.apps.doctor.registration import EdgeMatch, match_edges, side_of
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import DataError
from echodepth.data.arrays import read_array
from echodepth.data.audio import find_onset, read_ear_arrays, read_wav
from echodepth.data.decoder import Decoder
from echodepth.data.images import (
    UNDECODABLE,
    DepthMap,
    open_image,
    read_image,
    read_stored_depth,
    resize_depth,
)
from echodepth.data.records import Record, Split

DEPTH_BINS = np.geomspace(0.1, 100, 49)
"""Edges of the depth histogram's bins in metres."""
_FINE_FORMATS = frozenset({"PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
_FLAT_RUN = 3  # consecutive samples at the extreme: a sound wave turns at once, a limiter holds
_MIN_CLIPPED = 6  # such samples in a recording: fewer are inaudible
_MAX_LEVEL_DIFFERENCE = 30.0  # dB between the ears over a recording: the head shadow causes less than 10
_MIN_VALID = 0.01  # share of the pixels
_STREAM_SIZES = (0, 0xFFFFFFFF)  # sizes in the header of a WAV that was written as a stream


@dataclass(frozen=True)
class AudioStats:
    """Statistics of a readable recording.

    Attributes:
        onset: first sample of the direct sound.
        peak: full scale is 1.
        levels: RMS of the left and the right ear.
        level_differences: by distance, see ``ear_order``.
    """

    onset: int | None
    peak: float
    levels: tuple[float, float]
    level_differences: Float[np.ndarray, " n"] | None


@dataclass(frozen=True)
class DepthStats:
    """Statistics of a readable depth map.

    Attributes:
        shape: rows and columns.
        valid: share of the pixels with a depth.
        histogram: pixels per bin of ``DEPTH_BINS``.
        median: metres.
        laterality: by distance, with the share of the view, see ``ear_order``.
    """

    shape: tuple[int, int]
    valid: float
    histogram: np.ndarray
    median: float
    laterality: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


@dataclass
class CheckedRow:
    """A row with its findings and statistics. Modalities that are missing or unreadable are None.

    Attributes:
        record: paths and names of the row.
        split: that lists the row.
        findings: faults of this row.
        digests: content hash by modality, to find duplicates.
        audio: statistics of the recording.
        depth: statistics of the depth map.
        image_size: width and height of the image.
        edges: registration of image and depth.
    """

    record: Record
    split: Split
    findings: list[Finding] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    audio: AudioStats | None = None
    depth: DepthStats | None = None
    image_size: tuple[int, int] | None = None
    edges: EdgeMatch | None = None

    def report(self, kind: str, what: str) -> None:
        """Add a fault."""
        self.findings.append(Finding(kind, self.record.source, what, (self.record.name,)))

    def has_issue(self, *kinds: str) -> bool:
        """Whether the row has a fault of one of these kinds."""
        return any(finding.kind in kinds for finding in self.findings)


def check_row(record: Record, split: Split, decoder: Decoder) -> CheckedRow:
    """Read, check and measure a row's files. Faulty files become findings, not exceptions."""
    row = CheckedRow(record, split)
    missing = [path for path in decoder.files(record) if not path.is_file()]
    for path in missing:
        row.report("missing", f"{path} does not exist")
    depth = None
    if record.depth is not None and record.depth not in missing:
        depth = _check_depth(row, record.depth, decoder)
    if record.audio and not {*record.audio} & {*missing}:
        _check_audio(row, decoder)
    if record.image is not None and record.image not in missing:
        _check_image(row, record.image, depth)
    return row


def _check_depth(row: CheckedRow, path: Path, decoder: Decoder) -> DepthMap | None:
    try:
        depth = decoder.read_depth(path)
    except DataError as error:
        row.report(_depth_issue(path), str(error))
        return None
    if path.suffix == ".npy" and read_array(path).dtype.itemsize == 1:
        row.report("depth format", f"{path} has 8-bit values, at most 255 mm: too small for a room")
        return None
    known = depth.metres[depth.valid]
    share = known.size / depth.metres.size
    if share < _MIN_VALID:
        row.report("empty depth", f"{path}: {share:.1%} of the pixels have a depth")
        return None
    if known.min() == known.max():
        row.report("constant depth", f"{path}: {known[0]:.3f} m at every pixel")
        return None
    row.digests["depth"] = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    histogram, _ = np.histogram(known, DEPTH_BINS)
    shape = depth.metres.shape
    row.depth = DepthStats((shape[0], shape[1]), share, histogram, float(np.median(known)), laterality(depth))
    return depth


def _depth_issue(path: Path) -> str:
    try:
        raw = read_stored_depth(path)
    except (DataError, *UNDECODABLE):
        return "corrupt"
    # The readers reject a two-dimensional array of numbers only for its unit.
    is_map = raw.ndim == 2 and raw.dtype.kind in "iuf"
    return "depth unit" if is_map and path.suffix == ".npy" else "depth format"


def _check_audio(row: CheckedRow, decoder: Decoder) -> None:
    paths, names = row.record.audio, str(row.record.audio[0])
    try:
        audio, rate = read_wav(paths[0]) if len(paths) == 1 else (read_ear_arrays(paths[0], paths[1]), SAMPLE_RATE)
    except DataError as error:
        row.report(_audio_issue(paths), str(error))
        return
    if len(paths) == 1 and (truncation := _truncation(paths[0])):
        row.report("corrupt", truncation)
        return
    subtype = soundfile.info(paths[0]).subtype if len(paths) == 1 else "PCM_16"
    if rate != SAMPLE_RATE:
        row.report("audio format", f"{names} was recorded at {rate} Hz, not {SAMPLE_RATE}")
    elif subtype not in _FINE_FORMATS:
        row.report(
            "audio format", f"{names} is stored as {subtype}, which is too coarse for echoes 60 dB below the chirp"
        )
    else:
        row.digests["audio"] = hashlib.blake2b(audio.tobytes(), digest_size=16).hexdigest()
        _check_signal(row, audio, decoder, names)


def _audio_issue(paths: tuple[Path, ...]) -> str:
    try:
        frames = [soundfile.info(path).frames if len(paths) == 1 else read_array(path).size for path in paths]
    except (DataError, soundfile.SoundFileError, OSError):
        return "corrupt"
    return "audio format" if min(frames) else "corrupt"


def _truncation(path: Path) -> str:
    """A message if the WAV's header declares more data than the file has, which libsndfile does not report."""
    with path.open("rb") as file:
        head = file.read(8)
    declared, size = int.from_bytes(head[4:], "little"), path.stat().st_size
    if head[:4] != b"RIFF" or declared in _STREAM_SIZES or declared + 8 <= size:
        return ""
    return f"{path} is truncated: {size} of {declared + 8} bytes"


def _check_signal(row: CheckedRow, audio: Float[np.ndarray, "2 t"], decoder: Decoder, names: str) -> None:
    peak = float(np.abs(audio).max())
    left, right = (float(level) for level in np.sqrt((audio.astype(np.float64) ** 2).mean(axis=1)))
    onset = None
    try:
        onset = find_onset(audio)
    except DataError as error:
        row.report("no sound", f"{names}: {error}")
    if onset is not None:
        _check_ears(row, audio, (left, right), names)
        start = {"onset": onset, "zero": 0}.get(str(decoder.audio_cut.start), decoder.audio_cut.start)
        end = int(start) + decoder.audio_cut.frames
        if audio.shape[1] < end:
            row.report("too short", f"{names} has {audio.shape[1]} samples, but the cut ends at {end}")
    flat = flat_samples(audio)
    if flat >= _MIN_CLIPPED:
        row.report("clipping", f"{names}: {flat} samples are clipped at {peak:.3f} of full scale")
    differences = None if onset is None else level_differences(audio, onset)
    row.audio = AudioStats(onset, peak, (left, right), differences)


def _check_ears(row: CheckedRow, audio: Float[np.ndarray, "2 t"], levels: tuple[float, float], names: str) -> None:
    louder, softer = max(levels), min(levels)
    if softer < louder * 10 ** (-_MAX_LEVEL_DIFFERENCE / 20):
        ear = "left" if levels[0] < levels[1] else "right"
        below = "is silent" if softer == 0 else f"is {20 * np.log10(louder / softer):.0f} dB below the other"
        row.report("silent ear", f"{names}: the {ear} ear {below}")
    elif np.abs(audio[0] - audio[1]).max() < 1e-4 * np.abs(audio).max():
        row.report("same ears", f"{names}: left and right are the same signal")


def flat_samples(audio: Float[np.ndarray, "2 t"]) -> int:
    """Number of samples of both ears in runs of three or more at the recording's own maximum or minimum.

    This detects clipping also when the level was reduced afterwards.
    """
    count = 0
    for ear in audio:
        for limit in (ear.max(), ear.min()):
            if limit == 0:
                continue
            at_limit = np.concatenate([[False], np.abs(ear - limit) <= 1e-5 * abs(limit), [False]]).astype(np.int8)
            change = np.diff(at_limit)
            lengths = np.flatnonzero(change == -1) - np.flatnonzero(change == 1)
            count += int(lengths[lengths >= _FLAT_RUN].sum())
    return count


def _check_image(row: CheckedRow, path: Path, depth: DepthMap | None) -> None:
    side = side_of(depth) if depth is not None else 16
    try:
        image = read_image(path, side)
        with open_image(path) as opened:
            row.image_size = opened.size
    except DataError as error:
        row.report(_image_issue(path), str(error))
        return
    row.digests["image"] = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    if depth is not None:
        row.edges = match_edges(image, resize_depth(depth, side, np.inf))


def _image_issue(path: Path) -> str:
    try:
        with open_image(path) as opened:
            opened.load()
    except (DataError, *UNDECODABLE):
        return "corrupt"
    return "image format"
