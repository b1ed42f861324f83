"""Cached teacher outputs: predictions for every training frame on disk, which cost a student's epochs no inference.

A folder under ``cache_folder()/teachers`` holds ``index.json``, ``depth.npy`` and an array per feature level, each of
float16 [frames, 2, channels, rows, columns]: the original frame and its mirror image. The folder's name is a hash of
the teacher's settings and weights and of the settings by which images are read; the index lists the frames.

float16 rounds by a relative error of at most 2^-11: 5 mm at 10 m, and as much of inverse depth in any unit, which whole
millimetres could not store.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from echodepth.core.array_store import (
    ArrayStore,
    ResumableWriter,
    damaged_arrays,
    file_stamp,
    read_index,
    short_hash,
)
from echodepth.core.errors import CheckpointError, ConfigError, DataError
from echodepth.core.run_paths import cache_folder
from echodepth.core.schema import parse
from echodepth.core.workers import loader_life
from echodepth.data.augmentation import flip_left_right
from echodepth.data.config import DataConfig
from echodepth.data.dataset import DepthDataset
from echodepth.data.records import Record
from echodepth.data.sample import Sample
from echodepth.distillation.teachers.frozen import LiveTeacher, Teacher
from echodepth.models.layers import Prediction

log = logging.getLogger(__name__)
FORMAT = 2
"""Increased when a teacher's output for the same image changes, which invalidates older caches."""


def teacher_cache_folder(teacher: LiveTeacher, data: DataConfig) -> Path:
    """Folder of a teacher's outputs on a dataset.

    Of the data settings only those that affect the images count. The index lists the frames of the split.
    """
    settings = [FORMAT, teacher.fingerprint, data.dataset, str(data.root.resolve()), data.image_size]
    return cache_folder() / "teachers" / short_hash(settings)


@dataclass(frozen=True)
class _Index:
    """The index of a cache: its feature levels, and size and modification time of each frame's image."""

    levels: list[str]
    frames: dict[str, list[int] | None]


