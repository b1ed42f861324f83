"""Training with ground truth in a share of the rooms only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from echodepth.data.records import Record


@dataclass(frozen=True)
class LabelSubset:
    """The share of a training split whose ground truth is used.

    Whole rooms are drawn, because frames of one room are similar: a tenth of the frames of each room would contain
    nearly all information about it.

    Attributes:
        fraction: share of the rooms, above 0 and up to 1; at least one room is drawn.
        seed: of the draw; a smaller share is a subset of a larger one.
        keep_rest: keep the frames of the other rooms without depth; otherwise drop them.
    """

    fraction: float = 1.0
    seed: int = 0
    keep_rest: bool = False

    def rooms(self, records: Sequence[Record]) -> frozenset[str]:
        """The labelled rooms among those of ``records``."""
        return self.draw({record.room for record in records})

    def draw(self, rooms: Iterable[str]) -> frozenset[str]:
        """The labelled rooms among ``rooms``."""
        ordered = sorted(rooms)
        permutation = np.random.default_rng(self.seed).permutation(len(ordered))
        return frozenset(ordered[index] for index in permutation[: max(1, round(self.fraction * len(ordered)))])

    def select(self, records: list[Record]) -> list[Record]:
        """The records of the training set."""
        rooms = self.rooms(records)
        return [record for record in records if self.keep_rest or record.room in rooms]


ALL_LABELS = LabelSubset()
