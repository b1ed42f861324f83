"""What only shows when rows are seen beside each other: odd ones out, swapped ears, shifts, copies and leaks."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float
from scipy.stats import ttest_1samp, ttest_ind

from echodepth.apps.doctor.ear_order import agreements
from echodepth.apps.doctor.findings import Finding
from echodepth.apps.doctor.row_checks import Row
from echodepth.core.constants import SAMPLE_RATE

_FEWEST = 8  # rows of a location that a statistic is asked of
_SURE = 0.002  # one-sided chance of a false alarm for one location whose rows say nothing at all
_LIKELY = 0.05  # enough where the other locations are surely the other way round
_SURER = 1e-4  # where the best of several hundred shifts is tested, and of a location against the others
_WHOLE = "the whole set"
_TOLERATED = 1  # pixel of the compared view: 1.6 % of the width
_LATE = 0.02  # seconds: a recorder started by hand jitters less
_DEVIATIONS = 10.0
_SHARE_OF_USUAL = 0.8  # of the rows must share a size for the others to be odd


def across_rows(rows: list[Row], has_locations: bool, rooms_apart: bool) -> list[Finding]:
    """All findings that need more than one row.

    Args:
        rows: of all splits.
        has_locations: whether the dataset distinguishes locations; otherwise its splits share the only room.
        rooms_apart: whether a room in two splits is a fault instead of a note.
    """
    return [
        *_odd_onsets(rows),
        *_odd_sizes(rows),
        *_swapped_ears(rows),
        *_misregistered(rows),
        *_copies(rows),
        *(_shared_rooms(rows, rooms_apart) if has_locations else ()),
    ]


def _places(rows: list[Row], fewest: int) -> list[tuple[str, list[Row]]]:
    """Rows by location; all of them together when no location has enough."""
    by_place: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_place[row.record.location].append(row)
    enough = [(place, members) for place, members in sorted(by_place.items()) if len(members) >= fewest]
    return enough or ([(_WHOLE, rows)] if len(rows) >= fewest else [])


def _names(rows: list[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.record.name for row in rows))


def _odd_onsets(rows: list[Row]) -> Iterator[Finding]:
    heard = [row for row in rows if row.sound and row.sound.onset is not None]
    for place, members in _places(heard, _FEWEST):
        onsets = np.array([row.sound.onset for row in members if row.sound], dtype=float)
        usual = np.median(onsets)
        spread = 1.4826 * np.median(np.abs(onsets - usual))
        far = np.abs(onsets - usual) > max(_LATE * SAMPLE_RATE, _DEVIATIONS * spread)
        for row, onset, is_far in zip(members, onsets, far, strict=True):
            if is_far:
                at, mostly = (1000 * samples / SAMPLE_RATE for samples in (onset, usual))
                what = f"{row.record.audio[0]}: direct sound at {at:.1f} ms, mostly at {mostly:.1f} ms in {place}"
                yield Finding("onset", row.record.source, what, (row.record.name,))


def _odd_sizes(rows: list[Row]) -> Iterator[Finding]:
    yield from _odd_ones(rows, "picture", lambda row: row.picture)
    # Shapes are rows by columns; sizes are told as width by height.
    yield from _odd_ones(rows, "depth map", lambda row: row.depth.shape[::-1] if row.depth else None)


def _odd_ones(rows: list[Row], part: str, size_of: Callable[[Row], tuple[int, int] | None]) -> Iterator[Finding]:
    sized = [(row, size) for row in rows if (size := size_of(row)) is not None]
    if not sized:
        return
    (usual, count), *_ = Counter(size for _, size in sized).most_common(1)
    if count < _SHARE_OF_USUAL * len(sized):
        return
    for row, size in sized:
        if size != usual:
            what = f"{row.record.name}: its {part} is {size[0]}x{size[1]}, the others' {usual[0]}x{usual[1]}"
            yield Finding("size", row.record.source, what, (row.record.name,))


def side_agreements(rows: list[Row]) -> list[tuple[Row, float]]:
    """How well ears and depth agree on the side, for each row whose sound and depth can be told from."""
    told = [
        (row, row.sound.sides, *row.depth.sides)
        for row in rows
        if row.depth and row.sound and row.sound.sides is not None
        if not row.has_issue("silent ear", "same ears", "clipping", "too short")
    ]
    if not told:
        return []
    heard, expected, share = (np.stack(columns) for columns in list(zip(*told, strict=True))[1:])
    return list(zip((row for row, *_ in told), agreements(heard, expected, share).tolist(), strict=True))


def _swapped_ears(rows: list[Row]) -> Iterator[Finding]:
    agreed = {id(row): agreement for row, agreement in side_agreements(rows)}
    usable = [row for row in rows if id(row) in agreed]
    for place, members in _places(usable, _FEWEST):
        found = np.array([agreed[id(row)] for row in members])
        rest = np.array([agreed[id(row)] for row in usable if row.record.location != place])
        if _is_turned_round(found, rest):
            others = f", {rest.mean():+.2f} elsewhere" if rest.size and place != _WHOLE else ""
            what = (
                f"{place}: what is near on the left sounds louder on the right; mean agreement {found.mean():+.2f} "
                f"over {len(members)} rows{others}"
            )
            yield Finding("swapped ears", place, what, _names(members))


def _is_turned_round(found: Float[np.ndarray, " n"], rest: Float[np.ndarray, " m"]) -> bool:
    """Whether agreements are surely negative by themselves, or likely so where the others are surely positive."""
    if np.unique(found).size < _FEWEST:
        return False
    alone = ttest_1samp(found, 0.0, alternative="less").pvalue
    if alone < _SURE or alone >= _LIKELY or rest.size < _FEWEST:
        return bool(alone < _SURE)
    others = ttest_1samp(rest, 0.0, alternative="greater").pvalue
    apart = ttest_ind(found, rest, equal_var=False, alternative="less").pvalue
    return bool(max(others, apart) < _SURER)


def _misregistered(rows: list[Row]) -> Iterator[Finding]:
    matched = [row for row in rows if row.edges]
    # Maps of other sizes cannot be averaged; what differs is reported as odd.
    usual = Counter(row.edges.straight.shape for row in matched if row.edges).most_common(1)
    for place, members in _places(
        [row for row in matched if row.edges and row.edges.straight.shape == usual[0][0]], _FEWEST
    ):
        straight = np.stack([row.edges.straight for row in members if row.edges])
        mirrored = np.stack([row.edges.mirrored for row in members if row.edges])
        middle = straight.shape[1] // 2
        unmoved = straight[:, middle, middle]
        # Copies of a few views say no more than those few.
        if np.unique(unmoved).size < _FEWEST:
            continue
        if ttest_1samp(mirrored[:, middle, middle] - unmoved, 0.0, alternative="greater").pvalue < _SURER:
            what = f"{place}: the edges of {len(members)} pictures fit the depth better when the picture is mirrored"
            yield Finding("mirrored", place, what, _names(members))
            continue
        down, right = (int(i) for i in np.unravel_index(straight.mean(axis=0).argmax(), straight.shape[1:]))
        moved = straight[:, down, right] - unmoved
        shift = right - middle, down - middle
        farthest = max(map(abs, shift))
        # What still rises where the search ends is no peak: there were no edges to match.
        if farthest <= _TOLERATED or farthest == middle:
            continue
        if ttest_1samp(moved, 0.0, alternative="greater").pvalue >= _SURER:
            continue
        across, along = (100 * pixels / (6 * middle) for pixels in shift)
        what = (
            f"{place}: the pictures' edges lie {across:+.0f} % of the width to the right of the depth's "
            f"and {along:+.0f} % of the height below, over {len(members)} rows"
        )
        yield Finding("shifted", place, what, _names(members))


def _copies(rows: list[Row]) -> Iterator[Finding]:
    by_content: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        for part, digest in row.digests.items():
            if part != "audio" or not row.has_issue("no sound"):
                by_content[f"{part} {digest}"].append(index)
    pairs: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for content, members in by_content.items():
        if len(members) > 1:
            pairs[tuple(members)].append(content.split()[0])
    for members_of, modalities in pairs.items():
        copies = [rows[index] for index in members_of]
        splits = dict.fromkeys(row.split for row in copies)
        listed = "; ".join(row.record.source for row in copies[:4]) + ("; …" if len(copies) > 4 else "")
        what = f"{', '.join(sorted(modalities))} of {', '.join(_names(copies)[:4])} are the same to the bit ({listed})"
        where = f"splits {', '.join(splits)}" if len(splits) > 1 else copies[0].record.source
        yield Finding("leak" if len(splits) > 1 else "duplicate", where, what, _names(copies))


def _shared_rooms(rows: list[Row], rooms_apart: bool) -> Iterator[Finding]:
    splits: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        splits[row.record.room][row.split] += 1
    for room, counts in sorted(splits.items()):
        if len(counts) > 1:
            what = f"{room}: " + ", ".join(f"{count} rows in {split}" for split, count in counts.items())
            members = _names([row for row in rows if row.record.room == room])
            kind, severity = ("leak", "fault") if rooms_apart else ("shared location", "note")
            yield Finding(kind, f"splits {', '.join(counts)}", what, members, severity)  # type: ignore[arg-type]
