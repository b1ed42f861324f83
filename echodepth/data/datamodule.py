"""The Lightning data module: loaders of the splits, and augmentation on the device."""

import logging
from collections.abc import Iterable
from functools import cached_property

from lightning import LightningDataModule
from lightning.pytorch.accelerators import CUDAAccelerator
from torch.utils.data import DataLoader

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.augmentation import color_jitter, random_flip
from echodepth.data.cache.packing import is_packed, unpack
from echodepth.data.cache.prepared import AudioCacheFormat
from echodepth.data.config import DataConfig
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.finite import not_finite, without_values
from echodepth.data.label_subset import ALL_LABELS, LabelSubset
from echodepth.data.opening import open_split
from echodepth.data.records import ALL_MODALITIES, Modality, Split
from echodepth.data.sample import Sample
from echodepth.data.split_dataset import SplitDataset

log = logging.getLogger(__name__)
_STAGE_SPLITS: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class DepthDataModule(LightningDataModule):
    """Training, validation and test loaders of one dataset.

    The training order depends on ``seed`` and epoch alone, so that a resumed run has the order of an uninterrupted one.
    The Trainer must be built with ``use_distributed_sampler=False``, because the loaders partition the data themselves.
    Only training batches are augmented, on their device, with torch's global random numbers.

    Args:
        config: dataset, image size and audio cut.
        modalities: contents of a sample.
        batch_size: per process.
        num_workers: reading processes of each loader; None for ``SplitDataset.default_workers``.
        seed: of the training order.
        flip: mirror training samples at random, including the ears.
        color_jitter: strength of random brightness, contrast and saturation, from 0 (off) to 1.
        first_epoch: number of epochs before this run, if it is resumed.
        first_batch: number of batches of that epoch that were trained on.
        labels: the share of the training split's depth that is used.
        val_labels: the share of the validation split's depth that is used.
        prepared: audio formats in which a prepared split replaces the files, in order of preference; empty reads the
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
        first_batch: int = 0,
        labels: LabelSubset = ALL_LABELS,
        val_labels: LabelSubset = ALL_LABELS,
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
        self.first_batch = first_batch
        self.labels: dict[Split, LabelSubset] = {"train": labels, "val": val_labels}
        self.prepared = prepared
        self._datasets: dict[Split, SplitDataset] = {}

    def setup(self, stage: str) -> None:
        """Open the splits of a stage once: train and val for fit, val for validate, test for test.

        Raises:
            ConfigError: a setting is out of range.
            DataError: a file or row is missing or unusable.
        """
        for split in _STAGE_SPLITS.get(stage, ()):
            self._open(split)

    @property
    def train_set(self) -> SplitDataset:
        """The training split, opened at first use."""
        return self._open("train")

    @property
    def val_set(self) -> SplitDataset:
        """The validation split, opened at first use."""
        return self._open("val")

    @property
    def test_set(self) -> SplitDataset:
        """The test split, opened at first use."""
        return self._open("test")

    def train_dataloader(self) -> DataLoader[Sample]:
        """Shuffled training batches."""
        # torch adds the epoch to the seed: adjacent seeds would repeat each other's orders one epoch later.
        return self._loader(self.train_set, shuffle_seed=self.seed * 100_000)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Validation batches, each instance once over all processes."""
        return self._loader(self.val_set)

    def test_dataloader(self) -> DataLoader[Sample]:
        """Test batches, each instance once over all processes."""
        return self._loader(self.test_set)

    def on_before_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        """Look at a batch while asking needs no wait for the device: for values that are not finite, and valid pixels.

        Raises:
            DataError: a validation batch has values that are not finite.
        """
        if self.trainer is None:
            return batch
        if bad := not_finite(batch):
            if not self.trainer.training:
                listed = "; ".join(f"{modality} of {', '.join(self.files_of(bad[modality]))}" for modality in bad)
                raise DataError(f"values that are not finite in {listed}: repair or remove these files")
            batch = without_values(batch, bad)
        if not self.trainer.training or "depth" not in batch:
            return batch
        marks = batch["depth"] if "valid" not in batch else batch["valid"]
        # The first frame nearly always decides.
        return {**batch, "any_valid": bool(marks[0].any()) or bool(marks.any())}

    def on_after_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        """On the device, augment training batches and convert prepared data from their stored types."""
        if self.trainer is None:
            return batch
        training = self.trainer.training
        if training and self.flip:
            batch = random_flip(batch)
        if is_packed(batch):
            batch = unpack(batch, self._depth_units)
            if self.trainer.precision == "64-true":
                # Lightning has converted the other entries before the transfer.
                batch = self.trainer.precision_plugin.convert_input(batch)
        if training and self.color_jitter and "image" in batch:
            batch = batch.copy()
            batch["image"] = color_jitter(batch["image"], self.color_jitter)
        return batch

    def files_of(self, names: Iterable[str]) -> list[str]:
        """Rows and files of training and validation instances, for messages; of shards their names."""
        found: dict[str, str] = {}
        for dataset in self._datasets.values():
            if dataset.is_random_access:
                for record in dataset.records:
                    files = ", ".join(map(str, dataset.decoder.files(record)))
                    found[record.name] = f"{record.name} ({record.source}: {files})"
        return [found.get(name, name) for name in names]

    def _open(self, split: Split) -> SplitDataset:
        if split not in self._datasets:
            labels = self.labels.get(split, ALL_LABELS)
            self._datasets[split] = open_split(
                self.config, split, self.modalities, labels=labels, prepared=self.prepared
            )
        return self._datasets[split]

    @cached_property
    def _depth_units(self) -> float:
        return float(DATASETS[self.config.dataset].depth_units(self.config))

    def _loader(self, dataset: SplitDataset, shuffle_seed: int | None = None) -> DataLoader[Sample]:
        trainer = self.trainer
        world_size, rank = (1, 0) if trainer is None else (trainer.world_size, trainer.global_rank)
        workers = self.num_workers
        if workers is None:
            workers = dataset.default_workers(1 if trainer is None else max(1, trainer.num_devices))
        loader = dataset.loader(
            self.batch_size,
            workers,
            shuffle_seed=shuffle_seed,
            first_epoch=self.first_epoch,
            first_batch=self.first_batch if shuffle_seed is not None else 0,
            world_size=world_size,
            rank=rank,
            # Pinned batches are copied to a CUDA device during computation; elsewhere pinning is a wasted copy.
            pin_memory=trainer is not None and isinstance(trainer.accelerator, CUDAAccelerator),
            # Without a trainer nobody would convert them.
            packed=trainer is not None,
        )
        if self.num_workers is not None and loader.num_workers < workers and rank == 0:
            log.info(
                "%d of %d workers are used on each of %d devices: there are too few shards for more; pack smaller ones",
                *(loader.num_workers, workers, world_size),
            )
        return loader
