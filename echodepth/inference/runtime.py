"""A trained model as its users meet it: on a device, with the data settings that it remembers."""

import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from echodepth.core.errors import CheckpointError
from echodepth.data.config import DataConfig, DatasetName, address
from echodepth.models.run_record import RunRecord

log = logging.getLogger(__name__)


@runtime_checkable
class Backend(Protocol):
    """What turns raw input into depth: a ``DepthModel``, or anything else that knows as much of itself."""

    run: RunRecord
    """The record of its training."""

    @property
    def input_key(self) -> str:
        """``image`` or ``audio``."""

    @property
    def image_size(self) -> int:
        """Side of the depth map, in pixels."""

    @property
    def max_depth(self) -> float:
        """Upper end of the prediction, in metres."""

    def predict(self, raw: Tensor) -> tuple[Tensor, Tensor | None, Any]:
        """Depth [B,1,S,S] in metres, how far off it is expected to be, and whatever else.

        Args:
            raw: images [B,3,S,S] in 0..1, or waveforms [B,2,T] as training cut them, on the CPU.
        """


def experiment_name(model: Backend) -> str:
    """The name under which the model was trained."""
    return model.run.experiment_name or "unnamed"


def trained_data(model: Backend) -> DataConfig:
    """The data settings the model was trained with, all of them resolved to numbers.

    A checkpoint of weights alone does not hold them: BatVision V2's defaults are taken then, and said in the log.

    Raises:
        CheckpointError: the model's run names settings that this version does not know.
    """
    settings: dict[str, Any] = dict(model.run.data)
    if not settings:
        log.warning("%s does not say what it was trained on: taken as BatVision V2's defaults", experiment_name(model))
        settings = {"max_depth": model.max_depth}
    if unknown := sorted(set(settings) - {field.name for field in fields(DataConfig)}):
        raise CheckpointError(
            f"{experiment_name(model)} was trained with data settings that this version does not know: "
            f"{', '.join(unknown)}; use the version that trained it ({model.run.version or 'unknown'})"
        )
    data_dir = settings.get("data_dir")
    shard_cache = settings.get("shard_cache")
    locations = tuple(settings.get("locations", ()))
    settings = settings | {"shard_cache": Path(shard_cache) if shard_cache else None}
    data = DataConfig(**{**settings, "data_dir": address(data_dir) if data_dir else None, "locations": locations})
    return replace(
        data, image_size=model.image_size, max_depth=data.depth_limit, audio_seconds=data.cut_seconds, skip_bad=False
    )


def read_from(trained: DataConfig, dataset: DatasetName | None, data_dir: Path | str | None) -> DataConfig:
    """The same settings for another dataset or another folder, where one is named."""
    if dataset is not None and dataset != trained.dataset:
        # Neither the folder nor the locations of one dataset mean anything in another.
        trained = replace(trained, dataset=dataset, data_dir=None, locations=(), leave_out=None)
    return trained if data_dir is None else replace(trained, data_dir=data_dir)
