"""One row of a dataset, read once: what its files are, and the figures that the checks look at."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float
from PIL import Image

from echodepth.apps.doctor.ear_order import expected_sides, heard_sides
from echodepth.apps.doctor.findings import Finding
from echodepth.apps.doctor.registration import EdgeMatch, match_edges, side_of
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import DataError
from echodepth.data.audio import find_onset, read_ear_arrays, read_wav
from echodepth.data.decoder import Decoder
from echodepth.data.images import read_image, resize_depth
from echodepth.data.records import DepthMap, Record, Split

DEPTH_BINS = np.geomspace(0.1, 100, 49)
"""Metres: the bins of the depth histogram."""
_FINE_FORMATS = frozenset({"PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
_FLAT = 3  # samples in a row at the extreme: sound turns, a limit holds
_CLIPPED = 6  # such samples in a recording: fewer are not heard
_DEAF = 30.0  # dB between the ears over a whole recording: a head's shadow makes less than 10
_LEAST_VALID = 0.01  # of the pixels
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # what a WAV's header says that was written as a stream


@dataclass(frozen=True)
class Sound:
    """A readable recording: where its direct sound begins (samples), peak (full scale 1) and RMS of each ear."""

    onset: int | None
    peak: float
    levels: tuple[float, float]
    sides: Float[np.ndarray, " n"] | None


@dataclass(frozen=True)
class Depth:
    """A readable depth map: its shape, its valid share, pixels per bin of ``DEPTH_BINS``, its median in metres."""

    shape: tuple[int, int]
    valid: float
    histogram: np.ndarray
    median: float
    sides: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


@dataclass
class Row:
    """What is known of a row. Parts that are absent or unreadable are None.

    Attributes:
        record: where it lies.
        split: which split lists it.
        findings: what is wrong with it by itself.
        digests: of each part's content, to find it again in other rows.
        sound: of the recording.
        depth: of the depth map.
        picture: width and height.
        edges: how well picture and depth match.
    """

    record: Record
    split: Split
    findings: list[Finding] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    sound: Sound | None = None
    depth: Depth | None = None
    picture: tuple[int, int] | None = None
    edges: EdgeMatch | None = None

    def report(self, kind: str, what: str) -> None:
        """Note a fault."""
        self.findings.append(Finding(kind, self.record.source, what, (self.record.name,)))

    def has_issue(self, *kinds: str) -> bool:
        """Whether one of these faults was found."""
        return any(finding.kind in kinds for finding in self.findings)


def measure(record: Record, split: Split, decoder: Decoder) -> Row:
    """Read a row's files and measure them; nothing that is wrong with them raises."""
    row = Row(record, split)
    missing = [path for path in decoder.files(record) if not path.is_file()]
    for path in missing:
        row.report("missing", f"{path} does not exist")
    depth = None
    if record.depth is not None and record.depth not in missing:
        depth = _measure_depth(row, record.depth, decoder)
    if record.audio and not {*record.audio} & {*missing}:
        _measure_sound(row, decoder)
    if record.image is not None and record.image not in missing:
        _measure_picture(row, record.image, depth)
    return row


def _measure_depth(row: Row, path: Path, decoder: Decoder) -> DepthMap | None:
    try:
        depth = decoder.read_depth(path)
    except DataError as error:
        row.report(_kind_of_depth(path), str(error))
        return None
    if path.suffix == ".npy" and np.load(path, mmap_mode="r").dtype.itemsize == 1:
        row.report("depth format", f"{path} holds 8-bit numbers, which end at 255: no room is so small in millimetres")
        return None
    known = depth.metres[depth.valid]
    share = known.size / depth.metres.size
    if share < _LEAST_VALID:
        row.report("empty depth", f"{path}: {share:.1%} of the pixels have a depth")
        return None
    if known.min() == known.max():
        row.report("constant depth", f"{path}: {known[0]:.3f} m at every pixel")
        return None
    row.digests["depth"] = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    histogram, _ = np.histogram(known, DEPTH_BINS)
    shape = depth.metres.shape
    row.depth = Depth((shape[0], shape[1]), share, histogram, float(np.median(known)), expected_sides(depth))
    return depth


