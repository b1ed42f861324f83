"""A split decoded once: memory-mapped arrays at the training size, which are as good as the files and far faster.

A prepared split is a folder of ``.npy`` files and an ``index.json``, which says what it was made from::

    image.npy  [N,3,S,S] uint8      audio.npy             [N,2,T]   float32   as cut from the files
    depth.npy  [N,S,S]   uint16     spectrogram_<id>.npy  [N,C,S,S] float16   of a front end of these settings

Depth is stored in the dataset's own units, and images have 8 bits, so what comes back is bit-equal to the files (V1's
depth, which has fractions of millimetres, within half of one); spectrograms are rounded to half precision, by 0.025
decibels at most. A folder is found by its settings, and believed as long as no file that it was made from has changed
in size or time since.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.lib.format import open_memmap
from torch import Tensor
from tqdm import tqdm

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError
from echodepth.data.cache.decoder import Prepared, PreparedDecoder
from echodepth.data.config import SOURCE_FLAGS, DataConfig, Split, cache_folder
from echodepth.data.dataset import Decoder, DepthDataset, list_split, open_dataset
from echodepth.data.label_subset import ALL_LABELS, LabelSubset
from echodepth.data.sample import ALL_MODALITIES, Modality, Record, Sample

FORMAT = 1
CHUNK = 16
"""Frames that a worker decodes at a time."""
LARGEST = 65535
"""Of 16 bits."""
Listen = Callable[[Tensor], Tensor]
"""Waveforms [B,2,T] to what the network hears, [B,C,S,S]."""


@dataclass(frozen=True)
class AudioCacheFormat:
    """A form in which sound is kept.

    Attributes:
        front_end: all settings of the front end whose spectrograms are kept; None keeps the waveforms.
        listen: that front end.
    """

    front_end: Mapping[str, Any] | None = None
    listen: Listen | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """As a sample names its part."""
        return "audio" if self.front_end is None else "spectrogram"

    @property
    def array(self) -> str:
        """The name of its array."""
        if self.front_end is None:
            return "audio"
        said = json.dumps(dict(self.front_end), sort_keys=True)
        return f"spectrogram_{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def parts_of(config: DataConfig) -> tuple[Modality, ...]:
    """What a dataset holds."""
    return ("image", "depth") if config.dataset == "rgbd" else ALL_MODALITIES


def depth_units(config: DataConfig) -> float:
    """Stored units a metre: the files' own."""
    return config.depth_scale if config.dataset == "rgbd" else 1000.0


def folder_of(config: DataConfig, split: Split) -> Path:
    """Where a prepared split lies: below ``ECHODEPTH_CACHE``, under a name that its settings decide."""
    said = json.dumps(_settings(config, split), sort_keys=True)
    return cache_folder() / "prepared" / f"{config.root.name}_{split}_{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _settings(config: DataConfig, split: Split) -> dict[str, Any]:
    # Of the data alone: a run's config is a DataConfig with flags of its own.
    settings = {"format": FORMAT, "split": split} | {
        each.name: getattr(config, each.name) for each in fields(DataConfig) if each.name not in SOURCE_FLAGS
    }
    settings |= {"data_dir": config.root.resolve(), "max_depth": config.depth_limit}
    # As they come back from JSON, to be compared with what was written.
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return plain


def _stamp(records: list[Record], decoder: Decoder) -> str:
    """A digest of all files' names, sizes and times; a file that is not there counts as such."""
    digest = hashlib.sha256()
    for path in (path for record in records for path in decoder.files(record)):
        try:
            status = path.stat()
            digest.update(f"{path}:{status.st_size}:{status.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{path}:missing\n".encode())
    return digest.hexdigest()


def open_prepared(
    config: DataConfig,
    split: Split,
    modalities: tuple[Modality, ...],
    hearing: AudioCacheFormat,
    labels: LabelSubset = ALL_LABELS,
) -> DepthDataset | None:
    """Open a prepared split.

    Args:
        config: which data, and how it was read.
        split: train, val or test.
        modalities: what a sample shall hold.
        hearing: in which form, where sound is among them.
        labels: how much of the split's depth is taken as known.

    Returns:
        The split; None where it was never prepared so, or its files have changed since.

    Raises:
        DataError: the dataset's own tables are missing or incomplete.
    """
    needed = {hearing.array if part == "audio" else part for part in modalities}
    records, source = list_split(config, split, parts_of(config))
    prepared = _fresh(config, split, _stamp(records, source))
    if prepared is None or needed - set(prepared.index["arrays"]):
        return None
    # A bad row was left out when the split was prepared.
    records = [record for record in records if record.name in prepared.place]
    shared = {name: getattr(source, name) for name in Decoder.__dataclass_fields__} | {"modalities": modalities}
    decoder = PreparedDecoder(**shared, prepared=prepared, units=depth_units(config), sound=hearing.array)
    dataset = DepthDataset(labels.kept(records), decoder, labelled=labels.rooms(records))
    dataset.bad_rows = list(prepared.index["bad_rows"])
    return dataset


