"""Partition of an epoch's order among training processes and their workers.

The order of an epoch is that of its shards, permuted by seed and epoch and concatenated. It is cut into one contiguous
range per training process, and each of these into one per worker; a shard across a cut is opened by both readers, and
each takes its part. Every sample is therefore read once, and all processes make the same number of steps, however
unequal the shards are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from torch.utils.data import Sampler


@dataclass(frozen=True)
class EpochPartition:
    """The samples of an epoch that one process reads, and their batches.

    In training, all processes have equally many batches of disjoint samples. A last batch of one sample is dropped
    unless it is the only one; so are the samples by which the processes' ranges differ if they would make an extra
    step. In evaluation every sample is in one batch. If there are fewer samples than processes, some samples are
    repeated so that no process has none.

    Attributes:
        total: number of samples of all processes.
        batch_size: per process.
        training: whether the processes must make the same number of steps.
        workers: readers of this process, at least 1; batch n is read by worker n % workers.
        world_size: number of processes.
        rank: index of this process.
    """

    total: int
    batch_size: int
    training: bool
    workers: int = 1
    world_size: int = 1
    rank: int = 0

    @cached_property
    def sample_range(self) -> range:
        """This process's samples, as positions in the epoch's order."""
        if self.total < self.world_size:
            return range(self.rank % self.total, self.rank % self.total + 1)
        return range(self.rank * self.total // self.world_size, (self.rank + 1) * self.total // self.world_size)

    @cached_property
    def batch_sizes(self) -> list[int]:
        """Number of samples in each batch."""
        count = len(self.sample_range)
        steps = -(-count // self.batch_size)
        if self.training:
            smallest = max(1, self.total // self.world_size)
            largest = max(1, -(-self.total // self.world_size))
            steps = min(self._steps(smallest), self._steps(largest))
        return [min(self.batch_size, count - number * self.batch_size) for number in range(steps)]

    def _steps(self, count: int) -> int:
        single_left = count > self.batch_size and count % self.batch_size == 1
        return -(-count // self.batch_size) - single_left

    def worker_range(self, worker: int) -> range:
        """The samples of one worker's batches, as positions in the epoch's order."""
        ends = [0]
        for each in range(worker + 1):
            ends.append(ends[-1] + sum(self.batch_sizes[each :: self.workers]))
        return self.sample_range[ends[-2] : ends[-1]]


class BatchNumbers(Sampler[tuple[int, int]]):
    """Epoch and number of each batch of an epoch: all that a worker needs to read it.

    Args:
        batches: of an epoch.
        epoch: the first.
        first_batch: of the first epoch; those before it were trained on before a resume.
    """

    def __init__(self, batches: int, epoch: int = 0, first_batch: int = 0) -> None:
        self.batches, self.epoch = batches, epoch
        self._first = epoch, first_batch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        first_epoch, first_batch = self._first
        start = first_batch if self.epoch == first_epoch else 0
        return iter([(self.epoch, number) for number in range(start, self.batches)])

    def __len__(self) -> int:
        return self.batches
