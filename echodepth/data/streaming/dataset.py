"""A split that is read from shards, from first to last."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.config import DataConfig, Split
from echodepth.data.dataset import Decoder, DepthDataset, decoder_of, open_dataset
from echodepth.data.images import DepthResize
from echodepth.data.label_subset import ALL_LABELS, LabelSubset
from echodepth.data.sample import ALL_MODALITIES, Modality, Sample, StoredRecord
from echodepth.data.streaming.index import Shard, ShardIndex, is_sharded, read_index
from echodepth.data.streaming.reader import ShardReader, WantedShard, require_webdataset


class ShardedDataset:
    """Instances of one split, in shards.

    Args:
        reader: reads the shards.
        shards: what of each is read.
        decoder: how the files are read.
        labelled: rooms whose depth is known; of the others no depth is read, and no pixel is valid. None: all.
        bad_rows: one message for each row that was left out when the split was packed.
    """

    def __init__(
        self,
        reader: ShardReader,
        shards: list[WantedShard],
        decoder: Decoder,
        labelled: frozenset[str] | None = None,
        bad_rows: list[str] | None = None,
    ) -> None:
        self.reader = reader
        self.shards = shards
        self.decoder = decoder
        self.labelled = labelled
        self.bad_rows = bad_rows or []

    def __len__(self) -> int:
        return sum(wanted.samples for wanted in self.shards)

    def __iter__(self) -> Iterator[Sample]:
        """All instances in the order of the shards; errors as of ``stored`` and ``decode``."""
        return map(self.decode, self.stored(self.shards, 0, len(self)))

    def stored(self, order: list[WantedShard], start: int, stop: int) -> Iterator[StoredRecord]:
        """A stretch of the samples.

        Args:
            order: the shards as they follow each other.
            start: the first sample, counted through them.
            stop: the one after the last.

        Raises:
            DataError: a shard is not there or not whole.
        """
        place = 0
        for wanted in order:
            first, place = place, place + wanted.samples
            if place <= start:
                continue
            if first >= stop:
                return
            # A shard whose last sample is wanted is read to its end, where it turns out whether it was whole.
            for number, record in enumerate(self.reader.records(wanted), start=first):
                if number >= stop:
                    return
                if number >= start:
                    yield record

    def decode(self, record: StoredRecord) -> Sample:
        """The tensors of one instance.

        Raises:
            DataError: naming the shard, the row that was packed, and what is wrong.
        """
        try:
            return (self.decoder if self._knows(record) else replace(self.decoder, depth_known=False))(record)
        except DataError as error:
            raise DataError(f"{record.source}: {error}") from error

    def draw_labelled(self, count: int, rng: np.random.Generator) -> Iterator[Sample]:
        """The first ``count`` instances whose depth is known: they were shuffled when packed."""
        records = self.stored(self.shards, 0, len(self))
        return map(self.decode, islice((record for record in records if self._knows(record)), count))

    def _knows(self, record: StoredRecord) -> bool:
        return self.labelled is None or record.room in self.labelled


Frames = DepthDataset | ShardedDataset
"""A split, however it is kept."""


def open_split(
    config: DataConfig,
    split: Split,
    modalities: tuple[Modality, ...] = ALL_MODALITIES,
    depth_resize: DepthResize = "nearest",
    labels: LabelSubset = ALL_LABELS,
) -> Frames:
    """Open one split of a dataset's files or shards; arguments and errors are those of ``open_dataset``."""
    opened = _open_shards if is_sharded(config) else open_dataset
    return opened(config, split, modalities, depth_resize, labels)


def _open_shards(
    config: DataConfig, split: Split, modalities: tuple[Modality, ...], depth_resize: DepthResize, labels: LabelSubset
) -> ShardedDataset:
    require_webdataset()
    if config.skip_bad:
        raise ConfigError(
            "--skip_bad: shards are read from first to last, and how many samples are good must be known before; pack "
            "them anew with `echodepth shard --skip_bad`, and the same settings of reading as here"
        )
    index = read_index(config)
    decoder = decoder_of(config, modalities, depth_resize, index.depth_units)
    if lacking := sorted(set(modalities) - set(index.modalities)):
        raise DataError(f"the shards of {index.dataset} in {config.address} have no {', '.join(lacking)}")
    shards, bad_rows = _shards_of(index, config, split)
    rooms = {room for shard in shards for room in shard.rooms} & _wanted_rooms(index, config, split)
    labelled = labels.drawn(rooms)
    wanted = _wanted(shards, rooms if labels.keep_rest else labelled)
    if not wanted:
        raise DataError(f"the {split} split of {config.address} is empty: it holds no sample that was asked for")
    reader = ShardReader(config.address, modalities, config.shard_cache, config.check_hashes)
    return ShardedDataset(reader, wanted, decoder, labelled, bad_rows)


def _shards_of(index: ShardIndex, config: DataConfig, split: Split) -> tuple[list[Shard], list[str]]:
    """The shards in which a split's samples are: with ``leave_out``, those of every split for the test."""
    splits = list(index.splits) if config.leave_out is not None and split == "test" else [split]
    if split not in index.splits and len(splits) == 1:
        raise DataError(
            f"{config.address} has no shards of {split}, only of {', '.join(index.splits)}: pack them with "
            f"`echodepth shard --splits {split}`"
        )
    shards = [shard for each in splits for shard in index.splits[each]]
    return shards, [row for each in splits for row in index.bad_rows[each]]


def _wanted_rooms(index: ShardIndex, config: DataConfig, split: Split) -> set[str]:
    left_out = set() if config.leave_out is None else {config.leave_out}
    chosen, known = {*config.locations}, {*index.rooms.values()}
    if chosen | left_out and config.dataset == "rgbd":
        raise ConfigError("--locations and --leave_out belong to BatVision: --dataset rgbd is a single recording")
    if unknown := sorted((chosen | left_out) - known):
        raise DataError(f"no location {', '.join(unknown)} in {config.address}; there are: {', '.join(sorted(known))}")
    locations = left_out if left_out and split == "test" else (chosen or known) - left_out
    return {room for room, location in index.rooms.items() if location in locations}


def _wanted(shards: list[Shard], rooms: set[str] | frozenset[str]) -> list[WantedShard]:
    """What of each shard is read; one without a wanted sample is not opened at all."""
    wanted = []
    for shard in shards:
        samples = sum(count for room, count in shard.rooms.items() if room in rooms)
        if samples:
            some = None if samples == shard.samples else frozenset(rooms & shard.rooms.keys())
            wanted.append(WantedShard(shard, some, samples))
    return wanted
