"""The interface of a split, independent of its storage: files, prepared arrays or shards."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from torch.utils.data import DataLoader, Dataset

from echodepth.core.errors import ConfigError
from echodepth.data.decoder import Decoder
from echodepth.data.label_subset import Labelled
from echodepth.data.records import Record, StoredRecord
from echodepth.data.sample import Sample

MAX_DEFAULT_WORKERS = 4
"""Four processes decode about 300 frames per second, faster than most devices train."""


class SplitDataset(Dataset[Sample], ABC):
    """Instances of one split.

    Attributes:
        is_random_access: whether ``records`` and indexing are available.
        decoder: decodes the records.
        labelled: frames whose depth is used; None for all. Of the others no depth is read and no pixel is valid.
        bad_rows: one message for each row that was skipped.
    """

    is_random_access: ClassVar[bool]
    decoder: Decoder
    labelled: Labelled | None
    bad_rows: list[str]

    def __repr__(self) -> str:
        size, contents = self.decoder.image_size, ", ".join(self.decoder.modalities)
        return f"{type(self).__name__}({len(self)} frames of {contents}; {size}x{size}, {self.decoder.max_depth:g} m)"

    @abstractmethod
    def __len__(self) -> int:
        """Number of instances."""

    @abstractmethod
    def __iter__(self) -> Iterator[Sample]:
        """All instances in order.

        Raises:
            DataError: a row cannot be decoded; the message names row and file.
        """

    @abstractmethod
    def draw_labelled(self, count: int, rng: np.random.Generator) -> Iterator[Sample]:
        """Up to ``count`` random instances whose depth is used."""

    @abstractmethod
    def loader(
        self,
        batch_size: int,
        num_workers: int = 0,
        *,
        shuffle_seed: int | None = None,
        first_epoch: int = 0,
        first_batch: int = 0,
        world_size: int = 1,
        rank: int = 0,
        keep_order: bool = False,
        pin_memory: bool = False,
        packed: bool = False,
    ) -> DataLoader[Sample]:
        """Batches of this process.

        Args:
            batch_size: per process.
            num_workers: processes that read for this one.
            shuffle_seed: decides the order of training batches, together with the epoch. None: evaluation, where each
                instance occurs once over all processes.
            first_epoch: number of epochs before this run.
            first_batch: number of this process's batches of that epoch before this run, which are left out of it.
            world_size: number of training processes.
            rank: index of this process.
            keep_order: evaluate in the exact order of the split, at the cost of workers where necessary.
            pin_memory: as in torch.
            packed: yield prepared data in their stored types, read ahead by a thread, for ``unpack`` on the device;
                files and shards have no other types than those of a sample.
        """

    @property
    def records(self) -> Sequence[Record]:
        """The instances' files, with random access only.

        Raises:
            ConfigError: the split has no random access.
        """
        raise ConfigError(
            "shards are read sequentially and have no single files: give --data_dir a folder with the dataset's files"
        )

    def depth_is_known(self, record: Record | StoredRecord) -> bool:
        """Whether the depth of an instance is used."""
        return self.labelled is None or record in self.labelled

    def default_workers(self, local_processes: int = 1) -> int:
        """Number of reading processes when none is configured.

        Prepared splits need none: gathering rows takes less time than passing a batch between processes. Files are
        decoded by the processors that remain for each training process, up to ``MAX_DEFAULT_WORKERS``.

        Args:
            local_processes: number of training processes on this machine.
        """
        if not self.decoder.needs_workers:
            return 0
        # The affinity, not the machine's count: a scheduler may grant this process fewer processors.
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(MAX_DEFAULT_WORKERS, processors // local_processes))


def keep_batch(batch: Any) -> Any:
    """Collate function of datasets that return batches."""
    return batch
