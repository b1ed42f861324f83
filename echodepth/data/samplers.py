"""The order of training and evaluation over several processes."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import Dataset, DistributedSampler, Sampler

from echodepth.data.sample import Sample


class StridedSampler(Sampler[int]):
    """Every ``world_size``-th instance in order, so that each is evaluated once, by one process.

    torch's own sampler repeats instances until all processes have equally many, which biases a validation mean. Here
    an instance is repeated only if there are fewer instances than processes, so that each process has a batch.
    """

    def __init__(self, size: int, world_size: int, rank: int) -> None:
        self.indices = [index % size for index in range(rank, max(size, world_size), world_size)]

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


class EpochOrder(DistributedSampler[Sample]):
    """torch's training order of one process, which a resumed run enters where it was left.

    Args:
        dataset: the split.
        world_size: number of processes.
        rank: index of this process.
        seed: of the order.
        first_epoch: number of epochs before this run.
        skipped: instances of that epoch that were trained on before.
    """

    def __init__(
        self, dataset: Dataset[Sample], world_size: int, rank: int, seed: int, first_epoch: int, skipped: int
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=True, seed=seed)
        # Lightning sets the epoch only after worker processes have begun to read in this order.
        self.set_epoch(first_epoch)
        self._first = first_epoch, skipped

    def __iter__(self) -> Iterator[Any]:
        first_epoch, skipped = self._first
        return islice(super().__iter__(), skipped if self.epoch == first_epoch else 0, None)
