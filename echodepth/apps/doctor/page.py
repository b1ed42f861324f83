"""The diagnosis as an HTML page: findings with examples, and distributions of the dataset's statistics."""

import contextlib
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import stft

import echodepth
from echodepth.apps.doctor.dataset_checks import ear_agreements
from echodepth.apps.doctor.diagnosis import Diagnosis
from echodepth.apps.doctor.findings import ISSUES
from echodepth.apps.doctor.row_checks import DEPTH_BINS, CheckedRow
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import DataError
from echodepth.data.audio import read_ear_arrays, read_wav
from echodepth.data.images import read_image, resize_depth
from echodepth.report.figures import Panel, colour_stops, display_limit, panel_to_rgb, spectrogram_to_rgb
from echodepth.report.html import ReportImage, data_uri, template
from echodepth.report.svg_chart import Chart, histogram, log_histogram

_LISTED = 20  # findings of a kind
_MAX_EXAMPLES = 3  # of a kind
_SIDE = 128  # pixels of an example's pictures
_SECONDS = 0.12  # of a spectrogram: echoes from up to 20 m
_DYNAMIC_RANGE = 70  # dB of a spectrogram
_HEALTHY = 2  # examples of rows without findings


@dataclass(frozen=True)
class Example:
    """A row in pictures, and the upper limit of its depth scale in metres."""

    name: str
    pictures: list[ReportImage]
    depth_limit: float | None


def page(diagnosis: Diagnosis) -> str:
    """The page's HTML, self-contained."""
    healthy = [row for row in diagnosis.rows if not row.findings]
    shown = healthy[:: max(1, len(healthy) // _HEALTHY)][:_HEALTHY]
    return template(Path(__file__).with_name("doctor.html.jinja")).render(
        diagnosis=diagnosis,
        by_kind=diagnosis.by_kind(),
        examples=_examples(diagnosis),
        issues=ISSUES,
        listed=_LISTED,
        histograms=histograms(diagnosis.rows),
        registration=_registration(diagnosis.rows),
        samples=[_example(row, diagnosis) for row in shown],
        locations=_locations(diagnosis),
        depth_colours=colour_stops("depth"),
        version=echodepth.__version__,
    )


def _examples(diagnosis: Diagnosis) -> dict[str, list[Example]]:
    """For each kind of finding, a few of its rows in pictures."""
    by_name = {row.record.name: row for row in diagnosis.rows}
    examples = {}
    for kind, findings in diagnosis.by_kind().items():
        names = dict.fromkeys(name for finding in findings for name in finding.rows[:2])
        rows = [by_name[name] for name in list(names)[:_MAX_EXAMPLES] if name in by_name]
        examples[kind] = [example for row in rows if (example := _example(row, diagnosis)).pictures]
    return examples


def _example(row: CheckedRow, diagnosis: Diagnosis) -> Example:
    """The readable modalities of a row as pictures."""
    record, panels, limit = row.record, list[Panel](), None
    if record.image is not None:
        with contextlib.suppress(DataError):
            image = read_image(record.image, _SIDE).transpose(1, 2, 0)
            panels.append(Panel("image", image, "image"))
    if record.depth is not None:
        with contextlib.suppress(DataError):
            depth = resize_depth(diagnosis.decoder.read_depth(record.depth), _SIDE, math.inf)
            limit = display_limit(depth.metres, depth.valid)
            panels.append(Panel("depth", depth.metres, "depth", depth.valid))
    if record.audio:
        with contextlib.suppress(DataError):
            files = record.audio
            audio = read_wav(files[0])[0] if len(files) == 1 else read_ear_arrays(files[0], files[1])
            panels += _spectrograms(audio)
    images = [ReportImage(each.caption, data_uri(panel_to_rgb(each, limit or 1.0, 1.0))) for each in panels]
    return Example(record.name, images, limit)


def _spectrograms(audio: np.ndarray) -> list[Panel]:
    """Spectrograms of the beginning of both ears on one scale of ``_DYNAMIC_RANGE``."""
    start = audio[:, : round(_SECONDS * SAMPLE_RATE)]
    window = min(256, start.shape[1])
    _, _, spectra = stft(start, nperseg=window, noverlap=window * 3 // 4)
    decibels = 20 * np.log10(np.abs(spectra) + 1e-9)
    top = float(decibels.max())
    span = (top - _DYNAMIC_RANGE, top)
    names = ("left ear", "right ear")
    return [
        Panel(name, np.maximum(ear, span[0]), "spectrogram", span=span)
        for name, ear in zip(names, decibels, strict=True)
    ]


def histograms(rows: list[CheckedRow]) -> list[Chart]:
    """Distributions of the rows' statistics, for the modalities that the dataset has."""
    recordings = [row.audio for row in rows if row.audio]
    depths = [row.depth for row in rows if row.depth]
    audible = [audio for audio in recordings if min(audio.levels) > 0]
    statistics = {
        "Onset of the direct sound, ms": [
            1000 * audio.onset / SAMPLE_RATE for audio in recordings if audio.onset is not None
        ],
        "Peak level, dB of full scale": [20 * math.log10(audio.peak) for audio in recordings if audio.peak > 0],
        "Left–right level difference, dB": [20 * math.log10(audio.levels[0] / audio.levels[1]) for audio in audible],
        "Ear–depth agreement": [agreement for _, agreement in ear_agreements(rows)],
        "Valid depth pixels, %": [100 * depth.valid for depth in depths],
    }
    charts = [histogram(title, values) for title, values in statistics.items() if values]
    if depths:
        total = np.sum([depth.histogram / max(depth.histogram.sum(), 1) for depth in depths], axis=0)
        charts.append(log_histogram("Depth, m (equal weight per row)", total, DEPTH_BINS))
    return charts


def _registration(rows: list[CheckedRow]) -> dict[str, Any] | None:
    """The mean edge correlation at each shift as a picture; registered data peak in the middle."""
    maps = [row.edges.straight for row in rows if row.edges]
    if not maps:
        return None
    (shape, _), *_ = Counter(each.shape for each in maps).most_common(1)
    mean = np.mean([each for each in maps if each.shape == shape], axis=0)
    down, right = (int(i) - shape[0] // 2 for i in np.unravel_index(mean.argmax(), shape))
    return {"picture": data_uri(spectrogram_to_rgb(mean[::-1])), "right": right, "down": down, "rows": len(maps)}


def _locations(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """A table row per location: rows in each split, faults, and mean statistics."""
    agreement = {id(row): value for row, value in ear_agreements(diagnosis.rows)}
    by_location, locations_of = defaultdict(list), defaultdict(set)
    for row in diagnosis.rows:
        by_location[row.record.location].append(row)
        locations_of[row.record.name].add(row.record.location)
    faults = Counter(
        location
        for finding in diagnosis.faults
        for location in set().union(*(locations_of[name] for name in finding.rows if name in locations_of))
    )
    table = []
    for location, rows in sorted(by_location.items()):
        agreements = [agreement[id(row)] for row in rows if id(row) in agreement]
        depths = [row.depth.median for row in rows if row.depth]
        table.append(
            {
                "name": location,
                "rooms": len({row.record.room for row in rows}),
                "splits": Counter(row.split for row in rows),
                "faults": faults[location],
                "depth": float(np.median(depths)) if depths else None,
                "agreement": float(np.mean(agreements)) if agreements else None,
            }
        )
    return table
