"""Opening a split, whatever its storage."""

import logging

from echodepth.core.errors import ConfigError
from echodepth.core.field_of_view import FieldOfView
from echodepth.data.cache.prepared import AudioCacheFormat, is_prepared, open_prepared, rounding
from echodepth.data.config import DataConfig
from echodepth.data.dataset import DepthDataset, open_dataset
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.images import DepthResize
from echodepth.data.label_subset import ALL_LABELS, LabelSubset
from echodepth.data.provenance import LICENCE, LIMITS, PARTLY_LIMITS, PARTLY_SIMULATED, SIMULATED
from echodepth.data.records import ALL_MODALITIES, Modality, Split
from echodepth.data.split_dataset import SplitDataset
from echodepth.data.streaming.dataset import open_shards
from echodepth.data.streaming.index import is_sharded, read_index

log = logging.getLogger(__name__)
WAVEFORMS = (AudioCacheFormat(),)
"""The form of prepared audio that is bit-equal to the files."""


def open_split(
    config: DataConfig,
    split: Split,
    modalities: tuple[Modality, ...] = ALL_MODALITIES,
    depth_resize: DepthResize = "nearest",
    labels: LabelSubset = ALL_LABELS,
    *,
    prepared: tuple[AudioCacheFormat, ...] = (),
    exact: bool = False,
) -> SplitDataset:
    """Open one split of a dataset: its shards, its prepared arrays where they fit, or its files.

    Args:
        config: dataset, image size and audio cut.
        split: train, val or test.
        modalities: contents of a sample besides its name.
        depth_resize: prepared depth is resized by ``nearest``; any other reads the files.
        labels: the share of the split's depth that is used.
        prepared: audio formats in which a prepared split replaces the files, in order of preference; empty reads the
            files.
        exact: accept a prepared split only if its samples are bit-equal to those of the files.

    Returns:
        The split. The log says when it is a prepared one, and why an existing one is not used.

    Raises:
        ConfigError: a setting is out of range.
        DataError: a file is missing or, without ``config.skip_bad``, unusable.
    """
    dataset: SplitDataset
    if is_sharded(config):
        dataset = open_shards(config, split, modalities, depth_resize, labels)
    else:
        dataset = open_records(config, split, modalities, depth_resize, labels, prepared=prepared, exact=exact)
    if dataset.labelled is not None:
        log.info("%s: %s", split, dataset.labelled.summary)
    return dataset


def open_records(
    config: DataConfig,
    split: Split,
    modalities: tuple[Modality, ...] = ALL_MODALITIES,
    depth_resize: DepthResize = "nearest",
    labels: LabelSubset = ALL_LABELS,
    *,
    prepared: tuple[AudioCacheFormat, ...] = (),
    exact: bool = False,
) -> DepthDataset:
    """``open_split`` with random access; a ConfigError for shards."""
    if prepared and not is_sharded(config) and is_prepared(config, split):
        dataset, message = _find_prepared(config, split, modalities, depth_resize, labels, prepared, exact)
        log.info("%s: %s", split, message)
        if dataset is not None:
            return dataset
    return open_dataset(config, split, modalities, depth_resize, labels)


def _find_prepared(
    config: DataConfig,
    split: Split,
    modalities: tuple[Modality, ...],
    depth_resize: DepthResize,
    labels: LabelSubset,
    prepared: tuple[AudioCacheFormat, ...],
    exact: bool,
) -> tuple[DepthDataset | None, str]:
    """The prepared split if it serves, and what to log."""
    files = "read from the files, not the prepared arrays: "
    if "depth" in modalities and depth_resize != "nearest":
        return None, f"{files}the protocol resizes ({depth_resize}) depth maps of the original size"
    for audio_format in prepared:
        dataset = open_prepared(config, split, modalities, audio_format, labels)
        if dataset is not None and exact and (difference := rounding(dataset)):
            return None, files + difference
        if dataset is not None:
            form = audio_format.sample_key if "audio" in modalities else "images" if "image" in modalities else "depth"
            return dataset, f"prepared {form}"
    return None, f"{files}files have changed since, or the audio has another form; `echodepth prepare` updates them"


def data_provenance(config: DataConfig) -> str | None:
    """Whether a dataset is simulated, as its root or its index of shards says; see ``folder_provenance``.

    Raises:
        ConfigError: no installed library reads this kind of address.
        DataError: the index of shards is unreadable.
    """
    if is_sharded(config):
        return read_index(config).provenance
    return DATASETS[config.dataset].provenance(config.root)


def data_terms(config: DataConfig) -> tuple[str, str | None]:
    """Name and terms of a dataset for model cards, and what a model trained on it is not known to do, if anything.

    Raises:
        ConfigError: no installed library reads this kind of address.
        DataError: the index of shards is unreadable.
    """
    reader, provenance = DATASETS[config.dataset], data_provenance(config)
    if provenance == SIMULATED:
        return LICENCE, LIMITS
    if provenance == PARTLY_SIMULATED:
        return f"{reader.licence}; in part {LICENCE}", PARTLY_LIMITS
    return reader.licence, reader.limits or None


def dataset_camera(config: DataConfig, angles: tuple[float, float] | None = None) -> FieldOfView | None:
    """The field of view of a dataset's camera, from its root or its index of shards; None if it is not known.

    Args:
        config: dataset and root.
        angles: ``--field_of_view``, which replaces that of the dataset.

    Raises:
        ConfigError: an angle is out of range, or no installed library reads this kind of address.
        DataError: ``camera.json`` holds no camera, or the index is unreadable.
    """
    if angles is not None:
        try:
            return FieldOfView(*angles)
        except ConfigError as error:
            raise ConfigError(f"--field_of_view: {error}") from error
    reader = DATASETS[config.dataset]
    if is_sharded(config):
        return read_index(config).field_of_view or reader.field_of_view
    return reader.camera(config.root)
