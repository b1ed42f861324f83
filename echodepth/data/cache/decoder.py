"""The arrays of a prepared split, and how batches are taken from them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echodepth.data.dataset import Decoder
from echodepth.data.sample import Record, Sample, StoredRecord


class Prepared:
    """The arrays of one prepared split, mapped when first needed, in each process by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: dict[str, Any] = json.loads((folder / "index.json").read_text())

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled as all that it maps.
        return {"folder": self.folder, "index": self.index}

    @cached_property
    def place(self) -> dict[str, int]:
        """Each instance's row in the arrays."""
        return {name: row for row, name in enumerate(self.index["names"])}

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """By the part's name. What is written into them stays in memory and reaches no file."""
        return {name: np.load(self.folder / f"{name}.npy", mmap_mode="c") for name in self.index["arrays"]}


@dataclass(frozen=True, kw_only=True)
class PreparedDecoder(Decoder):
    """Takes a record's tensors from a prepared split.

    Attributes:
        prepared: where they are.
        units: of the depth, a metre.
        sound: name of the array of sounds.
    """

    prepared: Prepared
    units: float
    sound: str

    def files(self, record: Record) -> list[Path]:
        """None: the arrays are there."""
        return []

    def __call__(self, record: Record | StoredRecord) -> Sample:
        """One instance, with ``spectrogram`` in the place of ``audio`` where that is the form."""
        batch = self.batch([record], [self.depth_known])
        sample = Sample(name=record.name)
        for part in batch.keys() - {"name"}:
            sample[part] = batch[part][0]  # type: ignore[literal-required]
        return sample

    def batch(self, records: Sequence[Record | StoredRecord], known: Sequence[bool]) -> Sample:
        """Several instances at once: rows are gathered in the small types that they are kept in, and widened together.

        Args:
            records: the instances.
            known: of each, whether its depth is.
        """
        arrays, rows = self.prepared.arrays, [self.prepared.place[record.name] for record in records]
        batch = Sample(name=[record.name for record in records])  # type: ignore[typeddict-item]
        if "image" in self.modalities:
            batch["image"] = _widened(arrays["image"], rows).div_(255)
        if "audio" in self.modalities:
            batch["audio" if self.sound == "audio" else "spectrogram"] = _widened(arrays[self.sound], rows)
        if "depth" in self.modalities:
            stored = arrays["depth"][rows]
            stored[~np.asarray(known, dtype=bool)] = 0
            metres = np.divide(stored, np.float32(self.units), dtype=np.float32)
            batch["depth"] = torch.from_numpy(metres)[:, None]
            batch["valid"] = torch.from_numpy(stored > 0)[:, None]
        return batch


def _widened(array: np.ndarray, rows: Sequence[int]) -> Float[Tensor, "b *shape"]:
    """These rows in single precision, each copied and converted in one go: in half the time that it takes by steps."""
    stored = torch.from_numpy(array)
    batch = torch.empty(len(rows), *array.shape[1:])
    for into, row in zip(batch, rows, strict=True):
        into.copy_(stored[row])
    return batch
