"""The data settings that a trained model recorded, for reading further data in the same way."""

import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Protocol, runtime_checkable

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.field_of_view import FieldOfView
from echodepth.data.config import DataConfig, data_config, flag_names
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
    """The data settings a model was trained with, all of them resolved to numbers.

    A checkpoint of weights alone does not record them: BatVision V2's defaults are used then, with a warning.

    Raises:
        CheckpointError: the record names a dataset or settings that this version does not know.
    """
    name, settings = model.run.experiment_name, dict(model.run.data)
    if not settings:
        log.warning("%s does not record what it was trained on: BatVision V2's defaults are used", name)
        settings = {"max_depth": model.max_depth}
    if unknown := sorted(set(settings) - flag_names()):
        raise CheckpointError(
            f"{name} was trained with data settings that this version does not know: {', '.join(unknown)}; use the "
            f"version that trained it ({model.run.version or 'unknown'})"
        )
    try:
        reader = DATASETS[settings.pop("dataset", DataConfig.dataset)]
    except ConfigError as error:
        raise CheckpointError(f"{name} was trained on a dataset that is not registered: {error}") from error
    own = {field.name for field in fields(reader.config)}  # older runs hold the flags of all datasets
    data = data_config(reader.name, **{flag: value for flag, value in settings.items() if flag in own})
    return replace(
        data, image_size=model.image_size, max_depth=data.depth_limit, audio_seconds=data.cut_seconds, skip_bad=False
    )


def trained_camera(model: TrainedModel) -> FieldOfView | None:
    """The field of view of the camera a model was trained with, which its depth maps cover.

    A model that does not record it has that of its dataset, with a message; None if there is none either.
    """
    if model.run.field_of_view is not None:
        return model.run.field_of_view
    dataset = model.run.data.get("dataset", DataConfig.dataset)
    assumed = DATASETS[dataset].field_of_view if dataset in DATASETS else None
    if assumed is not None:
        log.info(
            "%s does not record its camera: the field of view of %s, %s, is assumed",
            model.run.experiment_name,
            dataset,
            assumed,
        )
    return assumed
