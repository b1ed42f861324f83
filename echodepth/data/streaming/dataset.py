"""A split that is read sequentially from shards."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.integrity import find_damaged
from echodepth.core.workers import loader_life
from echodepth.data.config import DataConfig
from echodepth.data.decoder import Decoder, create_decoder
from echodepth.data.images import DepthResize
from echodepth.data.label_subset import LabelSubset
from echodepth.data.records import Modality, Split, StoredRecord
from echodepth.data.sample import Sample
from echodepth.data.split_dataset import SplitDataset, keep_batch
from echodepth.data.streaming.index import Shard, ShardIndex, join, read_index
from echodepth.data.streaming.partition import BatchNumbers, EpochPartition
from echodepth.data.streaming.reader import ShardReader, ShardSelection, damaged_error, require_webdataset

SHUFFLE_BUFFER = 64
"""Samples among which a reader draws the next one, about 80 MB at 256x256. The writer shuffles all samples, so that the
buffer only separates samples that are neighbours in every epoch."""


class ShardedDataset(SplitDataset):
    """Instances of one split in shards.

    Args:
        reader: opens the shards.
        shards: the selection from each shard, in order.
        decoder: decodes the records.
        labelled_rooms: rooms whose depth is used; None for all.
        bad_rows: one message for each row that the writer skipped.
    """

    is_random_access = False

    def __init__(
        self,
        reader: ShardReader,
        shards: list[ShardSelection],
        decoder: Decoder,
        labelled_rooms: frozenset[str] | None = None,
        bad_rows: list[str] | None = None,
    ) -> None:
        self.reader = reader
        self.shards = shards
        self.decoder = decoder
        self.labelled_rooms = labelled_rooms
        self.bad_rows = bad_rows or []

    def __len__(self) -> int:
        return sum(selection.samples for selection in self.shards)

    def __iter__(self) -> Iterator[Sample]:
        """All instances in the order of the shards; raises as ``read`` and ``decode`` do."""
        return map(self.decode, self.read(self.shards, range(len(self))))

    def read(self, order: list[ShardSelection], sample_range: range) -> Iterator[StoredRecord]:
        """Read a contiguous range of samples.

        Args:
            order: the shards in the order of reading.
            sample_range: positions in the concatenated shards.

        Raises:
            DataError: a shard is missing or incomplete.
        """
        end = 0
        for selection in order:
            first, end = end, end + selection.samples
            if end <= sample_range.start:
                continue
            if first >= sample_range.stop:
                return
            # A shard whose last sample is needed is read to its end, where its completeness is checked.
            for position, record in enumerate(self.reader.records(selection), start=first):
                if position >= sample_range.stop:
                    return
                if position >= sample_range.start:
                    yield record

    def decode(self, record: StoredRecord) -> Sample:
        """Decode one instance.

        Raises:
            DataError: the row cannot be decoded; the message names the shard and the original row.
        """
        try:
            return (self.decoder if self.depth_is_known(record) else replace(self.decoder, depth_known=False))(record)
        except DataError as error:
            raise DataError(f"{record.source}: {error}") from error

    def draw_labelled(self, count: int, rng: np.random.Generator) -> Iterator[Sample]:
        """The first ``count`` instances whose depth is used: the writer shuffled them."""
        records = self.read(self.shards, range(len(self)))
        return map(self.decode, islice(filter(self.depth_is_known, records), count))

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
        """Batches of this process; see ``SplitDataset.loader``.

        There are at most as many workers as shards per process, because two readers of one shard both fetch it, and
        at most one with ``keep_order``, because several workers interleave their batches.
        """
        num_workers = min(num_workers, 1 if keep_order else -(-len(self.shards) // world_size))
        partition = EpochPartition(
            len(self), batch_size, shuffle_seed is not None, max(1, num_workers), world_size, rank
        )
        return DataLoader(
            ShardBatches(self, partition, shuffle_seed),
            batch_size=None,
            sampler=BatchNumbers(len(partition.batch_sizes), first_epoch, first_batch),
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            worker_init_fn=loader_life(num_workers),
            collate_fn=keep_batch,
            pin_memory=pin_memory,
            # A loader draws its workers' seed; its own generator leaves the global random numbers unchanged.
            generator=torch.Generator().manual_seed(shuffle_seed or 0),
        )


class ShardBatches(Dataset[Sample]):
    """Batches by epoch and number. A batch is a function of these two; open readers only save time.

    Args:
        dataset: the split.
        partition: the samples of this process.
        seed: of the order; None keeps the order of the shards.
    """

    def __init__(self, dataset: ShardedDataset, partition: EpochPartition, seed: int | None) -> None:
        self.dataset, self.partition, self.seed = dataset, partition, seed
        # By worker: epoch and number of its next batch, and the samples from there on.
        self._open: dict[int, tuple[tuple[int, int], Iterator[Sample]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Open shards stay in the process that opened them.
        return {**self.__dict__, "_open": {}}

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """One batch; continues after the worker's previous batch, or reads from the start of the worker's range."""
        epoch, number = key
        workers, sizes = self.partition.workers, self.partition.batch_sizes
        worker = number % workers
        next_key, samples = self._open.get(worker, (None, iter(())))
        if next_key != key:
            samples = self._samples(epoch, worker)
            skipped = sum(sizes[worker:number:workers])
            next(islice(samples, skipped, skipped), None)
        batch: Sample = default_collate(list(islice(samples, sizes[number])))
        self._open[worker] = (epoch, number + workers), samples
        return batch

    def _samples(self, epoch: int, worker: int) -> Iterator[Sample]:
        sample_range, shards = self.partition.worker_range(worker), self.dataset.shards
        if self.seed is None:
            return map(self.dataset.decode, self.dataset.read(shards, sample_range))
        permutation = np.random.default_rng([self.seed, epoch]).permutation(len(shards))
        records = self.dataset.read([shards[index] for index in permutation], sample_range)
        rng = random.Random(f"{self.seed} {epoch} {self.partition.rank} {worker}")
        # Samples are decoded before the buffer: at the usual sizes their tensors are smaller than their files.
        samples = map(self.dataset.decode, records)
        shuffled: Iterator[Sample] = require_webdataset().shuffle(SHUFFLE_BUFFER, initial=SHUFFLE_BUFFER, rng=rng)(
            samples
        )
        return shuffled


def open_shards(
    config: DataConfig, split: Split, modalities: tuple[Modality, ...], depth_resize: DepthResize, labels: LabelSubset
) -> ShardedDataset:
    """Open one split of a dataset in shards; arguments are those of ``open_dataset``.

    Raises:
        ConfigError: a setting is out of range or does not apply to shards, or webdataset is not installed.
        DataError: the index is missing, or the selection is empty.
    """
    require_webdataset()
    if config.skip_bad:
        raise ConfigError(
            "--skip_bad: shards are read sequentially, and the number of good samples must be known before; pack them "
            "again with `echodepth shard --skip_bad` and the reading flags of this run"
        )
    index = read_index(config)
    decoder = create_decoder(config, modalities, depth_resize, index.depth_units)
    if absent := sorted(set(modalities) - set(index.modalities)):
        raise DataError(f"the shards of {index.dataset} in {config.address} have no {', '.join(absent)}")
    shards, bad_rows = _shards_of_split(index, config, split)
    rooms = {room for shard in shards for room in shard.rooms} & _selected_rooms(index, config, split)
    labelled_rooms = labels.draw(rooms)
    selections = _select(shards, rooms if labels.keep_rest else labelled_rooms)
    if not selections:
        raise DataError(f"the {split} split of {config.address} is empty: it holds no sample of the selection")
    if config.verify and isinstance(config.address, Path):
        hashes = {selection.shard.name: selection.shard.sha256 for selection in selections}
        if damaged := find_damaged(config.address, hashes, verify=True):
            raise damaged_error(join(config.address, damaged[0]), "its hash differs from the index")
    reader = ShardReader(config.address, modalities, config.shard_cache)
    return ShardedDataset(reader, selections, decoder, labelled_rooms, bad_rows)


def _shards_of_split(index: ShardIndex, config: DataConfig, split: Split) -> tuple[list[Shard], list[str]]:
    """Shards and bad rows of a split; with ``leave_out``, the test split draws on the shards of every split."""
    splits = list(index.splits) if config.leave_out is not None and split == "test" else [split]
    if split not in index.splits and len(splits) == 1:
        raise DataError(
            f"{config.address} has no shards of {split}, only of {', '.join(index.splits)}: pack them with "
            f"`echodepth shard --splits {split}`"
        )
    shards = [shard for each in splits for shard in index.splits[each]]
    return shards, [row for each in splits for row in index.bad_rows[each]]


def _selected_rooms(index: ShardIndex, config: DataConfig, split: Split) -> set[str]:
    config.check_locations()
    left_out = set() if config.leave_out is None else {config.leave_out}
    chosen, known = {*config.locations}, {*index.rooms.values()}
    if unknown := sorted((chosen | left_out) - known):
        raise DataError(f"no location {', '.join(unknown)} in {config.address}; known: {', '.join(sorted(known))}")
    locations = left_out if left_out and split == "test" else (chosen or known) - left_out
    return {room for room, location in index.rooms.items() if location in locations}


def _select(shards: list[Shard], rooms: set[str] | frozenset[str]) -> list[ShardSelection]:
    """The selection from each shard; a shard without a selected sample is not opened."""
    selections = []
    for shard in shards:
        samples = sum(count for room, count in shard.rooms.items() if room in rooms)
        if samples:
            subset = None if samples == shard.samples else frozenset(rooms & shard.rooms.keys())
            selections.append(ShardSelection(shard, subset, samples))
    return selections
