"""The data settings that a trained model recorded, for reading further data in the same way."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.flags import build
from echodepth.data.config import DataConfig
from echodepth.data.dataset_registry import DATASETS, data_config

log = logging.getLogger(__name__)
DEFAULT_DATASET = "batvisionv2"


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
        settings = {"dataset": DEFAULT_DATASET, "max_depth": model.max_depth}
    try:
        data = build(DATASETS[settings.get("dataset", DEFAULT_DATASET)].config, settings)
    except ConfigError as error:
        raise CheckpointError(
            f"{name} was trained with data settings that this version does not know ({error}); use the version that "
            f"trained it ({model.run.version or 'unknown'})"
        ) from error
    return replace(
        data, image_size=model.image_size, max_depth=data.depth_limit, audio_seconds=data.cut_seconds, skip_bad=False
    )


def read_from(trained: DataConfig, dataset: str | None, data_dir: Path | str | None) -> DataConfig:
    """The same settings for another dataset or another folder, where one is named.

    Raises:
        ConfigError: there is no such dataset.
    """
    if dataset is not None and dataset != trained.dataset:
        # Neither the folder nor the locations of one dataset mean anything in another.
        shared = {name: getattr(trained, name) for name in ("image_size", "max_depth", "audio_start", "audio_seconds")}
        trained = data_config(dataset, **shared)
    return trained if data_dir is None else replace(trained, data_dir=data_dir)
