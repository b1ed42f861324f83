"""The order of samples is a function of seed and epoch, and each sample is seen once."""

from pathlib import Path

import pytest

from echodepth.data.streaming.dataset import ShardBatches
from echodepth.data.streaming.partition import EpochPartition
from echodepth.data.streaming.writer import shard
from tests.configs import shard_config
from tests.data.streaming.shards import SHORT, as_file, module, names, order


def test_the_order_is_a_function_of_seed_and_epoch(shards: Path) -> None:
    first = order(module(shards, seed=1), 0)
    assert order(module(shards, seed=1), 0) == first
    assert sorted(first) == sorted(names(shards))
    later = order(module(shards, seed=1), 1)
    assert len({tuple(first), tuple(later), tuple(order(module(shards, seed=2), 0))}) == 3
    # A resumed run begins with that epoch's order, before Lightning has said which it is.
    assert order(module(shards, seed=1, first_epoch=1)) == later


def test_a_batch_is_a_function_of_epoch_and_number_alone(shards: Path) -> None:
    dataset = as_file(shards)
    share = EpochPartition(len(dataset), 4, True, workers=2)
    batches = ShardBatches(dataset, share, 7)
    in_order = {(epoch, n): batches[epoch, n]["name"] for epoch in (0, 1) for n in range(len(share.batch_sizes))}
    for key in [(1, 4), (0, 1), (1, 5), (0, 3), (0, 0)]:
        assert batches[key]["name"] == in_order[key]


def test_shares_are_disjoint_complete_and_even() -> None:
    for total in (1, 2, 3, 7, 12, 25):
        for world_size in (1, 2, 3):
            for batch_size, workers in ((1, 1), (2, 3), (4, 2), (5, 1), (30, 4)):
                for training in (True, False):
                    shares = [
                        EpochPartition(total, batch_size, training, workers, world_size, rank)
                        for rank in range(world_size)
                    ]
                    seen = [n for share in shares for worker in range(workers) for n in share.worker_range(worker)]
                    case = (total, world_size, batch_size, workers, training)
                    assert all(share.batch_sizes and min(share.batch_sizes) > 0 for share in shares), case
                    for share in shares:
                        assert sum(share.batch_sizes) == sum(
                            len(share.worker_range(worker)) for worker in range(workers)
                        )
                    if total >= world_size:
                        assert len(set(seen)) == len(seen), case
                    if training:
                        assert len({len(share.batch_sizes) for share in shares}) == 1, case
                        assert total - len(set(seen)) <= 2 * world_size, case  # of the last batch
                    else:
                        assert set(seen) == set(range(total)), case


@pytest.mark.parametrize("workers", [0, 2])
def test_each_sample_is_seen_once_over_two_processes_and_two_readers_each(shards: Path, workers: int) -> None:
    halves = [order(module(shards, rank, 2, num_workers=workers), 3) for rank in range(2)]
    assert len(halves[0]) == len(halves[1]) == 12
    assert sorted(halves[0] + halves[1]) == sorted(names(shards))
    validated = [
        name
        for rank in range(2)
        for batch in module(shards, rank, 2, num_workers=workers).val_dataloader()
        for name in batch["name"]
    ]
    assert sorted(validated) == sorted(names(shards, "val"))


def test_no_more_read_than_there_are_shards(root: Path, tmp_path: Path) -> None:
    one = shard(shard_config(data_dir=root, out=tmp_path, splits=("train",), **SHORT))
    loader = module(one, num_workers=3).train_dataloader()
    assert loader.num_workers == 1
    assert sorted(name for batch in loader for name in batch["name"]) == sorted(names(root))
    halves = [order(module(one, rank, 2), 0) for rank in range(2)]
    assert sorted(halves[0] + halves[1]) == sorted(names(root))
