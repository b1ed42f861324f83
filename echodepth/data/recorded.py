"""The data settings that a trained model recorded, for reading further data in the same way."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from echodepth.core.errors import CheckpointError, ConfigError, EchodepthError
from echodepth.core.field_of_view import FieldOfView
from echodepth.core.flags import flag_types
from echodepth.core.run_paths import RunPaths
from echodepth.core.schema import SchemaError, has_type, read_json
from echodepth.data.config import SOURCE_FLAGS, DataConfig, change_source, data_config, flag_names
from echodepth.data.dataset_registry import DATASETS

log = logging.getLogger(__name__)


@runtime_checkable
class RecordOfRun(Protocol):
    """What a model's run record says of its data."""

    @property
    def experiment_name(self) -> str:
        """Name under which the model was trained."""

    @property
    def version(self) -> str | None:
        """Version that trained it."""

    @property
    def data(self) -> Mapping[str, Any]:
        """Data settings by name; empty when they are unknown."""

    @property
    def field_of_view(self) -> FieldOfView | None:
        """Field of view of the camera of its data; None if it is not recorded."""

    @property
    def read_from(self) -> str | None:
        """File that holds the record, which may be anyone's; None for a run of this process."""


@runtime_checkable
class TrainedModel(Protocol):
    """A trained model, whatever computes it."""

    @property
    def run(self) -> RecordOfRun:
        """Record of its training."""

    @property
    def image_size(self) -> int:
        """Side of the depth map in pixels."""

    @property
    def max_depth(self) -> float:
        """Upper end of the prediction in metres."""


def trained_data(model: TrainedModel) -> DataConfig:
    """The data settings a model was trained with, all of them resolved to numbers; for reading files of one's own.

    A checkpoint of weights alone does not record them: BatVision V2's defaults are used then, with a warning. The
    source is that of training for a run of one's own alone, see ``data_to_read``, which reads a dataset's splits.

    Raises:
        CheckpointError: the record names a dataset or settings that this version does not know.
    """
    name, settings = model.run.read_from or model.run.experiment_name, dict(model.run.data)
    if not settings:
        log.warning("%s does not record what it was trained on: BatVision V2's defaults are used", name)
        settings = {"max_depth": model.max_depth}
    settings.pop("check_hashes", None)  # the former name of --verify
    if unknown := sorted(set(settings) - flag_names()):
        raise CheckpointError(
            f"{name} records data settings of its training that this version does not know: {', '.join(unknown)}; use "
            f"the version that trained it ({model.run.version or 'unknown'})"
        )
    try:
        reader = DATASETS[str(settings.pop("dataset", DataConfig.dataset))[:100]]
    except ConfigError as error:
        raise CheckpointError(f"{name} was trained on a dataset that is not registered: {error}") from error
    own = flag_types(reader.config)  # older runs hold the flags of all datasets
    settings = {flag: value for flag, value in settings.items() if flag in own}
    for flag, value in settings.items():
        if not has_type(value, own[flag]):
            raise CheckpointError(f"{name} records {value!a:.100} as --{flag} of its training: its config is damaged")
    if model.run.read_from is not None:
        trusted = _is_own_source(model.run, reader.name)
        settings = {flag: value for flag, value in settings.items() if flag not in SOURCE_FLAGS} | (
            {"data_dir": settings["data_dir"]} if trusted and "data_dir" in settings else {}
        )
    from echodepth.data.decoder import create_decoder  # scipy, which --help does without

    try:
        data = data_config(reader.name, **settings)
        create_decoder(data, (), "nearest")  # checks their ranges
        return replace(
            data,
            image_size=model.image_size,
            max_depth=data.depth_limit,
            audio_seconds=data.cut_seconds,
            skip_bad=False,
        )
    except ConfigError as error:
        raise CheckpointError(f"{name} records data settings of its training that are out of range: {error}") from error


def data_to_read(model: TrainedModel, dataset: str | None, data_dir: Path | str | None) -> DataConfig:
    """The data settings a model was trained with, for reading a split: of its own dataset, or the one that flags name.

    A model is data, and may come from anyone: its record alone makes nothing read, fetched or written. A local folder
    that it names is read if it is the dataset's default root, or if the run was trained from here, so that its
    ``logs/<experiment>/config.json`` names the same folder. An address is never fetched from, and no cache written.

    Args:
        model: the model.
        dataset: ``--dataset``, if it is given.
        data_dir: ``--data_dir``, if it is given.

    Raises:
        CheckpointError: the record names a dataset or settings that this version does not know.
        ConfigError: only the model's record names the source, and it is not one's own.
    """
    data, name, recorded = trained_data(model), model.run.experiment_name, model.run.data.get("data_dir")
    if model.run.read_from is not None and data_dir is None and dataset in (None, data.dataset):
        if recorded is not None and data.data_dir is None:
            raise ConfigError(
                f"{name} was trained on {recorded!a}, as its own record alone says, and nothing is read because of a "
                "model: give the folder or address of the dataset with --data_dir"
            )
        if dataset is None and not data.root.exists() and not _is_own_source(model.run, data.dataset):
            raise ConfigError(
                f"{name} was trained on {data.dataset}, which is not in {data.root}: give --dataset {data.dataset} to "
                "have it there, or its folder with --data_dir"
            )
    return change_source(data, dataset, data_dir)


def _is_own_source(run: RecordOfRun, dataset: str) -> bool:
    """Whether the user, not the record alone, has chosen the folder that a run was trained on."""
    recorded = run.data.get("data_dir")
    if isinstance(recorded, str) and "://" in recorded:
        return False
    if isinstance(recorded, str) and Path(recorded) == DATASETS[dataset].default_root():
        return True
    try:
        flags = read_json(RunPaths(run.experiment_name).config)["flags"]
        return bool(flags["data_dir"] == recorded)
    except (OSError, SchemaError, LookupError, TypeError, EchodepthError):
        return False


def trained_camera(model: TrainedModel) -> FieldOfView | None:
    """The field of view of the camera a model was trained with, which its depth maps cover.

    A model that does not record it has that of its dataset, with a message; None if there is none either.
    """
    if model.run.field_of_view is not None:
        return model.run.field_of_view
    dataset = str(model.run.data.get("dataset", DataConfig.dataset))
    assumed = DATASETS[dataset].field_of_view if dataset in DATASETS else None
    if assumed is not None:
        log.info(
            "%s does not record its camera: the field of view of %s, %s, is assumed",
            model.run.experiment_name,
            dataset,
            assumed,
        )
    return assumed
