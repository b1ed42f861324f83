"""The splits as loaders for Lightning: seeded order, sharding over processes, augmentation on the device."""

import logging
import os
from collections.abc import Iterator
from typing import Any

import torch
from lightning import LightningDataModule
from lightning.pytorch.accelerators import CUDAAccelerator
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

from echodepth.core.errors import ConfigError
from echodepth.data.augmentation import color_jitter, random_flip
from echodepth.data.cache.decoder import PreparedDecoder
from echodepth.data.cache.prepared import AudioCacheFormat, open_prepared
from echodepth.data.config import DataConfig, Split
from echodepth.data.dataset import DepthDataset
from echodepth.data.label_subset import ALL_LABELS, LabelSubset
from echodepth.data.sample import ALL_MODALITIES, Modality, Sample
from echodepth.data.streaming.batches import batch_loader
from echodepth.data.streaming.dataset import Frames, ShardedDataset, open_split
from echodepth.data.streaming.index import is_sharded

log = logging.getLogger(__name__)
MOST_WORKERS = 4
"""That read files unasked: together they decode some 300 frames a second, faster than most devices train on them."""
_STAGE_SPLITS: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class ShardSampler(Sampler[int]):
    """Every ``world_size``-th instance in order: each is seen once in all, by one process.

    torch's own sampler repeats instances until the shards are even, which shifts a validation mean. Only when
    there are fewer instances than processes does one repeat, so that no process stays without a batch.
    """

    def __init__(self, size: int, world_size: int, rank: int) -> None:
        self.indices = [index % size for index in range(rank, max(size, world_size), world_size)]

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


class _Batches(Dataset[Sample]):
    """A dataset that is only asked for batches, by the method that a DataLoader looks for."""

    def __init__(self, dataset: DepthDataset) -> None:
        self.dataset = dataset

    def __getitems__(self, indices: list[int]) -> Sample:
        return self.dataset.batch(indices)


def _already_a_batch(batch: Any) -> Any:
    return batch


def default_workers(dataset: Frames, neighbours: int = 1) -> int:
    """Processes that read a split, where nothing else is said.

    None for a prepared one: to gather its rows takes less time than to hand a batch from one process to another.
    Files are decoded by as many processes as there are processors left for each that trains, up to four.

    Args:
        dataset: the split.
        neighbours: processes that train on this machine.
    """
    if isinstance(dataset.decoder, PreparedDecoder):
        return 0
    # Not all that the machine has: a scheduler may have given this process a few of them.
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, processors // neighbours))


