"""Decoding of a record's files into the tensors of a sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.audio import AudioCut, cut, read_ear_arrays, read_wav
from echodepth.data.config import DataConfig
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.images import DepthMap, DepthResize, read_image, resize_depth
from echodepth.data.records import File, Modality, Record, StoredRecord
from echodepth.data.sample import Sample


@dataclass(frozen=True)
class Decoder:
    """Reads a record's files and makes them a sample.

    Attributes:
        read_depth: the dataset's reader of depth maps.
        modalities: contents of a sample; files of other modalities are not opened.
        image_size: side in pixels of image and depth map.
        max_depth: metres at which depth is clipped.
        audio_cut: start and length of the waveform.
        depth_resize: ``nearest``, or that of a protocol that repeats published code, see ``resize_depth``.
        depth_known: if False, depth files are not opened and no pixel is valid.
    """

    needs_workers: ClassVar[bool] = True
    """Whether decoding is slow enough for worker processes."""

    read_depth: Callable[[File], DepthMap]
    modalities: tuple[Modality, ...]
    image_size: int
    max_depth: float
    audio_cut: AudioCut
    depth_resize: DepthResize = "nearest"
    depth_known: bool = True

    def files(self, record: Record) -> list[Path]:
        """The files that decoding this record opens."""
        paths: dict[Modality, list[Path | None]] = {
            "image": [record.image],
            "audio": [*record.audio],
            "depth": [record.depth if self.depth_known else None],
        }
        return [path for modality in self.modalities for path in paths[modality] if path is not None]

    def __call__(self, record: Record | StoredRecord) -> Sample:
        """Decode one instance.

        Raises:
            DataError: a file is unreadable, too short, silent, or has no valid depth.
        """
        sample = Sample(name=record.name, room=record.room)
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

    def batch(self, records: Sequence[Record | StoredRecord], depth_known: Sequence[bool]) -> Sample | None:
        """Several instances as a batch, where that is faster than collating single ones; otherwise None.

        Args:
            records: the instances.
            depth_known: for each instance, whether its depth is used.
        """
        return None

    def packed_batch(self, records: Sequence[Record | StoredRecord], depth_known: Sequence[bool]) -> Sample | None:
        """``batch`` in stored types, where there are such; otherwise None."""
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


def create_decoder(
    config: DataConfig,
    modalities: tuple[Modality, ...],
    depth_resize: DepthResize,
    depth_units: int | float | None = None,
) -> Decoder:
    """The decoder of a dataset's files.

    Args:
        config: dataset, image size and audio cut.
        modalities: contents of a sample.
        depth_resize: see ``resize_depth``.
        depth_units: stored depth units per metre; by default those of the config.

    Raises:
        ConfigError: a setting is out of range, or the dataset is unknown.
    """
    if config.image_size < 1:
        raise ConfigError(f"image_size is {config.image_size}: give the side in pixels, such as 256")
    if not config.depth_limit > 0:
        raise ConfigError(f"max_depth is {config.depth_limit}: give the farthest depth in metres, such as 30")
    reader = DATASETS[config.dataset]
    units = depth_units if depth_units is not None else reader.depth_units(config)
    return Decoder(
        read_depth=partial(reader.read_depth, units=units),
        modalities=modalities,
        image_size=config.image_size,
        max_depth=config.depth_limit,
        audio_cut=AudioCut(config.audio_start, config.cut_seconds),
        depth_resize=depth_resize,
    )
