"""A split as a torch Dataset: files become the tensors of a Sample, and a bad row names itself."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from tqdm import tqdm

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.audio import AudioCut, cut, read_ear_arrays, read_wav
from echodepth.data.config import DataConfig, Split
from echodepth.data.datasets import batvision, rgbd
from echodepth.data.images import DepthMap, DepthResize, read_image, resize_depth
from echodepth.data.label_subset import ALL_LABELS, LabelSubset
from echodepth.data.sample import ALL_MODALITIES, File, Modality, Record, Sample, StoredRecord
from echodepth.data.streaming.index import is_sharded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoder:
    """Turns a record's files into tensors.

    Attributes:
        read_depth: the dataset's own format of depth maps.
        modalities: which parts a sample has; the files of the others are not touched.
        image_size: side in pixels of image and depth map.
        max_depth: metres; farther depth is clipped.
        audio_cut: which stretch of the recording is used.
        depth_resize: ``nearest``, or ``bilinear`` as in the official baseline.
        depth_known: otherwise depth files are not touched, and no pixel is valid.
    """

    read_depth: Callable[[File], DepthMap]
    modalities: tuple[Modality, ...]
    image_size: int
    max_depth: float
    audio_cut: AudioCut
    depth_resize: DepthResize = "nearest"
    depth_known: bool = True

    def files(self, record: Record) -> list[Path]:
        """The files that decoding this record reads."""
        by_part: dict[Modality, list[Path | None]] = {
            "image": [record.image],
            "audio": [*record.audio],
            "depth": [record.depth if self.depth_known else None],
        }
        return [path for part in self.modalities for path in by_part[part] if path is not None]

    def __call__(self, record: Record | StoredRecord) -> Sample:
        """Read one instance.

        Raises:
            DataError: a file is unreadable, too short, silent, or has no valid depth.
        """
        sample = Sample(name=record.name)
        if "image" in self.modalities and record.image is not None:
            sample["image"] = torch.from_numpy(read_image(record.image, self.image_size))
        if "audio" in self.modalities:
            sample["audio"] = torch.from_numpy(self._audio(record.audio))
        if "depth" in self.modalities and not self.depth_known:
            sample["depth"] = torch.zeros(1, self.image_size, self.image_size)
            sample["valid"] = torch.zeros(1, self.image_size, self.image_size, dtype=torch.bool)
        elif "depth" in self.modalities and record.depth is not None:
            depth = resize_depth(self.read_depth(record.depth), self.image_size, self.max_depth, self.depth_resize)
            if not depth.valid.any():
                raise DataError(
                    f"{record.depth} has no valid depth at {self.image_size}x{self.image_size}: leave the row out"
                )
            sample["depth"] = torch.from_numpy(depth.metres)[None]
            sample["valid"] = torch.from_numpy(depth.valid)[None]
        return sample

    def batch(self, records: Sequence[Record | StoredRecord], known: Sequence[bool]) -> Sample | None:
        """Several instances as a batch; None where each has files of its own."""
        return None

    def _audio(self, paths: tuple[File, ...]) -> Float[np.ndarray, "2 n"]:
        if len(paths) == 2:
            return cut(read_ear_arrays(*paths), self.audio_cut, str(paths[0]))
        audio, rate = read_wav(paths[0])
        if rate != self.audio_cut.sample_rate:
            raise DataError(
                f"{paths[0]} was recorded at {rate} Hz: resample the dataset to {self.audio_cut.sample_rate} Hz, "
                "the rate that spectrograms and distances are computed for"
            )
        return cut(audio, self.audio_cut, str(paths[0]))


class DepthDataset(Dataset[Sample]):
    """Instances of one split.

    Whether all the wanted files exist is checked here, so that a missing one stops a run before it begins.
    With ``skip_bad`` every row is decoded once here, and those that fail are left out.

    Args:
        records: the split's instances.
        decoder: how their files are read.
        skip_bad: leave bad rows out, log and list them, instead of raising at the first.
        labelled: rooms whose depth is known; of the others no depth is read, and no pixel is valid. None: all.

    Attributes:
        records: the instances that are used.
        decoder: how their files are read.
        labelled: as given.
        bad_rows: one message for each row left out.

    Raises:
        DataError: a file is missing, or no row is usable. Rows that cannot be decoded raise it when they are read.
    """

    def __init__(
        self,
        records: list[Record],
        decoder: Decoder,
        skip_bad: bool = False,
        labelled: frozenset[str] | None = None,
    ) -> None:
        self.records = records
        self.decoder = decoder
        self.labelled = labelled
        self.bad_rows: list[str] = []
        if skip_bad:
            self._leave_bad_rows_out()
        else:
            self._require_files()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        """Decode one instance.

        Raises:
            DataError: naming the CSV row and the file.
        """
        record = self.records[index]
        try:
            return self._decoder_of(record)(record)
        except DataError as error:
            raise DataError(f"{record.source}: {error}") from error

    def __iter__(self) -> Iterator[Sample]:
        """All instances in order; errors as of one."""
        return (self[index] for index in range(len(self)))

    def draw_labelled(self, count: int, rng: np.random.Generator) -> Iterator[Sample]:
        """Up to ``count`` instances whose depth is known, drawn at random."""
        labelled = [index for index, record in enumerate(self.records) if self._knows(record)]
        return (self[int(index)] for index in rng.permutation(labelled)[:count])

    def batch(self, indices: list[int]) -> Sample:
        """Several instances as a batch, with a list of names; taken together where the decoder can.

        Raises:
            DataError: naming the CSV row and the file.
        """
        records = [self.records[index] for index in indices]
        together = self.decoder.batch(records, [self._knows(record) for record in records])
        batch: Sample = together or default_collate([self[index] for index in indices])
        return batch

    def _knows(self, record: Record) -> bool:
        return self.labelled is None or record.room in self.labelled

    def _decoder_of(self, record: Record) -> Decoder:
        return self.decoder if self._knows(record) else replace(self.decoder, depth_known=False)

    def _require_files(self) -> None:
        missing = [
            f"{record.source}: {path} does not exist"
            for record in self.records
            for path in self._decoder_of(record).files(record)
            if not path.is_file()
        ]
        if missing:
            more = f" (and {len(missing) - 1} more files are missing)" if len(missing) > 1 else ""
            raise DataError(f"{missing[0]}{more}: complete the dataset, or leave such rows out with --skip_bad")

    def _leave_bad_rows_out(self) -> None:
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
        self.records = good


def open_dataset(
    config: DataConfig,
    split: Split,
    modalities: tuple[Modality, ...] = ALL_MODALITIES,
    depth_resize: DepthResize = "nearest",
    labels: LabelSubset = ALL_LABELS,
) -> DepthDataset:
    """Open one split of a dataset.

    Args:
        config: which data, and how it is read.
        split: train, val or test.
        modalities: what a sample holds besides its name; the files of other parts need not exist.
        depth_resize: ``nearest`` for all but the official protocol, which is ``bilinear``.
        labels: how much of the split's depth is taken as known.

    Returns:
        The split: index it for a Sample, or hand it to a DataLoader.

    Raises:
        ConfigError: a setting makes no sense.
        DataError: something is missing or, without ``config.skip_bad``, unusable.
    """
    records, decoder = list_split(config, split, modalities, depth_resize)
    return DepthDataset(labels.kept(records), decoder, config.skip_bad, labels.rooms(records))


def list_split(
    config: DataConfig, split: Split, modalities: tuple[Modality, ...], depth_resize: DepthResize = "nearest"
) -> tuple[list[Record], Decoder]:
    """A split's instances and how their files are read; opens none of them. Arguments and errors: ``open_dataset``."""
    if is_sharded(config):
        raise ConfigError(
            f"{config.address} holds shards, which are read from first to last, by training and `echodepth evaluate`: "
            "give --data_dir a folder with the dataset's files here"
        )
    list_records = rgbd.list_records if config.dataset == "rgbd" else batvision.list_records
    decoder = decoder_of(config, modalities, depth_resize, config.depth_scale)
    return list_records(config, split, modalities), decoder


