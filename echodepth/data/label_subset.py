"""Which frames keep their measured depth, when a run is told to do with few of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from echodepth.data.sample import Record


@dataclass(frozen=True)
class LabelSubset:
    """The share of a training split whose depth is taken as known.

    Whole rooms, because frames of one room are alike: a tenth of each room's frames would be nearly all there is to
    know of it.

    Attributes:
        fraction: share of the rooms, above 0 and up to 1; at least one room is drawn.
        seed: decides which; a smaller share is always part of a larger one.
        keep_rest: whether the frames of the other rooms stay, without depth, or go.
    """

    fraction: float = 1.0
    seed: int = 0
    keep_rest: bool = False

    def rooms(self, records: list[Record]) -> frozenset[str]:
        """The rooms whose depth is known, as named by ``Record.room``."""
        return self.drawn({record.room for record in records})

    def drawn(self, among: Iterable[str]) -> frozenset[str]:
        """Of all rooms, those whose depth is known."""
        rooms = sorted(among)
        order = np.random.default_rng(self.seed).permutation(len(rooms))
        return frozenset(rooms[place] for place in order[: max(1, round(self.fraction * len(rooms)))])

    def kept(self, records: list[Record]) -> list[Record]:
        """The records that are trained on."""
        rooms = self.rooms(records)
        return [record for record in records if self.keep_rest or record.room in rooms]


ALL_LABELS = LabelSubset()
