"""A trained model as its users meet it: on a device, with the data settings that it remembers."""

import logging
from dataclasses import fields, replace
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from echodepth.core.errors import CheckpointError
from echodepth.data.config import DataConfig, data_config, flag_names
from echodepth.data.dataset_registry import DATASETS

log = logging.getLogger(__name__)


@runtime_checkable
class Backend(Protocol):
    """What turns raw input into depth: a ``DepthModel``, or anything else that knows as much of itself."""

    run: dict[str, Any]
    """What is known of the training, as in ``DepthModel``."""

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
    return str(model.run.get("experiment_name", "unnamed"))


def trained_data(model: Backend) -> DataConfig:
    """The data settings the model was trained with, all of them resolved to numbers.

    A checkpoint of weights alone does not hold them: BatVision V2's defaults are taken then, and said in the log.

    Raises:
        CheckpointError: the model's run names settings that this version does not know.
    """
    settings = model.run.get("data")
    if settings is None:
        log.warning("%s does not say what it was trained on: taken as BatVision V2's defaults", experiment_name(model))
        settings = {"max_depth": model.max_depth}
    if unknown := sorted(set(settings) - flag_names()):
        raise CheckpointError(
            f"{experiment_name(model)} was trained with data settings that this version does not know: "
            f"{', '.join(unknown)}; use the version that trained it ({model.run.get('version', 'unknown')})"
        )
    reader = DATASETS[settings.get("dataset", DataConfig.dataset)]
    own = {field.name for field in fields(reader.config)}  # older runs hold the flags of all datasets
    data = data_config(reader.name, **{name: value for name, value in settings.items() if name in own - {"dataset"}})
    return replace(
        data, image_size=model.image_size, max_depth=data.depth_limit, audio_seconds=data.cut_seconds, skip_bad=False
    )
