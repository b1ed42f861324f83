"""The backend interface, and the data settings that a trained model carries."""

import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from echodepth.core.errors import CheckpointError
from echodepth.data.config import DataConfig, DatasetName, address

log = logging.getLogger(__name__)


@runtime_checkable
class Backend(Protocol):
    """A model in some runtime: a ``DepthModel`` in PyTorch, or an exported file."""

    run: dict[str, Any]
    """Record of the training run, as in ``DepthModel``."""

    @property
    def input_key(self) -> str:
        """``image`` or ``audio``."""

    @property
    def image_size(self) -> int:
        """Side S of the depth map, in pixels."""

    @property
    def max_depth(self) -> float:
        """Upper end of the prediction, in metres."""

    def predict(self, raw: Tensor) -> tuple[Tensor, Tensor | None, Any]:
        """Predict depth.

        Args:
            raw: images [B,3,S,S] in 0..1, or waveforms [B,2,T] cut as in training, on the CPU.

        Returns:
            Depth [B,1,S,S] in metres, its uncertainty [B,1,S,S] (Laplace scale, metres) or None, and any features.
        """


def experiment_name(model: Backend) -> str:
    """Name of the experiment that trained the model."""
    return str(model.run.get("experiment_name", "unnamed"))


def trained_data(model: Backend) -> DataConfig:
    """Data settings that the model was trained with, with all defaults resolved to numbers.

    A checkpoint that holds weights only does not record them. BatVision V2's defaults are used then, with a warning.

    Raises:
        CheckpointError: the run record holds settings that this version does not know.
    """
    settings = model.run.get("data")
    if settings is None:
        log.warning("%s records no data settings: the defaults of BatVision V2 are used", experiment_name(model))
        settings = {"max_depth": model.max_depth}
    if unknown := sorted(set(settings) - {field.name for field in fields(DataConfig)}):
        raise CheckpointError(
            f"{experiment_name(model)} was trained with data settings that this version does not know: "
            f"{', '.join(unknown)}; use the version that trained it ({model.run.get('version', 'unknown')})"
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
    """The same settings with another dataset or root folder; None keeps the trained one."""
    if dataset is not None and dataset != trained.dataset:
        # The folder and the locations of one dataset do not exist in another.
        trained = replace(trained, dataset=dataset, data_dir=None, locations=(), leave_out=None)
    return trained if data_dir is None else replace(trained, data_dir=data_dir)
