"""What a teacher says of every training frame, kept on disk: looked at once, it costs a student's epochs nothing.

A folder under ``cache_folder()/teachers`` holds ``index.json``, ``depth.npy`` and an array per feature level, each of
float16 [frames, 2, channels, rows, columns]: every frame as it is, and mirrored. Its name is a hash of the teacher's
settings and weights and of what decides how a picture is read; the index says which frames' pictures were seen.

float16 rounds by 2^-11 of the value at most: 5 mm at 10 m, and alike for inverse depth of any unit, which whole
millimetres would not be.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import CheckpointError, ConfigError, DataError
from echodepth.data.augmentation import flip_left_right
from echodepth.data.config import DataConfig, cache_folder
from echodepth.data.dataset import DepthDataset
from echodepth.data.sample import Record, Sample
from echodepth.distillation.teachers.frozen import LiveTeacher, Teacher
from echodepth.models.layers import Prediction

log = logging.getLogger(__name__)
FORMAT = 1
"""Raised when a teacher would say something else of the same picture: an older cache is then no more found."""


def cache_of(teacher: LiveTeacher, data: DataConfig) -> Path:
    """The folder in which a teacher's views of a dataset lie, if they are there.

    Of the data settings it depends on those that decide what a picture looks like. Which frames are in a split is
    told by the index.
    """
    told = [FORMAT, teacher.fingerprint, data.dataset, str(data.root.resolve()), data.image_size]
    return cache_folder() / "teachers" / hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


class CachedTeacher(Teacher):
    """A teacher that remembers. It says what it said of the clean picture, whatever colours a batch was given.

    Args:
        folder: of ``cache_of``, complete.
        records: the frames that it will be asked about, with their pictures.
        levels: the features that it will be asked for.

    Raises:
        CheckpointError: something of that is missing, or a picture has changed since.
    """

    def __init__(self, folder: Path, records: Sequence[Record], levels: Sequence[str]) -> None:
        try:
            index = json.loads((folder / "index.json").read_text())
            kept, seen = index["levels"], index["frames"]
            wanted = ["depth", *(level for level in levels if level in kept)]
            self._arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in wanted}
            complete = all(len(array) == len(seen) for array in self._arrays.values())
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder} is damaged: {error!r}") from error
        if not complete:
            raise CheckpointError(f"{folder} is damaged: its arrays are not as long as its index")
        if lacking := [level for level in levels if level not in kept]:
            raise CheckpointError(f"it was made without --levels {' '.join(lacking)}")
        for name, picture in pictures(records).items():
            if name not in seen:
                raise CheckpointError(f"it does not know {name}")
            if picture != seen[name]:
                raise CheckpointError(f"the picture of {name} has changed since")
        self._rows = {name: row for row, name in enumerate(seen)}

    def predict(self, batch: Sample) -> Prediction:
        """What was said of these frames, or of their mirror images."""
        rows = [self._rows[name] for name in batch["name"]]
        sides = batch["mirrored"].long().tolist() if "mirrored" in batch else [0] * len(rows)
        said = {
            name: torch.from_numpy(np.asarray(array[rows, sides])).to(batch["image"])
            for name, array in self._arrays.items()
        }
        return _view(said)

    def feature_channels(self) -> dict[str, int]:
        """Of the levels that were asked for."""
        return {name: array.shape[2] for name, array in self._arrays.items() if name != "depth"}

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """Of the levels that were asked for."""
        return {name: (array.shape[3], array.shape[4]) for name, array in self._arrays.items() if name != "depth"}


def fill_cache(
    teacher: LiveTeacher,
    data: DataConfig,
    frames: DepthDataset,
    levels: Sequence[str],
    loading: dict[str, int],
    device: torch.device,
) -> Path:
    """Look at every frame and its mirror image once, and keep what the teacher says.

    It grows beside its place and is moved there when whole. One that was interrupted goes on where it was; one of other
    frames or levels is begun anew.

    Args:
        teacher: is looked at.
        data: the frames' settings.
        frames: with images.
        levels: of the features that are kept beside the depth.
        loading: ``batch_size`` and ``num_workers`` of the loader.
        device: where to look.

    Returns:
        The folder.

    Raises:
        ConfigError: the teacher has no such features, or the disk no room.
        DataError: a row cannot be read, or what the teacher says is no number that float16 holds.
    """
    if lacking := [level for level in levels if level not in teacher.feature_channels()]:
        raise ConfigError(f"--levels {' '.join(lacking)}: this teacher does not show them; leave --levels out")
    folder = cache_of(teacher, data)
    try:
        CachedTeacher(folder, frames.records, levels)
    except CheckpointError as error:
        if folder.exists():
            log.info("%s is made anew: %s", folder, error)
    else:
        log.info("%s already holds what this teacher says of all %d frames", folder, len(frames))
        return folder
    growing = _Growing(folder.with_name(f"{folder.name}.unfinished"), frames.records, levels)
    loader = DataLoader(Subset(frames, growing.missing()), **loading)  # type: ignore[arg-type]
    with tqdm(total=len(frames), initial=growing.done, desc="Looking", unit="frame", disable=None) as bar:
        for batch in loader:
            batch["image"] = batch["image"].to(device)
            mirrored = flip_left_right(batch, torch.ones(len(batch["name"]), dtype=torch.bool))
            growing.add(batch["name"], teacher.predict(batch), teacher.predict(mirrored))
            bar.update(len(batch["name"]))
    growing.move_to(folder)
    log.info("what this teacher says of all %d frames is in %s", len(frames), folder)
    return folder


def pictures(records: Sequence[Record]) -> dict[str, list[int]]:
    """Size in bytes and time of change of each frame's picture, by the frame's name.

    Raises:
        DataError: two frames have one name.
    """
    found: dict[str, list[int]] = {}
    for record in records:
        if record.name in found:
            raise DataError(f"{record.source}: another frame is called {record.name} too; rename its files")
        assert record.image is not None
        status = record.image.stat()
        found[record.name] = [status.st_size, status.st_mtime_ns]
    return found


def _parts(view: Prediction, levels: Sequence[str]) -> dict[str, Tensor]:
    """What is kept of a view, by the name of its array."""
    return {"depth": view.depth, **{level: view.features[level] for level in levels}}


def _view(parts: dict[str, Tensor]) -> Prediction:
    """The way back."""
    return Prediction(parts["depth"], None, {name: part for name, part in parts.items() if name != "depth"})


class _Growing:
    """A cache in the making: its arrays, and which frames are in them."""

    def __init__(self, folder: Path, records: Sequence[Record], levels: Sequence[str]) -> None:
        self.folder = folder
        self.levels = levels
        index: dict[str, Any] = {"levels": list(levels), "frames": pictures(records)}
        self.rows = {name: row for row, name in enumerate(index["frames"])}
        self.arrays: dict[str, np.memmap] = {}
        if not self._goes_on(index):
            shutil.rmtree(folder, ignore_errors=True)
            with atomic_write(folder / "index.json") as unfinished:
                unfinished.write_text(json.dumps(index))
            self.finished = open_memmap(folder / "finished.npy", "w+", bool, (len(self.rows),))

    @property
    def done(self) -> int:
        """How many frames are finished."""
        return int(self.finished.sum())

    def missing(self) -> list[int]:
        """The frames that are not."""
        return np.flatnonzero(~self.finished).tolist()

    def add(self, names: Sequence[str], plain: Prediction, mirrored: Prediction) -> None:
        """Write some frames; only when they are on disk are they finished."""
        views = _parts(plain, self.levels), _parts(mirrored, self.levels)
        said = {name: torch.stack([view[name] for view in views], 1).half().cpu().numpy() for name in views[0]}
        if not self.arrays:
            self._make_room(said)
        rows = [self.rows[name] for name in names]
        for name, values in said.items():
            if not np.isfinite(values).all():
                raise DataError(f"the teacher's {name} of {', '.join(names)} has values that float16 does not hold")
            self.arrays[name][rows] = values
            self.arrays[name].flush()
        self.finished[rows] = True
        self.finished.flush()

    def move_to(self, folder: Path) -> None:
        """Put the whole in its place."""
        shutil.rmtree(folder, ignore_errors=True)
        self.folder.replace(folder)

    def _goes_on(self, index: dict[str, Any]) -> bool:
        """Whether these very frames were begun; if not one of them was finished, the arrays may not be there."""
        try:
            begun = json.loads((self.folder / "index.json").read_text())
            self.finished = open_memmap(self.folder / "finished.npy", "r+")
            if begun != index or not self.finished.any():
                return False
            self.arrays = {name: open_memmap(self.folder / f"{name}.npy", "r+") for name in ("depth", *self.levels)}
        except (OSError, ValueError):
            return False
        return True

    def _make_room(self, said: dict[str, np.ndarray]) -> None:
        """Arrays are written through memory, where a full disk is no error but a crash: ask beforehand."""
        shapes = {name: (len(self.rows), *values.shape[1:]) for name, values in said.items()}
        needed = sum(2 * int(np.prod(shape)) for shape in shapes.values())
        free = shutil.disk_usage(self.folder).free
        log.info("%s will hold %.3g GB", self.folder.parent, needed / 1e9)
        if needed > free:
            raise ConfigError(
                f"{self.folder.parent} needs {needed / 1e9:.3g} GB and has {free / 1e9:.3g}: keep fewer --levels, or "
                "set ECHODEPTH_CACHE to a larger disk"
            )
        self.arrays = {
            name: open_memmap(self.folder / f"{name}.npy", "w+", np.float16, shape) for name, shape in shapes.items()
        }
