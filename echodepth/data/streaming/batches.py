"""Batches out of shards: who reads what, in which order.

An epoch's order is that of the shards, drawn from seed and epoch, one after the other. It is cut into as many stretches
as processes train, and each of these into as many as there are processes that read for it; a shard across a cut is
opened by both sides, and each takes its part. So every sample is seen once, by one reader, and all processes make the
same number of steps, however unequal the shards are. Within its stretch a reader draws from a buffer of samples.

A batch is a function of the epoch and of its number: what is kept open between two is only there to be fast.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from echodepth.data.sample import Sample
from echodepth.data.streaming.dataset import ShardedDataset
from echodepth.data.streaming.reader import require_webdataset

BUFFER = 64
"""Samples among which a reader draws the next: some 80 MB at 256x256. They were shuffled when packed, so that this only
has to part those that would lie side by side in every epoch."""


@dataclass(frozen=True)
class EpochPartition:
    """Which samples of an epoch's order one process reads, and in which batches.

    Training: as many batches for every process, of other samples each. A last batch of one is dropped, unless it is the
    only one, and so is what is left where the processes' stretches differ by one sample and would by a step. Otherwise
    every sample is in one batch. Where there are fewer samples than processes, some are in two: none stays without.

    Attributes:
        total: samples of all processes.
        batch_size: of one process.
        training: whether the processes must make the same number of steps.
        lanes: processes that read for this one: batch n is made by number n % lanes.
        world_size: processes.
        rank: which of them.
    """

    total: int
    batch_size: int
    training: bool
    lanes: int = 1
    world_size: int = 1
    rank: int = 0

    @cached_property
    def sample_range(self) -> range:
        """This process's samples, by their number in the epoch's order."""
        if self.total < self.world_size:
            return range(self.rank % self.total, self.rank % self.total + 1)
        return range(self.rank * self.total // self.world_size, (self.rank + 1) * self.total // self.world_size)

    @cached_property
    def sizes(self) -> list[int]:
        """Samples in each batch."""
        count = len(self.sample_range)
        steps = -(-count // self.batch_size)
        if self.training:
            least = max(1, self.total // self.world_size)
            most = max(1, -(-self.total // self.world_size))
            steps = min(self._steps(least), self._steps(most))
        return [min(self.batch_size, count - number * self.batch_size) for number in range(steps)]

    def _steps(self, count: int) -> int:
        lonely = count > self.batch_size and count % self.batch_size == 1
        return -(-count // self.batch_size) - lonely

    def lane(self, lane: int) -> range:
        """The samples that go into the batches of one lane."""
        ends = [0]
        for each in range(lane + 1):
            ends.append(ends[-1] + sum(self.sizes[each :: self.lanes]))
        return self.sample_range[ends[-2] : ends[-1]]


class BatchNumbers(Sampler[tuple[int, int]]):
    """Epoch and number of each batch of an epoch, which tell a reading process all that it needs."""

    def __init__(self, batches: int, epoch: int = 0) -> None:
        self.batches, self.epoch = batches, epoch

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(self.epoch, number) for number in range(self.batches)])

    def __len__(self) -> int:
        return self.batches


class ShardBatches(Dataset[Sample]):
    """Batches by epoch and number.

    Args:
        dataset: the split.
        share: what this process reads.
        seed: of the order; None: the order of the shards.
    """

    def __init__(self, dataset: ShardedDataset, share: EpochPartition, seed: int | None) -> None:
        self.dataset, self.share, self.seed = dataset, share, seed
        # By lane: the epoch and number of the batch that comes next, and the samples that follow.
        self._open: dict[int, tuple[tuple[int, int], Iterator[Sample]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Open shards stay in the process that opened them.
        return {**self.__dict__, "_open": {}}

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """One batch; read on from the one before, or from the beginning of its lane."""
        epoch, number = key
        lane = number % self.share.lanes
        expected, samples = self._open.get(lane, (None, iter(())))
        if expected != key:
            samples = self._samples(epoch, lane)
            before = sum(self.share.sizes[lane : number : self.share.lanes])
            next(islice(samples, before, before), None)
        batch: Sample = default_collate(list(islice(samples, self.share.sizes[number])))
        self._open[lane] = (epoch, number + self.share.lanes), samples
        return batch

    def _samples(self, epoch: int, lane: int) -> Iterator[Sample]:
        sample_range, order = self.share.lane(lane), self.dataset.shards
        if self.seed is None:
            return map(self.dataset.decode, self.dataset.stored(order, sample_range.start, sample_range.stop))
        drawn = np.random.default_rng([self.seed, epoch]).permutation(len(order))
        records = self.dataset.stored([order[place] for place in drawn], sample_range.start, sample_range.stop)
        rng = random.Random(f"{self.seed} {epoch} {self.share.rank} {lane}")
        # Decoded first: at the usual sizes the tensors are smaller than their files.
        samples = map(self.dataset.decode, records)
        shuffled: Iterator[Sample] = require_webdataset().shuffle(BUFFER, initial=BUFFER, rng=rng)(samples)
        return shuffled


def batch_loader(
    dataset: ShardedDataset,
    batch_size: int,
    workers: int = 0,
    seed: int | None = None,
    first_epoch: int = 0,
    processes: tuple[int, int] = (1, 0),
    pin_memory: bool = False,
) -> DataLoader[Sample]:
    """Batches of a split in shards, for training or in order.

    Args:
        dataset: the split.
        batch_size: of one process.
        workers: processes that read for this one; no more are taken than there are shards for them.
        seed: of the training order; None: the order of the shards, but for what several readers make of it.
        first_epoch: epochs done before.
        processes: how many train together, and which of them this is.
        pin_memory: as torch's loader takes it.
    """
    world_size, rank = processes
    # Two readers of one shard would both fetch it.
    enough = -(-len(dataset.shards) // world_size)
    workers = min(workers, enough)
    share = EpochPartition(len(dataset), batch_size, seed is not None, max(1, workers), world_size, rank)
    return DataLoader(
        ShardBatches(dataset, share, seed),
        batch_size=None,
        sampler=BatchNumbers(len(share.sizes), first_epoch),
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=_already_a_batch,
        pin_memory=pin_memory,
        # Its own generator: a loader draws its workers' seed, and from the global one that would shift the rest.
        generator=torch.Generator().manual_seed(seed or 0),
    )


def _already_a_batch(batch: Any) -> Any:
    return batch
