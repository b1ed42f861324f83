"""Checks that compare rows: outliers, swapped ears, misalignment, duplicates and leaks."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float
from scipy.stats import ttest_1samp, ttest_ind

from echodepth.apps.doctor.ear_order import agreements
from echodepth.apps.doctor.findings import Finding
from echodepth.apps.doctor.row_checks import CheckedRow
from echodepth.core.constants import SAMPLE_RATE
from echodepth.data.depth_values import USUAL_MEDIAN

_MIN_ROWS = 8  # rows of a location for a statistical test
_P_ALONE = 0.002  # one-sided p-value for a location by itself
_P_SUPPORTED = 0.05  # p-value for a location where the other locations agree significantly
_P_STRICT = 1e-4  # p-value where the best of several hundred shifts is tested, or a location against the others
_WHOLE_SET = "the whole dataset"
_TOLERATED_SHIFT = 1  # pixel of the compared view: 1.6 % of the width
_ONSET_TOLERANCE = 0.02  # seconds: recordings started by hand vary less
_DEVIATIONS = 10.0  # robust standard deviations of the onset
_USUAL_SHARE = 0.8  # share of the rows with the same size that makes the others outliers


def check_dataset(rows: list[CheckedRow], has_locations: bool, rooms_apart: bool) -> list[Finding]:
    """All findings from comparing rows.

    Args:
        rows: of all splits.
        has_locations: whether the dataset distinguishes locations; otherwise its splits share the only room.
        rooms_apart: whether a room in two splits is a fault instead of a note.
    """
    return [
        *_unusual_onsets(rows),
        *_unusual_sizes(rows),
        *_unusually_near(rows),
        *_swapped_ears(rows),
        *_misaligned(rows),
        *_duplicates(rows),
        *(_shared_rooms(rows, rooms_apart) if has_locations else ()),
    ]


def _by_location(rows: list[CheckedRow]) -> list[tuple[str, list[CheckedRow]]]:
    """Rows by location with at least ``_MIN_ROWS`` rows; all rows as one group when no location has that many."""
    groups: dict[str, list[CheckedRow]] = defaultdict(list)
    for row in rows:
        groups[row.record.location].append(row)
    large = [(location, members) for location, members in sorted(groups.items()) if len(members) >= _MIN_ROWS]
    return large or ([(_WHOLE_SET, rows)] if len(rows) >= _MIN_ROWS else [])


def _names(rows: list[CheckedRow]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.record.name for row in rows))


def _unusual_onsets(rows: list[CheckedRow]) -> Iterator[Finding]:
    with_onset = [row for row in rows if row.audio and row.audio.onset is not None]
    for location, members in _by_location(with_onset):
        onsets = np.array([row.audio.onset for row in members if row.audio], dtype=float)
        usual = np.median(onsets)
        spread = 1.4826 * np.median(np.abs(onsets - usual))
        outliers = np.abs(onsets - usual) > max(_ONSET_TOLERANCE * SAMPLE_RATE, _DEVIATIONS * spread)
        for row, onset, is_outlier in zip(members, onsets, outliers, strict=True):
            if is_outlier:
                own_ms, median_ms = (1000 * samples / SAMPLE_RATE for samples in (onset, usual))
                what = (
                    f"{row.record.audio[0]}: direct sound at {own_ms:.1f} ms, median {median_ms:.1f} ms in {location}"
                )
                yield Finding("onset", row.record.source, what, (row.record.name,))


def _unusual_sizes(rows: list[CheckedRow]) -> Iterator[Finding]:
    yield from _size_outliers(rows, "image", lambda row: row.image_size)
    # Shapes are rows by columns; sizes are reported as width by height.
    yield from _size_outliers(rows, "depth map", lambda row: row.depth.shape[::-1] if row.depth else None)


def _size_outliers(
    rows: list[CheckedRow], modality: str, size_of: Callable[[CheckedRow], tuple[int, int] | None]
) -> Iterator[Finding]:
    sized = [(row, size) for row in rows if (size := size_of(row)) is not None]
    if not sized:
        return
    (usual, count), *_ = Counter(size for _, size in sized).most_common(1)
    if count < _USUAL_SHARE * len(sized):
        return
    for row, size in sized:
        if size != usual:
            own, others = (f"{width}x{height}" for width, height in (size, usual))
            what = f"{row.record.name}: the {modality} is {own}, those of other rows are {others}"
            yield Finding("size", row.record.source, what, (row.record.name,))


def _unusually_near(rows: list[CheckedRow]) -> Iterator[Finding]:
    """Locations in centimetres: what one map shows may be a near wall, but a camera does not face one all the time."""
    for location, members in _by_location([row for row in rows if row.depth]):
        median = float(np.median([row.depth.median for row in members if row.depth]))
        if median < USUAL_MEDIAN:
            what = f"{location}: half of the depth maps have a median below {median:.2f} m, over {len(members)} rows"
            yield Finding("possible depth unit", location, what, _names(members), "note")


def ear_agreements(rows: list[CheckedRow]) -> list[tuple[CheckedRow, float]]:
    """Agreement of level differences and depth for each row with usable audio and depth, see ``ear_order``."""
    usable = [
        (row, row.audio.level_differences, *row.depth.laterality)
        for row in rows
        if row.depth and row.audio and row.audio.level_differences is not None
        if not row.has_issue("silent ear", "same ears", "clipping", "too short")
    ]
    if not usable:
        return []
    differences, laterality, share = (np.stack(columns) for columns in list(zip(*usable, strict=True))[1:])
    return list(zip((row for row, *_ in usable), agreements(differences, laterality, share).tolist(), strict=True))


def _swapped_ears(rows: list[CheckedRow]) -> Iterator[Finding]:
    agreement = {id(row): value for row, value in ear_agreements(rows)}
    usable = [row for row in rows if id(row) in agreement]
    for location, members in _by_location(usable):
        own = np.array([agreement[id(row)] for row in members])
        if not _may_be_reversed(own):  # the other rows are gathered for few locations only
            continue
        rest = np.array([agreement[id(row)] for row in usable if row.record.location != location])
        if _is_reversed(own, rest):
            others = f", {rest.mean():+.2f} in other locations" if rest.size and location != _WHOLE_SET else ""
            what = (
                f"{location}: surfaces near on the left are louder on the right; mean agreement {own.mean():+.2f} "
                f"over {len(members)} rows{others}"
            )
            yield Finding("swapped ears", location, what, _names(members))


def _may_be_reversed(own: Float[np.ndarray, " n"]) -> bool:
    """Whether agreements are at least weakly negative."""
    return np.unique(own).size >= _MIN_ROWS and _negative_pvalue(own) < _P_SUPPORTED


def _negative_pvalue(own: Float[np.ndarray, " n"]) -> float:
    return float(ttest_1samp(own, 0.0, alternative="less").pvalue)


def _is_reversed(own: Float[np.ndarray, " n"], rest: Float[np.ndarray, " m"]) -> bool:
    """Whether weakly negative agreements are so significantly, or those of the other locations are positive."""
    if (negative := _negative_pvalue(own)) < _P_ALONE or rest.size < _MIN_ROWS:
        return negative < _P_ALONE
    others_positive = ttest_1samp(rest, 0.0, alternative="greater").pvalue
    below_others = ttest_ind(own, rest, equal_var=False, alternative="less").pvalue
    return bool(max(others_positive, below_others) < _P_STRICT)


def _misaligned(rows: list[CheckedRow]) -> Iterator[Finding]:
    matched = [row for row in rows if row.edges]
    # Correlations of another size cannot be averaged; `_unusual_sizes` reports those rows.
    usual = Counter(row.edges.straight.shape for row in matched if row.edges).most_common(1)
    comparable = [row for row in matched if row.edges and row.edges.straight.shape == usual[0][0]]
    for location, members in _by_location(comparable):
        straight = np.stack([row.edges.straight for row in members if row.edges])
        mirrored = np.stack([row.edges.mirrored for row in members if row.edges])
        middle = straight.shape[1] // 2
        unmoved = straight[:, middle, middle]
        # Duplicates of a few views are no independent samples.
        if np.unique(unmoved).size < _MIN_ROWS:
            continue
        if ttest_1samp(mirrored[:, middle, middle] - unmoved, 0.0, alternative="greater").pvalue < _P_STRICT:
            what = f"{location}: the edges of {len(members)} images match the depth better when the image is mirrored"
            yield Finding("mirrored", location, what, _names(members))
            continue
        down, right = (int(i) for i in np.unravel_index(straight.mean(axis=0).argmax(), straight.shape[1:]))
        moved = straight[:, down, right] - unmoved
        shift = right - middle, down - middle
        largest = max(map(abs, shift))
        # A maximum at the border of the search range is no peak: there are too few edges.
        if largest <= _TOLERATED_SHIFT or largest == middle:
            continue
        if ttest_1samp(moved, 0.0, alternative="greater").pvalue >= _P_STRICT:
            continue
        right_percent, down_percent = (100 * pixels / (6 * middle) for pixels in shift)
        what = (
            f"{location}: the image edges lie {right_percent:+.0f} % of the width to the right of the depth edges "
            f"and {down_percent:+.0f} % of the height below them, over {len(members)} rows"
        )
        yield Finding("shifted", location, what, _names(members))


def _duplicates(rows: list[CheckedRow]) -> Iterator[Finding]:
    by_content: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        for modality, digest in row.digests.items():
            if modality != "audio" or not row.has_issue("no sound"):
                by_content[f"{modality} {digest}"].append(index)
    modalities_by_rows: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for content, members in by_content.items():
        if len(members) > 1:
            modalities_by_rows[tuple(members)].append(content.split()[0])
    for indices, modalities in modalities_by_rows.items():
        copies = [rows[index] for index in indices]
        splits = dict.fromkeys(row.split for row in copies)
        listed = "; ".join(row.record.source for row in copies[:4]) + ("; …" if len(copies) > 4 else "")
        what = f"{', '.join(sorted(modalities))} of {', '.join(_names(copies)[:4])} are identical ({listed})"
        where = f"splits {', '.join(splits)}" if len(splits) > 1 else copies[0].record.source
        yield Finding("leak" if len(splits) > 1 else "duplicate", where, what, _names(copies))


def _shared_rooms(rows: list[CheckedRow], rooms_apart: bool) -> Iterator[Finding]:
    rooms: dict[str, list[CheckedRow]] = defaultdict(list)
    for row in rows:
        rooms[row.record.room].append(row)
    for room, members in sorted(rooms.items()):
        counts = Counter(row.split for row in members)
        if len(counts) > 1:
            what = f"{room}: " + ", ".join(f"{count} rows in {split}" for split, count in counts.items())
            kind, severity = ("leak", "fault") if rooms_apart else ("shared location", "note")
            where = f"splits {', '.join(counts)}"
            yield Finding(kind, where, what, _names(members), severity)  # type: ignore[arg-type]