class CachedTeacher(Teacher):
    """A teacher that reads its outputs from disk. They are those of the original images, before colour jitter.

    Args:
        folder: complete, from ``teacher_cache_folder``.
        records: the frames to be predicted, with their images.
        levels: the feature levels to be returned.
        verify: read all arrays to compare them with their digests, even if they have not changed since the last time.

    Raises:
        CheckpointError: a frame or level is missing, an image has changed since, or the cache is damaged.
    """

    def __init__(self, folder: Path, records: Sequence[Record], levels: Sequence[str], verify: bool = False) -> None:
        try:
            index = parse(_Index, read_index(folder))
            cached_levels, stamps = index.levels, index.frames
            arrays = ["depth", *(level for level in levels if level in cached_levels)]
            damaged = damaged_arrays(folder, arrays, verify)
            self._store = ArrayStore(folder, arrays, stamps)
            self._arrays = self._store.arrays
        except (OSError, ValueError, RecursionError, DataError) as error:
            raise CheckpointError(f"{folder} is damaged: {error}") from error
        if damaged:
            raise CheckpointError(f"{folder / damaged[0]}.npy is damaged, its contents differ from their sha256")
        if absent := [level for level in levels if level not in cached_levels]:
            raise CheckpointError(f"it was made without --levels {' '.join(absent)}")
        for name, stamp in image_stamps(records).items():
            if name not in stamps:
                raise CheckpointError(f"it does not contain {name}")
            if stamp != stamps[name]:
                raise CheckpointError(f"the image of {name} has changed since")

    def predict(self, batch: Sample) -> Prediction:
        """The outputs for these frames, or for their mirror images where the batch is mirrored."""
        rows = [self._store.rows[name] for name in batch["name"]]
        sides = batch["mirrored"].long().tolist() if "mirrored" in batch else [0] * len(rows)
        outputs = {
            name: torch.from_numpy(np.asarray(array[rows, sides])).to(batch["image"])
            for name, array in self._arrays.items()
        }
        return Prediction(outputs.pop("depth"), None, outputs)

    def feature_channels(self) -> dict[str, int]:
        """Channels of the requested levels."""
        return {name: array.shape[2] for name, array in self._arrays.items() if name != "depth"}

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of the requested levels."""
        return {name: (array.shape[3], array.shape[4]) for name, array in self._arrays.items() if name != "depth"}


def fill_cache(
    teacher: LiveTeacher,
    data: DataConfig,
    frames: DepthDataset,
    levels: Sequence[str],
    loading: dict[str, int],
    device: torch.device,
) -> Path:
    """Predict every frame and its mirror image once and store the outputs.

    The cache grows beside its place and is moved there when complete. An interrupted one is resumed if its frames and
    levels are the same.

    Args:
        teacher: predicts.
        data: the frames' settings.
        frames: with images.
        levels: features to store besides the depth.
        loading: ``batch_size`` and ``num_workers`` of the loader.
        device: device of the inference.

    Returns:
        The folder.

    Raises:
        ConfigError: the teacher lacks these features, or the disk has too little space.
        DataError: a row cannot be read, or an output exceeds the range of float16.
    """
    if absent := [level for level in levels if level not in teacher.feature_channels()]:
        raise ConfigError(f"--levels {' '.join(absent)}: this teacher does not return them; omit --levels")
    folder = teacher_cache_folder(teacher, data)
    try:
        CachedTeacher(folder, frames.records, levels, verify=True)
    except CheckpointError as error:
        if folder.exists():
            log.info("%s is replaced: %s", folder, error)
    else:
        log.info("%s already holds the teacher's outputs for all %d frames", folder, len(frames))
        return folder
    stamps = image_stamps(frames.records)
    remedy = "store fewer --levels, or set ECHODEPTH_CACHE to a larger disk"
    writer = ResumableWriter(folder, {"levels": list(levels), "frames": stamps}, ("depth", *levels), stamps, remedy)
    life = loader_life(loading.get("num_workers", 0))
    loader = DataLoader(Subset(frames, writer.missing()), worker_init_fn=life, **loading)  # type: ignore[arg-type]
    with tqdm(total=len(frames), initial=writer.done, desc="Caching", unit="frame", disable=None) as bar:
        for batch in loader:
            batch["image"] = batch["image"].to(device)
            mirrored = flip_left_right(batch, torch.ones(len(batch["name"]), dtype=torch.bool))
            outputs = [_by_array(teacher.predict(each), levels) for each in (batch, mirrored)]
            writer.write(batch["name"], _to_half(batch["name"], *outputs))
            bar.update(len(batch["name"]))
    writer.finish()
    log.info("the teacher's outputs for all %d frames are in %s", len(frames), folder)
    return folder


def image_stamps(records: Sequence[Record]) -> dict[str, list[int] | None]:
    """Size in bytes and modification time of each frame's image, by the frame's name.

    Raises:
        DataError: two frames have the same name.
    """
    stamps: dict[str, list[int] | None] = {}
    for record in records:
        if record.name in stamps:
            raise DataError(f"{record.source}: another frame is called {record.name} too; rename its files")
        assert record.image is not None
        stamps[record.name] = file_stamp(record.image)
    return stamps


def _by_array(prediction: Prediction, levels: Sequence[str]) -> dict[str, Tensor]:
    return {"depth": prediction.depth, **{level: prediction.features[level] for level in levels}}


def _to_half(names: Sequence[str], original: dict[str, Tensor], mirrored: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """The outputs [B,2,C,H,W] as stored."""
    stored = {name: torch.stack([original[name], mirrored[name]], 1).half().cpu().numpy() for name in original}
    for name, values in stored.items():
        if not np.isfinite(values).all():
            raise DataError(f"the teacher's {name} of {', '.join(names)} has values that float16 does not hold")
    return stored