def _kind_of_depth(path: Path) -> str:
    try:
        raw = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.asarray(Image.open(path))
    except (OSError, ValueError, EOFError, SyntaxError):
        return "corrupt"
    # The readers refuse a two-dimensional array of numbers for its unit alone.
    is_map = raw.ndim == 2 and raw.dtype.kind in "iuf"
    return "depth unit" if is_map and path.suffix == ".npy" else "depth format"


def _measure_sound(row: Row, decoder: Decoder) -> None:
    paths, names = row.record.audio, str(row.record.audio[0])
    try:
        audio, rate = read_wav(paths[0]) if len(paths) == 1 else (read_ear_arrays(paths[0], paths[1]), SAMPLE_RATE)
    except DataError as error:
        row.report(_kind_of_sound(paths), str(error))
        return
    if len(paths) == 1 and (short := _cut_short(paths[0])):
        row.report("corrupt", short)
        return
    subtype = soundfile.info(paths[0]).subtype if len(paths) == 1 else "PCM_16"
    if rate != SAMPLE_RATE:
        row.report("audio format", f"{names} was recorded at {rate} Hz, not {SAMPLE_RATE}")
    elif subtype not in _FINE_FORMATS:
        row.report("audio format", f"{names} is stored as {subtype}: too coarse for echoes 60 dB below the chirp")
    else:
        row.digests["audio"] = hashlib.blake2b(audio.tobytes(), digest_size=16).hexdigest()
        _listen(row, audio, decoder, names)


def _kind_of_sound(paths: tuple[Path, ...]) -> str:
    try:
        frames = [soundfile.info(path).frames if len(paths) == 1 else np.load(path).size for path in paths]
    except (soundfile.SoundFileError, OSError, ValueError, EOFError):
        return "corrupt"
    return "audio format" if min(frames) else "corrupt"


def _cut_short(path: Path) -> str:
    """What a WAV's header promises beyond the file's end: libsndfile reads what is there, and keeps silent."""
    with path.open("rb") as file:
        head = file.read(8)
    promised, there = int.from_bytes(head[4:], "little"), path.stat().st_size
    if head[:4] != b"RIFF" or promised in _UNKNOWN_SIZES or promised + 8 <= there:
        return ""
    return f"{path} is cut short: {there} of {promised + 8} bytes"


def _listen(row: Row, audio: Float[np.ndarray, "2 t"], decoder: Decoder, names: str) -> None:
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
    if flat >= _CLIPPED:
        row.report("clipping", f"{names}: {flat} samples are cut off flat at {peak:.3f} of full scale")
    sides = None if onset is None else heard_sides(audio, onset)
    row.sound = Sound(onset, peak, (left, right), sides)


def _check_ears(row: Row, audio: Float[np.ndarray, "2 t"], levels: tuple[float, float], names: str) -> None:
    louder, softer = max(levels), min(levels)
    if softer < louder * 10 ** (-_DEAF / 20):
        ear = "left" if levels[0] < levels[1] else "right"
        below = "is silent" if softer == 0 else f"is {20 * np.log10(louder / softer):.0f} dB below the other"
        row.report("silent ear", f"{names}: the {ear} ear {below}")
    elif np.abs(audio[0] - audio[1]).max() < 1e-4 * np.abs(audio).max():
        row.report("same ears", f"{names}: left and right are one signal")


def flat_samples(audio: Float[np.ndarray, "2 t"]) -> int:
    """How many samples lie in runs of three or more at the recording's own highest or lowest value, both ears.

    That tells clipping also where the gain was turned down after it.
    """
    count = 0
    for ear in audio:
        for limit in (ear.max(), ear.min()):
            if limit == 0:
                continue
            at = np.concatenate([[False], np.abs(ear - limit) <= 1e-5 * abs(limit), [False]]).astype(np.int8)
            change = np.diff(at)
            lengths = np.flatnonzero(change == -1) - np.flatnonzero(change == 1)
            count += int(lengths[lengths >= _FLAT].sum())
    return count


def _measure_picture(row: Row, path: Path, depth: DepthMap | None) -> None:
    side = side_of(depth) if depth is not None else 16
    try:
        image = read_image(path, side)
        with Image.open(path) as picture:
            row.picture = picture.size
    except DataError as error:
        row.report(_kind_of_picture(path), str(error))
        return
    row.digests["image"] = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    if depth is not None:
        row.edges = match_edges(image, resize_depth(depth, side, np.inf))


def _kind_of_picture(path: Path) -> str:
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError):
        return "corrupt"
    return "picture format"
