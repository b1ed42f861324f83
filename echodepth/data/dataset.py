"""A split with random access, in files or prepared arrays."""

import contextlib
import copy
import gc
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, default_collate
from tqdm import tqdm

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.input_files import why_no_file
from echodepth.core.workers import loader_life
from echodepth.data.config import DataConfig
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.decoder import Decoder, create_decoder
from echodepth.data.first_look import report_peculiarities
from echodepth.data.images import DepthResize
from echodepth.data.label_subset import ALL_LABELS, Labelled, LabelSubset
from echodepth.data.prefetch import PrefetchLoader
from echodepth.data.provenance import SIMULATED, announce_simulated
from echodepth.data.records import ALL_MODALITIES, Modality, Record, Split
from echodepth.data.row_names import require_unique_names
from echodepth.data.sample import Sample
from echodepth.data.samplers import EpochOrder, StridedSampler
from echodepth.data.split_dataset import SplitDataset, keep_batch
from echodepth.data.streaming.index import is_sharded

log = logging.getLogger(__name__)


class _Batches(Dataset[Sample]):
    """Adapter by which a DataLoader requests whole batches."""

    def __init__(self, dataset: "DepthDataset", packed: bool) -> None:
        self.dataset = dataset
        self.packed = packed

    def __getitems__(self, indices: list[int]) -> Sample:
        return self.dataset.batch(indices, self.packed)


class DepthDataset(SplitDataset):
    """Instances of one split with random access.

    The constructor checks that all requested files exist, so that a missing file stops a run before it begins. With
    ``skip_bad`` it decodes every row once and drops those that fail.

    Args:
        records: the split's instances.
        decoder: decodes the records.
        skip_bad: skip, log and list bad rows instead of raising at the first.
        labelled: frames whose depth is used; None for all.

    Raises:
        DataError: a file is missing, or no row is usable. Rows that cannot be decoded raise it when they are read.
    """

    is_random_access = True

    def __init__(
        self,
        records: list[Record],
        decoder: Decoder,
        skip_bad: bool = False,
        labelled: Labelled | None = None,
    ) -> None:
        self._records = records
        self.decoder = decoder
        self.labelled = labelled
        self.bad_rows: list[str] = []
        if skip_bad:
            self._drop_bad_rows()
        else:
            self._require_files()

    @property
    def records(self) -> list[Record]:
        """The instances in order, without skipped rows."""
        return self._records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        """Decode one instance.

        Raises:
            DataError: the row cannot be decoded; the message names row and file.
        """
        record = self.records[index]
        try:
            return self._decoder_of(record)(record)
        except DataError as error:
            raise DataError(f"{record.source}: {error}") from error

    def __iter__(self) -> Iterator[Sample]:
        """All instances in order; raises as indexing does."""
        return (self[index] for index in range(len(self)))

    def part(self, rows: range) -> "DepthDataset":
        """Some of its instances, whose pickled size depends on their number alone."""
        part = copy.copy(self)
        part._records, part.bad_rows = self._records[rows.start : rows.stop : rows.step], []
        return part

    def draw_labelled(self, count: int, rng: np.random.Generator) -> Iterator[Sample]:
        """Up to ``count`` random instances whose depth is used."""
        labelled = [index for index, record in enumerate(self.records) if self.depth_is_known(record)]
        return (self[int(index)] for index in rng.permutation(labelled)[:count])

    def batch(self, indices: list[int], packed: bool = False) -> Sample:
        """Several instances as a batch, with a list of names.

        Args:
            indices: of the instances.
            packed: keep stored types where there are such; see ``unpack``.

        Raises:
            DataError: a row cannot be decoded; the message names row and file.
        """
        records = [self.records[index] for index in indices]
        gather = self.decoder.packed_batch if packed else self.decoder.batch
        gathered = gather(records, [self.depth_is_known(record) for record in records])
        batch: Sample = gathered or default_collate([self[index] for index in indices])
        return batch

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
        """Batches of this process; see ``SplitDataset.loader``. Evaluation always keeps the order.

        In training, a last batch of one sample is dropped unless it is the only batch: batch norm cannot use it.
        """
        sampler: StridedSampler | DistributedSampler[Sample]
        single_left = False
        if shuffle_seed is None:
            sampler = StridedSampler(len(self), world_size, rank)
        else:
            sampler = EpochOrder(self, world_size, rank, shuffle_seed, first_epoch, first_batch * batch_size)
            single_left = len(sampler) > batch_size and len(sampler) % batch_size == 1
        read_ahead = packed and num_workers == 0 and not self.decoder.needs_workers
        return (PrefetchLoader if read_ahead else DataLoader)(
            _Batches(self, packed),
            batch_size=batch_size,
            sampler=sampler,
            drop_last=single_left,
            collate_fn=keep_batch,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            worker_init_fn=loader_life(num_workers),
            pin_memory=pin_memory,
            # A loader draws its workers' seed; its own generator leaves the global random numbers unchanged.
            generator=torch.Generator().manual_seed(shuffle_seed or 0),
        )

    def _decoder_of(self, record: Record) -> Decoder:
        return self.decoder if self.depth_is_known(record) else replace(self.decoder, depth_known=False)

    def _require_files(self) -> None:
        missing = [
            f"{record.source}: {reason}"
            for record in self.records
            for path in self._decoder_of(record).files(record)
            if (reason := why_no_file(path))
        ]
        if missing:
            more = f" (and {len(missing) - 1} more files are missing)" if len(missing) > 1 else ""
            raise DataError(f"{missing[0]}{more}: complete the dataset, or leave such rows out with --skip_bad")

    def _drop_bad_rows(self) -> None:
        good = []
        for index, record in enumerate(tqdm(self.records, desc="Checking every row", unit="row", disable=None)):
            try:
                self[index]
            except DataError as error:
                self.bad_rows.append(str(error))
            else:
                good.append(record)
        if self.bad_rows:
            listed = "\n  ".join(self.bad_rows)
            log.warning("%d of %d rows are left out:\n  %s", len(self.bad_rows), len(self.records), listed)
        if not good:
            raise DataError(f"none of {len(self.records)} rows can be used; the first: {self.bad_rows[0]}")
        if not any(self.depth_is_known(record) for record in good):
            raise DataError(f"no row with ground truth can be used; the first bad one: {self.bad_rows[0]}")
        self._records = good


