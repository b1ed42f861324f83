"""The diagnosis as one page for people: the findings with examples, and how the dataset's figures are spread."""

import contextlib
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from scipy.signal import stft

import echodepth
from echodepth.apps.doctor.charts import Histogram, histogram
from echodepth.apps.doctor.dataset_checks import side_agreements
from echodepth.apps.doctor.examine import Diagnosis
from echodepth.apps.doctor.findings import ISSUES, Finding
from echodepth.apps.doctor.row_checks import DEPTH_BINS, Row
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import DataError
from echodepth.data.audio import read_ear_arrays, read_wav
from echodepth.data.images import read_image, resize_depth
from echodepth.report.figures import colour_stops, depth_to_rgb, display_limit, spectrogram_to_rgb
from echodepth.report.html import data_address, template

_LISTED = 20  # findings of a kind
_EXAMPLES = 3  # of a kind, with pictures
_SIDE = 128  # pixels of an example's pictures
_SHOWN = 0.12  # seconds of sound in an example: echoes from 20 m
_HEALTHY = 2  # rows shown when nothing is wrong


@dataclass(frozen=True)
class Example:
    """A row in pictures: captions and data addresses, and its depth scale's end in metres."""

    name: str
    source: str
    pictures: list[tuple[str, str]]
    depth_limit: float | None


@dataclass(frozen=True)
class Section:
    """A kind of finding on the page."""

    kind: str
    title: str
    remedy: str
    severity: str
    findings: list[Finding]
    more: int
    examples: list[Example]


def page(diagnosis: Diagnosis) -> str:
    """The page, in one file: pictures and styles are inside it."""
    healthy = [row for row in diagnosis.rows if not row.findings]
    shown = healthy[:: max(1, len(healthy) // _HEALTHY)][:_HEALTHY]
    return template(Path(__file__).with_name("doctor.html.jinja")).render(
        diagnosis=diagnosis,
        sections=_sections(diagnosis),
        histograms=histograms(diagnosis.rows),
        registration=_registration(diagnosis.rows),
        samples=[_example(row, diagnosis) for row in shown],
        locations=_locations(diagnosis),
        depth_colours=colour_stops("depth"),
        version=echodepth.__version__,
    )


def _sections(diagnosis: Diagnosis) -> list[Section]:
    by_name = {row.record.name: row for row in diagnosis.rows}
    sections = []
    for kind, findings in diagnosis.by_kind().items():
        names = dict.fromkeys(name for finding in findings for name in finding.rows[:2])
        rows = [by_name[name] for name in list(names)[:_EXAMPLES] if name in by_name]
        examples = [example for row in rows if (example := _example(row, diagnosis)).pictures]
        title, remedy = ISSUES[kind]
        more = max(0, len(findings) - _LISTED)
        sections.append(Section(kind, title, remedy, findings[0].severity, findings[:_LISTED], more, examples))
    return sections


def _example(row: Row, diagnosis: Diagnosis) -> Example:
    """Whatever of a row can be read, as pictures."""
    record, pictures, limit = row.record, list[tuple[str, str]](), None
    if record.image is not None:
        with contextlib.suppress(DataError):
            image = read_image(record.image, _SIDE).transpose(1, 2, 0)
            pictures.append(("picture", data_address(np.round(255 * image).astype(np.uint8))))
    if record.depth is not None:
        with contextlib.suppress(DataError):
            depth = resize_depth(diagnosis.decoder.read_depth(record.depth), _SIDE, math.inf)
            limit = display_limit(depth.metres, depth.valid)
            pictures.append(("depth", data_address(depth_to_rgb(depth.metres, depth.valid, limit))))
    if record.audio:
        with contextlib.suppress(DataError):
            files = record.audio
            audio = read_wav(files[0])[0] if len(files) == 1 else read_ear_arrays(files[0], files[1])
            pictures += zip(("left ear", "right ear"), map(data_address, _spectrograms(audio)), strict=True)
    return Example(record.name, record.source, pictures, limit)


def _spectrograms(audio: np.ndarray) -> list[UInt8[np.ndarray, "f t 3"]]:
    """Both ears on one scale of 70 dB, the first 0.12 s."""
    sound = audio[:, : round(_SHOWN * SAMPLE_RATE)]
    window = min(256, sound.shape[1])
    _, _, spectra = stft(sound, nperseg=window, noverlap=window * 3 // 4)
    decibels = 20 * np.log10(np.abs(spectra) + 1e-9)
    top = float(decibels.max())
    return [spectrogram_to_rgb(np.maximum(ear, top - 70), (top - 70, top)) for ear in decibels]


def histograms(rows: list[Row]) -> list[Histogram]:
    """How the rows' figures are spread; those of parts that the dataset lacks are left out."""
    sounds = [row.sound for row in rows if row.sound]
    depths = [row.depth for row in rows if row.depth]
    heard = [sound for sound in sounds if min(sound.levels) > 0]
    found = {
        "Onset of the direct sound, ms": [
            1000 * sound.onset / SAMPLE_RATE for sound in sounds if sound.onset is not None
        ],
        "Peak level, dB of full scale": [20 * math.log10(sound.peak) for sound in sounds if sound.peak > 0],
        "Left over right ear, dB": [20 * math.log10(sound.levels[0] / sound.levels[1]) for sound in heard],
        "Ears and depth agree on the side": [agreement for _, agreement in side_agreements(rows)],
        "Pixels with a depth, %": [100 * depth.valid for depth in depths],
    }
    drawn = [histogram(title, values) for title, values in found.items() if values]
    if depths:
        total = np.sum([depth.histogram / max(depth.histogram.sum(), 1) for depth in depths], axis=0)
        drawn.append(histogram("Depth, m (each row counts alike)", DEPTH_BINS, weights=total))
    return drawn


def _registration(rows: list[Row]) -> dict[str, Any] | None:
    """The mean of the edges' correlation over shifts, as a picture: a registered set has its peak in the middle."""
    maps = [row.edges.straight for row in rows if row.edges]
    if not maps:
        return None
    (shape, _), *_ = Counter(each.shape for each in maps).most_common(1)
    mean = np.mean([each for each in maps if each.shape == shape], axis=0)
    down, right = (int(i) - shape[0] // 2 for i in np.unravel_index(mean.argmax(), shape))
    return {"picture": data_address(spectrogram_to_rgb(mean[::-1])), "right": right, "down": down, "rows": len(maps)}


def _locations(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """A line per location: rows in each split, faults, and the statistics' means."""
    agreed = {id(row): value for row, value in side_agreements(diagnosis.rows)}
    table = []
    for location in sorted({row.record.location for row in diagnosis.rows}):
        rows = [row for row in diagnosis.rows if row.record.location == location]
        names = {row.record.name for row in rows}
        sides = [agreed[id(row)] for row in rows if id(row) in agreed]
        depths = [row.depth.median for row in rows if row.depth]
        table.append(
            {
                "name": location,
                "rooms": len({row.record.room for row in rows}),
                "splits": Counter(row.split for row in rows),
                "faults": sum(bool(names & {*finding.rows}) for finding in diagnosis.faults),
                "depth": float(np.median(depths)) if depths else None,
                "side": float(np.mean(sides)) if sides else None,
            }
        )
    return table
