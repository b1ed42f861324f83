"""Training with ground truth in a share of the frames only, whole rooms where they make up the share."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from echodepth.core.errors import ConfigError
from echodepth.data.records import Record, StoredRecord

TOLERANCE = 0.1
"""Whole rooms are used if their frames differ from the requested number by this share of it at most."""


@dataclass(frozen=True)
class Labelled:
    """The frames whose ground truth is used.

    Attributes:
        rooms: rooms with ground truth in every frame.
        frames: names of further frames.
        summary: how many rooms and frames they are, for the log.
    """

    rooms: frozenset[str]
    frames: frozenset[str]
    summary: str

    def __contains__(self, record: Record | StoredRecord) -> bool:
        return record.room in self.rooms or record.name in self.frames


@dataclass(frozen=True)
class LabelSubset:
    """The share of a split's frames whose ground truth is used.

    Whole rooms are drawn, because frames of one room are similar: a tenth of the frames of each room would contain
    nearly all information about it. Where no number of whole rooms comes within ``TOLERANCE`` of the share, as with a
    single room, the last room drawn gives a part of its frames, and the share is met to one frame.

    Attributes:
        fraction: share of the frames, above 0 and up to 1; at least one frame is drawn.
        seed: of the draw; a smaller share is a subset of a larger one.
        keep_rest: keep the other frames without depth; otherwise drop them.
    """

    fraction: float = 1.0
    seed: int = 0
    keep_rest: bool = False

    def labelled(self, records: Sequence[Record]) -> Labelled | None:
        """The labelled frames among ``records``; None for all."""
        if self.fraction == 1.0:
            return None
        counts = Counter(record.room for record in records)
        rooms, needed = self._draw(counts)
        if not needed:
            return self._result(counts, rooms, frozenset())
        *whole, last = rooms
        names = sorted(record.name for record in records if record.room == last)
        chosen = np.random.default_rng(self.seed).permutation(len(names))[:needed]
        return self._result(counts, whole, frozenset(names[index] for index in chosen))

    def labelled_rooms(self, counts: Mapping[str, int], source: object) -> Labelled | None:
        """The labelled rooms, where frames cannot be chosen before they are read; None for all.

        Args:
            counts: number of frames by room.
            source: of the frames, for messages.

        Raises:
            ConfigError: no number of whole rooms makes up the share.
        """
        if self.fraction == 1.0:
            return None
        rooms, needed = self._draw(counts)
        if needed:
            raise ConfigError(
                f"no whole rooms of {source} come within {TOLERANCE:.0%} of {self.fraction:g} of its "
                f"{sum(counts.values())} frames in {len(counts)} rooms, and shards are labelled by whole rooms: give "
                "--data_dir a folder with the dataset's files, or another fraction"
            )
        return self._result(counts, rooms, frozenset())

    def select(self, records: list[Record], labelled: Labelled | None) -> list[Record]:
        """The records that are read."""
        if labelled is None or self.keep_rest:
            return records
        return [record for record in records if record in labelled]

    def _draw(self, counts: Mapping[str, int]) -> tuple[list[str], int]:
        """The rooms in the order of the draw, and the number of frames of the last one; 0 for all of them."""
        ordered = sorted(counts)
        permutation = np.random.default_rng(self.seed).permutation(len(ordered))
        rooms = [ordered[index] for index in permutation]
        sums = list(accumulate(counts[room] for room in rooms))
        target = self.fraction * sums[-1]
        # Nearest by frames, so that a smaller share is a subset of a larger one in either mode.
        nearest = min(range(len(sums)), key=lambda number: abs(sums[number] - target))
        if abs(sums[nearest] - target) <= TOLERANCE * target:
            return rooms[: nearest + 1], 0
        frames = max(1, round(target))
        last = next(number for number, total in enumerate(sums) if total >= frames)
        needed = frames - (sums[last] - counts[rooms[last]])
        return rooms[: last + 1], 0 if needed == counts[rooms[last]] else needed

    def _result(self, counts: Mapping[str, int], rooms: Iterable[str], frames: frozenset[str]) -> Labelled:
        whole = frozenset(rooms)
        number, total = sum(counts[room] for room in whole) + len(frames), sum(counts.values())
        partly = f", {len(frames)} of them in a room of which the rest is not" if frames else ""
        return Labelled(
            whole,
            frames,
            f"ground truth of {number} of {total} frames ({number / total:.1%}) in {len(whole) + bool(frames)} of "
            f"{len(counts)} rooms is used{partly}",
        )


ALL_LABELS = LabelSubset()
