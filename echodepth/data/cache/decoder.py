"""Decoding of samples from the arrays of a prepared split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from echodepth.core.array_store import ArrayStore
from echodepth.data.cache.packing import unpack
from echodepth.data.decoder import Decoder
from echodepth.data.records import Record, StoredRecord
from echodepth.data.sample import Sample


@dataclass(frozen=True, kw_only=True)
class PreparedDecoder(Decoder):
    """Takes samples from a prepared split.

    Attributes:
        store: its arrays.
        depth_units: stored depth units per metre.
        audio_array: name of the array of waveforms (``audio``) or spectrograms.
    """

    needs_workers: ClassVar[bool] = False

    store: ArrayStore
    depth_units: int | float
    audio_array: str

    def files(self, record: Record) -> list[Path]:
        """No files: the arrays replace them."""
        return []

    def __call__(self, record: Record | StoredRecord) -> Sample:
        """One instance, with ``spectrogram`` in place of ``audio`` if spectrograms are stored."""
        batch = self.batch([record], [self.depth_known])
        sample = Sample(name=record.name, room=record.room)
        for key in batch.keys() - {"name", "room"}:
            sample[key] = batch[key][0]  # type: ignore[literal-required]
        return sample

    def batch(self, records: Sequence[Record | StoredRecord], depth_known: Sequence[bool]) -> Sample:
        """Several instances at once: rows are gathered in their stored types and converted together.

        Args:
            records: the instances.
            depth_known: for each instance, whether its depth is used.
        """
        return unpack(self.packed_batch(records, depth_known), self.depth_units)

    def packed_batch(self, records: Sequence[Record | StoredRecord], depth_known: Sequence[bool]) -> Sample:
        """``batch`` in the stored types, see ``unpack``."""
        names = [record.name for record in records]
        batch = Sample(name=names, room=[record.room for record in records])  # type: ignore[typeddict-item]
        if "image" in self.modalities:
            batch["image"] = torch.from_numpy(self.store.take("image", names))
        if "audio" in self.modalities:
            stored = self.store.take(self.audio_array, names)
            if self.audio_array == "audio":
                batch["audio"] = torch.from_numpy(stored)
            else:
                batch["spectrogram"] = torch.from_numpy(stored.view(np.int16))
        if "depth" in self.modalities:
            stored = self.store.take("depth", names)
            if not all(depth_known):
                stored[~np.asarray(depth_known, dtype=bool)] = 0
            batch["depth"] = torch.from_numpy(stored.view(np.int16))[:, None]
        return batch