class DepthDataModule(LightningDataModule):
    """Training, validation and test loaders of one dataset.

    The training order depends on ``seed`` and epoch alone, so a resumed run sees what an uninterrupted one would.
    For this the Trainer must be built with ``use_distributed_sampler=False``: sharding is done here.
    Augmentation touches training batches only, on their device, with torch's global random numbers.

    Args:
        config: which data, and how it is read.
        parts: what a sample holds.
        batch_size: per process.
        num_workers: processes that read files, for each loader; None: ``default_workers``.
        seed: decides the training order.
        flip: mirror training samples at random, ears included.
        color_jitter: strength of random brightness, contrast and saturation, 0 for none, at most 1.
        first_epoch: epochs done before this run, when it is resumed.
        labels: how much of the training split's depth is taken as known.
        prepared: forms of the sound in which a prepared split is as good as the files, the best first; empty reads the
            files.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        config: DataConfig,
        modalities: tuple[Modality, ...] = ALL_MODALITIES,
        batch_size: int = 64,
        num_workers: int | None = None,
        seed: int = 0,
        flip: bool = True,
        color_jitter: float = 0.0,
        first_epoch: int = 0,
        labels: LabelSubset = ALL_LABELS,
        prepared: tuple[AudioCacheFormat, ...] = (),
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}: give at least 1")
        if num_workers is not None and num_workers < 0:
            raise ConfigError(f"num_workers is {num_workers}: give 0 (read in the training process) or more")
        if not 0 <= color_jitter <= 1:
            raise ConfigError(f"color_jitter is {color_jitter}: give a strength from 0 (off) to 1")
        self.config = config
        self.modalities = modalities
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.flip = flip
        self.color_jitter = color_jitter
        self.first_epoch = first_epoch
        self.labels = labels
        self.prepared = prepared
        self._datasets: dict[Split, Frames] = {}

    def setup(self, stage: str) -> None:
        """Open the splits that a stage needs, once: train and val to fit, val to validate, test to test.

        Raises:
            ConfigError: a setting makes no sense.
            DataError: a file or row is missing or unusable.
        """
        for split in _STAGE_SPLITS.get(stage, ()):
            self._open(split)

    @property
    def train_set(self) -> Frames:
        """The training split, opened when first asked for."""
        return self._open("train")

    @property
    def val_set(self) -> Frames:
        """The validation split, opened when first asked for."""
        return self._open("val")

    @property
    def test_set(self) -> Frames:
        """The test split, opened when first asked for."""
        return self._open("test")

    def train_dataloader(self) -> DataLoader[Sample]:
        """Shuffled training batches.

        A last batch of a single sample is dropped (unless it is the only one): batch norm cannot learn from it.
        """
        world_size, rank = self._place()
        # torch adds the epoch to the seed: unless seeds lie far apart, seed 1 repeats seed 0's orders an epoch earlier.
        seed = self.seed * 100_000
        if isinstance(self.train_set, ShardedDataset):
            return self._of_shards(self.train_set, seed)
        sampler: DistributedSampler[Sample] = DistributedSampler(
            self.train_set, num_replicas=world_size, rank=rank, shuffle=True, seed=seed
        )
        # Lightning sets the epoch only after worker processes have begun to read in this order.
        sampler.set_epoch(self.first_epoch)
        lonely = len(sampler) > self.batch_size and len(sampler) % self.batch_size == 1
        return self._loader(self.train_set, sampler, drop_last=lonely)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Validation batches in the dataset's order."""
        return self._in_order(self.val_set)

    def test_dataloader(self) -> DataLoader[Sample]:
        """Test batches in the dataset's order."""
        return self._in_order(self.test_set)

    def on_after_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        """Augment training batches on their device."""
        if self.trainer is None or not self.trainer.training:
            return batch
        if self.flip:
            batch = random_flip(batch)
        if self.color_jitter and "image" in batch:
            batch = batch.copy()
            batch["image"] = color_jitter(batch["image"], self.color_jitter)
        return batch

    def _open(self, split: Split) -> Frames:
        if split not in self._datasets:
            labels = self.labels if split == "train" else ALL_LABELS
            self._datasets[split] = self._open_prepared(split, labels) or open_split(
                self.config, split, self.modalities, labels=labels
            )
        return self._datasets[split]

    def _open_prepared(self, split: Split, labels: LabelSubset) -> DepthDataset | None:
        for hearing in self.prepared if not is_sharded(self.config) else ():
            if dataset := open_prepared(self.config, split, self.modalities, hearing, labels):
                log.info("%s: prepared %s", split, hearing.name if "audio" in self.modalities else "images")
                return dataset
        return None

    def _place(self) -> tuple[int, int]:
        """How many processes train together, and which of them this is."""
        if self.trainer is None:
            return 1, 0
        return self.trainer.world_size, self.trainer.global_rank

    def _neighbours(self) -> int:
        """How many processes train on this machine."""
        return 1 if self.trainer is None else max(1, self.trainer.num_devices)

    def _on_cuda(self) -> bool:
        """Whether batches go to a CUDA device: pinned, they get there while it computes. For others it is a copy."""
        return self.trainer is not None and isinstance(self.trainer.accelerator, CUDAAccelerator)

    def _in_order(self, dataset: Frames) -> DataLoader[Sample]:
        if isinstance(dataset, ShardedDataset):
            return self._of_shards(dataset)
        return self._loader(dataset, ShardSampler(len(dataset), *self._place()))

    def _workers(self, dataset: Frames) -> int:
        return self.num_workers if self.num_workers is not None else default_workers(dataset, self._neighbours())

    def _of_shards(self, dataset: ShardedDataset, seed: int | None = None) -> DataLoader[Sample]:
        processes, workers = self._place(), self._workers(dataset)
        loader = batch_loader(dataset, self.batch_size, workers, seed, self.first_epoch, processes, self._on_cuda())
        if self.num_workers is not None and loader.num_workers < workers and processes[1] == 0:
            log.info(
                "%d of %d readers are used, for %d shards and %d devices: smaller shards would serve more",
                *(loader.num_workers, workers, len(dataset.shards), processes[0]),
            )
        return loader

    def _loader(
        self, dataset: DepthDataset, sampler: ShardSampler | DistributedSampler[Sample], drop_last: bool = False
    ) -> DataLoader[Sample]:
        workers = self._workers(dataset)
        return DataLoader(
            _Batches(dataset),
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            collate_fn=_already_a_batch,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self._on_cuda(),
            # Its own generator: a loader draws its workers' seed, and from the global one that would shift the rest.
            generator=torch.Generator().manual_seed(self.seed),
        )