def _fresh(config: DataConfig, split: Split, stamp: str) -> Prepared | None:
    """What was prepared with these settings from files that look as they do now."""
    folder = folder_of(config, split)
    if not (folder / "index.json").is_file():
        return None
    prepared = Prepared(folder)
    return prepared if prepared.index["stamp"] == stamp else None


def write_prepared(config: DataConfig, split: Split, hearing: AudioCacheFormat, workers: int = 1) -> Path:
    """Decode a split and keep it; what is kept already, of files that have not changed since, is not made again.

    Args:
        config: which data, and how it is read.
        split: train, val or test.
        hearing: in which form sound is kept; other forms may already lie beside it.
        workers: processes.

    Returns:
        The folder.

    Raises:
        ConfigError: the depth does not fit into 16 bits.
        DataError: a file is missing or, without ``config.skip_bad``, bad.
    """
    if config.depth_limit * depth_units(config) > LARGEST:
        raise ConfigError(
            f"--max_depth {config.depth_limit:g}: prepared depth has 16 bits, which end at "
            f"{LARGEST / depth_units(config):g} m here; train from the files"
        )
    folder, modalities = folder_of(config, split), parts_of(config)
    # Before the files are read: one that changes meanwhile makes the split stale.
    stamp = _stamp(*list_split(config, split, modalities))
    prepared = _fresh(config, split, stamp)
    kept = set(prepared.index["arrays"]) if prepared else set()
    missing = tuple(part for part in modalities if (hearing.array if part == "audio" else part) not in kept)
    if not missing:
        return folder
    if not prepared:
        shutil.rmtree(folder, ignore_errors=True)
    dataset = open_dataset(config, split, missing)
    if prepared:
        # Rows that turned out bad in another part were left out then.
        dataset.records = [record for record in dataset.records if record.name in prepared.place]
    arrays = _write_arrays(dataset, folder, depth_units(config), hearing, workers)
    index = {
        "settings": _settings(config, split),
        "stamp": stamp,
        "arrays": sorted({*kept, *arrays}),
        "names": [record.name for record in dataset.records],
        "bad_rows": prepared.index["bad_rows"] if prepared else dataset.bad_rows,
    }
    with atomic_write(folder / "index.json") as path:
        path.write_text(json.dumps(index) + "\n")
    return folder


def _write_arrays(
    dataset: DepthDataset, folder: Path, units: float, hearing: AudioCacheFormat, workers: int
) -> list[str]:
    """Arrays count once the index names them, so that those of an interrupted run are made anew."""
    folder.mkdir(parents=True, exist_ok=True)
    first = _encode([dataset[0]], units, hearing)
    for name, array in first.items():
        open_memmap(folder / f"{name}.npy", "w+", array.dtype, (len(dataset), *array.shape[1:])).flush()
    chunks = [range(start, min(start + CHUNK, len(dataset))) for start in range(0, len(dataset), CHUNK)]
    pool = Parallel(n_jobs=workers, return_as="generator_unordered")
    work = pool(delayed(_write_chunk)(dataset, rows, folder, units, hearing, Path.cwd()) for rows in chunks)
    with tqdm(total=len(dataset), desc=f"prepare {folder.name}", unit="frame", disable=None) as bar:
        for done in work:
            bar.update(done)
    return list(first)


def _write_chunk(
    dataset: DepthDataset, rows: range, folder: Path, units: float, hearing: AudioCacheFormat, home: Path
) -> int:
    # joblib keeps its workers, and they keep the working directory that they were begun in.
    with contextlib.chdir(home):
        for name, array in _encode([dataset[row] for row in rows], units, hearing).items():
            open_memmap(folder / f"{name}.npy", "r+")[rows.start : rows.stop] = array
    return len(rows)


def _encode(samples: list[Sample], units: float, hearing: AudioCacheFormat) -> dict[str, np.ndarray]:
    encoded: dict[str, np.ndarray] = {}
    if "depth" in samples[0]:
        depth = torch.stack([sample["depth"][0] for sample in samples]).numpy()
        valid = torch.stack([sample["valid"][0] for sample in samples]).numpy()
        # What is valid must not be rounded to 0, which says that it is not.
        encoded["depth"] = np.where(valid, np.clip(np.rint(depth * units), 1, LARGEST), 0).astype(np.uint16)
    if "image" in samples[0]:
        image = torch.stack([sample["image"] for sample in samples]).numpy()
        encoded["image"] = np.rint(255 * image).astype(np.uint8)
    if "audio" in samples[0]:
        audio = torch.stack([sample["audio"] for sample in samples])
        heard = audio if hearing.listen is None else hearing.listen(audio).half()
        encoded[hearing.array] = heard.numpy()
    return encoded