def open_dataset(
    config: DataConfig,
    split: Split,
    modalities: tuple[Modality, ...] = ALL_MODALITIES,
    depth_resize: DepthResize = "nearest",
    labels: LabelSubset = ALL_LABELS,
) -> DepthDataset:
    """Open one split of a dataset in files.

    Args:
        config: dataset, image size and audio cut.
        split: train, val or test.
        modalities: contents of a sample besides its name; files of other modalities need not exist.
        depth_resize: ``nearest``, or the resizing of a protocol that repeats published code, see ``resize_depth``.
        labels: the share of the split's depth that is used.

    Returns:
        The split: index it for a sample, or call ``loader`` for batches.

    Raises:
        ConfigError: a setting is out of range.
        DataError: a file is missing or, without ``config.skip_bad``, unusable.
    """
    records, decoder = list_split(config, split, modalities, depth_resize)
    labelled = labels.labelled(records)
    dataset = DepthDataset(labels.select(records, labelled), decoder, config.skip_bad, labelled)
    report_peculiarities(list(filter(dataset.depth_is_known, dataset.records)), decoder)
    return dataset


def list_split(
    config: DataConfig,
    split: Split,
    modalities: tuple[Modality, ...],
    depth_resize: DepthResize = "nearest",
    allow_faults: bool = False,
) -> tuple[list[Record], Decoder]:
    """A split's instances and their decoder, without opening the files. A default dataset is created if necessary.

    Arguments and errors are those of ``open_dataset``; two rows of one name, and files that differ from their digests,
    are errors, too, unless faults are allowed.
    """
    if is_sharded(config):
        raise ConfigError(
            f"{config.address} holds shards, which are read sequentially, by training and `echodepth evaluate`: "
            "give --data_dir a folder with the dataset's files"
        )
    reader = DATASETS[config.dataset]
    decoder = create_decoder(config, modalities, depth_resize)
    if absent := sorted({*modalities} - {*reader.modalities}):
        raise DataError(f"--dataset {config.dataset} has no {', '.join(absent)}, only {', '.join(reader.modalities)}")
    config.check_locations()
    if config.data_dir is None:
        reader.create_default(config.root)
    if (provenance := reader.provenance(config.root)) is not None and reader.name != SIMULATED:
        announce_simulated(config.root, provenance)
    with _paused_garbage_collection():
        if allow_faults:
            return reader.list_unchecked(config, split, modalities), decoder
        return require_unique_names(reader.list_records(config, split, modalities), config.skip_bad), decoder


@contextlib.contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Records hold no cycles, and searching ever more of them for some takes a fifth of the time of a long list."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def mean_depth_map(samples: Iterable[Sample]) -> Float[Tensor, "1 h w"]:
    """The mean valid depth at every pixel: the baseline without any input.

    Args:
        samples: usually the training split, with depth; at least one.

    Returns:
        Metres; a pixel that is never valid takes the mean of all valid ones.

    Raises:
        DataError: a row cannot be decoded.
    """
    total = torch.zeros((), dtype=torch.float64)
    count = torch.zeros((), dtype=torch.int64)
    for sample in tqdm(samples, desc="Averaging depth", unit="map", disable=None):
        total = total + torch.where(sample["valid"], sample["depth"], 0)
        count = count + sample["valid"]
    overall = total.sum() / count.sum()
    return torch.where(count > 0, total / count.clamp(min=1), overall).float()
