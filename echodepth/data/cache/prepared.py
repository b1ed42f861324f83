"""Prepared splits: arrays at the training size that give the same samples as the files, much faster.

A prepared split is a folder of ``.npy`` files and an ``index.json``::

    image.npy        [N,3,S,S] uint8    audio.npy             [N,2,T]   float32   waveforms as cut from the files
    depth.npy        [N,S,S]   uint16   spectrogram_<id>.npy  [N,C,S,S] float16   of a front end with these settings
    depth_exact.npy  [N]       bool     whether a frame's depth map is stored without rounding

Depth is stored in the dataset's own units and images have 8 bits, so that samples are bit-equal to those of the files;
the depth of BatVision V1, which has fractions of millimetres, is rounded to whole ones. Spectrograms are rounded to
half precision, by 0.025 dB at most. A folder is found by its settings, and valid as long as the sizes and modification
times of the source files stay unchanged. The index holds the digests of the arrays; ``write_prepared`` writes damaged
ones again.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from echodepth.core.array_store import (
    INDEX,
    ArrayStore,
    allocate,
    damaged_arrays,
    fingerprint,
    read_index,
    short_hash,
    write_index,
    write_rows,
)
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.run_paths import cache_folder
from echodepth.core.schema import parse
from echodepth.core.workers import parallel_map
from echodepth.data.cache.decoder import PreparedDecoder
from echodepth.data.cache.packing import MAX_UINT16, FrontEndTransform, encode
from echodepth.data.config import SOURCE_FLAGS, DataConfig
from echodepth.data.dataset import DepthDataset, list_split
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.decoder import Decoder
from echodepth.data.label_subset import ALL_LABELS, LabelSubset
from echodepth.data.records import Modality, Record, Split

log = logging.getLogger(__name__)
FORMAT = 4
CHUNK = 16
"""Number of frames that a worker decodes at a time."""
_DEPTH_ARRAYS = ("depth", "depth_exact")


@dataclass(frozen=True)
class AudioCacheFormat:
    """The form in which audio is stored: waveforms, or the spectrograms of a front end.

    Attributes:
        front_end: all settings of the front end; None stores waveforms.
        transform: the front end, needed for writing only.
    """

    front_end: Mapping[str, Any] | None = None
    transform: FrontEndTransform | None = field(default=None, compare=False)

    @property
    def sample_key(self) -> str:
        """Key of the audio in a sample."""
        return "audio" if self.front_end is None else "spectrogram"

    @property
    def array(self) -> str:
        """Name of the array."""
        return "audio" if self.front_end is None else f"spectrogram_{short_hash(dict(self.front_end), 8)}"

    def array_of(self, modality: Modality) -> str:
        """Name of the array of any modality."""
        return self.array if modality == "audio" else modality


def prepared_folder(config: DataConfig, split: Split) -> Path:
    """Folder of a prepared split in the cache; its name depends on the settings."""
    return cache_folder() / "prepared" / f"{config.root.name}_{split}_{short_hash(_settings(config, split))}"


def _settings(config: DataConfig, split: Split) -> dict[str, Any]:
    # A command's config is a DataConfig with other flags: only those of the data count.
    settings = {"format": FORMAT, "split": split} | {
        each.name: getattr(config, each.name)
        for each in fields(DATASETS[config.dataset].config)
        if each.name not in SOURCE_FLAGS and hasattr(config, each.name)
    }
    # Part of the format for every dataset.
    settings.setdefault("depth_scale", 5000.0)
    # Defaults are resolved to numbers, as a trained model records them.
    settings |= {"data_dir": config.root.resolve(), "max_depth": config.depth_limit}
    settings["audio_seconds"] = config.cut_seconds
    # In the form in which JSON returns them, for comparison with the index.
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return plain


def _source_fingerprint(records: list[Record], decoder: Decoder) -> str:
    # Rows are found by their names, which an older version may have given otherwise.
    names = short_hash([record.name for record in records])
    return f"{names} {fingerprint(path for record in records for path in decoder.files(record))}"


def open_prepared(
    config: DataConfig,
    split: Split,
    modalities: tuple[Modality, ...],
    audio_format: AudioCacheFormat,
    labels: LabelSubset = ALL_LABELS,
) -> DepthDataset | None:
    """Open a prepared split.

    Args:
        config: dataset, image size and audio cut.
        split: train, val or test.
        modalities: contents of a sample.
        audio_format: the form of the audio, if it is among them.
        labels: the share of the split's depth that is used.

    Returns:
        The split; None if it was not prepared with these settings, or its files have changed since.

    Raises:
        DataError: the dataset's lists are missing or incomplete, or an array is damaged.
    """
    folder = prepared_folder(config, split)
    if not is_prepared(config, split):
        return None
    try:
        index = _read_index(folder)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged_error(config, split, INDEX) from error
    needed = {audio_format.array_of(modality) for modality in modalities}
    if needed - {*index["arrays"]}:
        return None
    reader = DATASETS[config.dataset]
    records, files_decoder = list_split(config, split, reader.modalities)
    if index["stamp"] != _source_fingerprint(records, files_decoder):
        return None
    if damaged := damaged_arrays(folder, needed | ({"depth_exact"} if "depth" in needed else set()), config.verify):
        raise _damaged_error(config, split, f"{damaged[0]}.npy")
    store = ArrayStore(folder, index["arrays"], index["names"])
    # Bad rows were skipped when the split was prepared.
    records = [record for record in records if record.name in store.rows]
    shared = {each.name: getattr(files_decoder, each.name) for each in fields(Decoder)} | {"modalities": modalities}
    decoder = PreparedDecoder(
        **shared, store=store, depth_units=reader.depth_units(config), audio_array=audio_format.array
    )
    labelled = labels.labelled(records)
    dataset = DepthDataset(labels.select(records, labelled), decoder, labelled=labelled)
    dataset.bad_rows = list(index["bad_rows"])
    return dataset


def _damaged_error(config: DataConfig, split: Split, file: str) -> DataError:
    return DataError(
        f"{prepared_folder(config, split) / file} is damaged, its contents differ from their sha256: `echodepth "
        f"prepare {config.as_flags()} --splits {split}` writes it again, and --use_prepared False reads the files"
    )


def is_prepared(config: DataConfig, split: Split) -> bool:
    """Whether the split was prepared with these settings; its files may have changed since."""
    return (prepared_folder(config, split) / INDEX).is_file()


def rounding(dataset: DepthDataset) -> str | None:
    """How a prepared split may differ from its files, for messages; None if all its samples are bit-equal to theirs."""
    decoder = dataset.decoder
    assert isinstance(decoder, PreparedDecoder)
    if dataset.bad_rows:
        return f"{len(dataset.bad_rows)} bad rows of any kind of file were left out when it was prepared"
    if "audio" in decoder.modalities and decoder.audio_array != "audio":
        return "prepared spectrograms are rounded to half precision"
    if "depth" in decoder.modalities and not decoder.store.arrays["depth_exact"].all():
        return f"prepared depth is rounded to 1/{decoder.depth_units:g} m"
    return None


@dataclass(frozen=True)
class _Index:
    """The index of a prepared split."""

    settings: dict[str, Any]
    stamp: str
    arrays: list[str]
    names: list[str]
    bad_rows: list[str]


def _read_index(folder: Path) -> dict[str, Any]:
    """The index of a prepared split; an OSError or ValueError if there is none."""
    parse(_Index, index := read_index(folder))
    return index


def _find_valid(folder: Path, stamp: str) -> dict[str, Any] | None:
    """The index of a split whose source files have this stamp; None if there is none.

    Every array is checked. Damaged ones are removed, from the index too, with a warning.
    """
    if not (folder / INDEX).is_file():
        return None
    try:
        index = _read_index(folder)
    except (OSError, ValueError, RecursionError):
        log.warning("%s is damaged: the split is written again", folder / INDEX)
        return None
    if index["stamp"] != stamp:
        return None
    damaged = {*damaged_arrays(folder, index["arrays"], verify=True)}
    if not damaged:
        return index
    if damaged & {*_DEPTH_ARRAYS}:
        damaged |= {*_DEPTH_ARRAYS}  # they are written together
    index["arrays"] = [name for name in index["arrays"] if name not in damaged]
    write_index(folder, index, index["arrays"])
    for name in sorted(damaged):
        log.warning("%s is damaged and removed; what these flags need is written again", folder / f"{name}.npy")
        # Processes that map the array keep what they have.
        (folder / f"{name}.npy").unlink(missing_ok=True)
    return index


def write_prepared(config: DataConfig, split: Split, audio_format: AudioCacheFormat, workers: int = 1) -> Path:
    """Decode a split and store its arrays. Whole arrays from earlier calls are kept, damaged ones are written again.

    Args:
        config: dataset, image size and audio cut.
        split: train, val or test.
        audio_format: the form of the audio; arrays of other forms may exist beside it.
        workers: number of processes.

    Returns:
        The folder.

    Raises:
        ConfigError: the depth exceeds 16 bits, or the disk has too little space.
        DataError: a file is missing or, without ``config.skip_bad``, bad.
    """
    reader = DATASETS[config.dataset]
    units = reader.depth_units(config)
    if config.depth_limit * units > MAX_UINT16:
        most = f"prepared depth has 16 bits, up to {MAX_UINT16 / units:g} m for this dataset"
        raise ConfigError(f"--max_depth {config.depth_limit:g}: {most}; reduce --max_depth or train from the files")
    folder = prepared_folder(config, split)
    # Taken before the files are read: a change in the meantime invalidates the prepared split.
    records, decoder = list_split(config, split, reader.modalities)
    stamp = _source_fingerprint(records, decoder)
    index = _find_valid(folder, stamp)
    existing = set(index["arrays"]) if index else set()
    missing = tuple(modality for modality in reader.modalities if audio_format.array_of(modality) not in existing)
    if not missing:
        return folder
    if not index:
        shutil.rmtree(folder, ignore_errors=True)
    dataset = DepthDataset(records, replace(decoder, modalities=missing), config.skip_bad)
    if index:
        # Rows that were bad in another modality have been skipped before.
        rows = {*index["names"]}
        dataset = DepthDataset([record for record in dataset.records if record.name in rows], dataset.decoder)
    arrays = _write_arrays(dataset, folder, units, audio_format, workers)
    contents = {
        "settings": _settings(config, split),
        "stamp": stamp,
        "arrays": sorted({*existing, *arrays}),
        "names": [record.name for record in dataset.records],
        "bad_rows": index["bad_rows"] if index else dataset.bad_rows,
    }
    write_index(folder, contents, contents["arrays"])
    return folder


def _write_arrays(
    dataset: DepthDataset, folder: Path, units: int | float, audio_format: AudioCacheFormat, workers: int
) -> list[str]:
    """Write the arrays of a split. The index does not name them yet, so that an interrupted run repeats them."""
    first = encode([dataset[0]], units, audio_format.array, audio_format.transform)
    shapes = {name: (array.dtype, (len(dataset), *array.shape[1:])) for name, array in first.items()}
    allocate(folder, shapes, "reduce --image_size, or set ECHODEPTH_CACHE to a larger disk")
    chunks = [range(start, min(start + CHUNK, len(dataset))) for start in range(0, len(dataset), CHUNK)]
    tasks = ((dataset.part(rows), rows, folder, units, audio_format) for rows in chunks)
    with tqdm(total=len(dataset), desc=f"prepare {folder.name}", unit="frame", disable=None) as bar:
        for done in parallel_map(_write_chunk, tasks, workers):
            bar.update(done)
    return list(first)


def _write_chunk(part: DepthDataset, rows: range, folder: Path, units: float, audio_format: AudioCacheFormat) -> int:
    """Decode and store some rows, which are all rows of ``part``."""
    write_rows(folder, rows, encode(list(part), units, audio_format.array, audio_format.transform))
    return len(rows)