def decoder_of(
    config: DataConfig, modalities: tuple[Modality, ...], depth_resize: DepthResize, depth_scale: float
) -> Decoder:
    """How a dataset's files are read.

    Args:
        config: which data, and how it is read.
        modalities: what a sample holds.
        depth_resize: ``nearest`` or ``bilinear``.
        depth_scale: units per metre of an rgbd depth map.

    Raises:
        ConfigError: a setting makes no sense.
    """
    if config.image_size < 1:
        raise ConfigError(f"image_size is {config.image_size}: give the side in pixels, such as 256")
    if not config.depth_limit > 0:
        raise ConfigError(f"max_depth is {config.depth_limit}: give the farthest depth in metres, such as 30")
    if not depth_scale > 0:
        raise ConfigError(f"depth_scale is {depth_scale}: give the depth picture's units per metre")
    of_pictures: Callable[[File], DepthMap] = partial(rgbd.read_depth, depth_scale=depth_scale)
    return Decoder(
        read_depth=of_pictures if config.dataset == "rgbd" else batvision.read_depth,
        modalities=modalities,
        image_size=config.image_size,
        max_depth=config.depth_limit,
        audio_cut=AudioCut(config.audio_start, config.cut_seconds),
        depth_resize=depth_resize,
    )


def mean_depth_map(frames: Iterable[Sample]) -> Float[Tensor, "1 h w"]:
    """The mean of a dataset's valid depth at every pixel: the control that sees and hears nothing.

    Args:
        frames: usually those of the training split, with depth; one at least.

    Returns:
        Metres; a pixel that was never valid takes the mean of all valid ones.

    Raises:
        DataError: a row cannot be read.
    """
    total = torch.zeros((), dtype=torch.float64)
    count = torch.zeros((), dtype=torch.int64)
    for sample in tqdm(frames, desc="Averaging depth", unit="map", disable=None):
        total = total + torch.where(sample["valid"], sample["depth"], 0)
        count = count + sample["valid"]
    overall = total.sum() / count.sum()
    return torch.where(count > 0, total / count.clamp(min=1), overall).float()
