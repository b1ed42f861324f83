"""Checks of single rows: each row's files are read once, checked and measured."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from echodepth.apps.doctor.ear_order import laterality, level_differences
from echodepth.apps.doctor.findings import Finding, Severity
from echodepth.apps.doctor.registration import EdgeMatch, match_edges, side_of
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import DataError
from echodepth.core.input_files import why_no_file
from echodepth.data.audio import check_ears, find_onset, read_ear_arrays
from echodepth.data.decoder import Decoder
from echodepth.data.depth_values import possible_marker
from echodepth.data.images import (
    UNDECODABLE,
    DepthMap,
    exif_orientation,
    open_image,
    read_image,
    read_stored_depth,
    resize_depth,
    upright_size,
)
from echodepth.data.records import Record, Split
from echodepth.data.wav_file import load_recording

DEPTH_BINS = np.geomspace(0.1, 100, 49)
"""Edges of the depth histogram's bins in metres."""
_FINE_FORMATS = frozenset({"PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
_FLAT_RUN = 3  # consecutive samples at the extreme: a sound wave turns at once, a limiter holds
_MIN_CLIPPED = 6  # such samples in a recording: fewer are inaudible
_MAX_LEVEL_DIFFERENCE = 30.0  # dB between the ears over a recording: the head shadow causes less than 10
_MIN_VALID = 0.01  # share of the pixels


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

    def report(self, kind: str, what: str, severity: Severity = "fault") -> None:
        """Add a fault or a note."""
        self.findings.append(Finding(kind, self.record.source, what, (self.record.name,), severity))

    def has_issue(self, *kinds: str) -> bool:
        """Whether the row has a fault of one of these kinds."""
        return any(finding.kind in kinds for finding in self.findings)


def check_row(record: Record, split: Split, decoder: Decoder) -> CheckedRow:
    """Read, check and measure a row's files. Faulty files become findings, not exceptions."""
    row = CheckedRow(record, split)
    missing = {path: reason for path in decoder.files(record) if (reason := why_no_file(path))}
    for reason in missing.values():
        row.report("missing", reason)
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
    _check_marker(row, path, depth)
    known = depth.metres[depth.valid]
    share = known.size / depth.metres.size
    if share < _MIN_VALID:
        row.report("empty depth", f"{path}: {share:.1%} of the pixels have a depth")
        return None
    if known.min() == known.max():
        row.report("constant depth", f"{path}: {known[0]:.3f} m at every pixel")
        return None
    row.digests["depth"] = _digest(path)
    histogram, _ = np.histogram(known, DEPTH_BINS)
    shape = depth.metres.shape
    row.depth = DepthStats((shape[0], shape[1]), share, histogram, float(np.median(known)), laterality(depth))
    return depth


def _check_marker(row: CheckedRow, path: Path, depth: DepthMap) -> None:
    total = depth.metres.size
    if marker := depth.marker:
        what = f"{path}: {marker.pixels} of {total} pixels hold {marker.number:g} or the like, which is no distance"
        row.report("depth marker", what)
    elif possible := possible_marker(depth.metres, depth.valid):
        largest, next_largest = possible
        what = f"{path}: {largest.pixels} of {total} pixels hold {largest.metres:g} m, others up to {next_largest:g}"
        row.report("possible depth marker", what, "note")


def _depth_issue(path: Path) -> str:
    try:
        raw = read_stored_depth(path)
    except (DataError, *UNDECODABLE):
        return "corrupt"
    # The readers reject a two-dimensional array of numbers, of 16 bits or more, only for its unit.
    is_map = raw.ndim == 2 and raw.size and raw.dtype.kind in "iuf" and raw.itemsize > 1
    return "depth unit" if is_map else "depth format"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _check_audio(row: CheckedRow, decoder: Decoder) -> None:
    paths, names = row.record.audio, str(row.record.audio[0])
    rate, subtype = SAMPLE_RATE, "PCM_16"
    try:
        if len(paths) == 1:
            recording = load_recording(paths[0])
            audio, rate, subtype = check_ears(recording.samples, names), recording.rate, recording.subtype
            for kind, remark in recording.remarks.items():
                row.report(kind, remark, "fault" if kind == "corrupt" else "note")
            if "corrupt" in recording.remarks:
                return
        else:
            audio = read_ear_arrays(*paths)
    except DataError as error:
        row.report(_audio_issue(str(error)), str(error))
        return
    if rate != SAMPLE_RATE:
        row.report("audio format", f"{names} was recorded at {rate} Hz, not {SAMPLE_RATE}")
    elif subtype not in _FINE_FORMATS:
        row.report(
            "audio format", f"{names} is stored as {subtype}, which is too coarse for echoes 60 dB below the chirp"
        )
    else:
        row.digests["audio"] = hashlib.blake2b(audio.tobytes(), digest_size=16).hexdigest()
        _check_signal(row, audio, decoder, names)


def _audio_issue(problem: str) -> str:
    """The kind of fault of a recording that cannot be used: it is damaged, or whole and of an unsupported form."""
    return "corrupt" if "cannot be read" in problem or "holds no samples" in problem else "audio format"


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
            orientation = exif_orientation(opened, str(path))
            height, width = upright_size(opened, str(path))
    except DataError as error:
        row.report(_image_issue(path), str(error))
        return
    row.image_size = width, height
    if orientation > 1:
        what = f"{path} has EXIF orientation {orientation} and is {width}x{height} upright"
        rows, columns = depth.metres.shape if depth is not None else (height, width)
        across = f"; its depth map is {columns}x{rows}" if (height - width) * (rows - columns) < 0 else ""
        row.report("orientation", what + across)
    row.digests["image"] = _digest(path)
    if depth is not None:
        row.edges = match_edges(image, resize_depth(depth, side, np.inf))


def _image_issue(path: Path) -> str:
    try:
        with open_image(path) as opened:
            opened.load()
    except (DataError, *UNDECODABLE):
        return "corrupt"
    return "image format"
