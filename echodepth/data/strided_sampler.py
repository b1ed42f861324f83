"""The order of evaluation over several processes."""

from collections.abc import Iterator

from torch.utils.data import Sampler


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
