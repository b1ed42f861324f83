"""Teachers: frozen sources of depth and features. A teacher is never trained and is part of no checkpoint."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from echodepth.core.errors import ConfigError
from echodepth.data.sample import Sample
from echodepth.models.checkpoint import DepthModel, load_depth_model
from echodepth.models.conv_bn_fusion import fused_copy
from echodepth.models.layers import Prediction
from echodepth.models.model_digest import weights_digest

DepthKind = Literal["metric", "up_to_scale", "affine_inverse"]
"""What a teacher's depth means: metres; metres up to an unknown factor (trained with other cameras); or inverse depth
up to an unknown factor and offset."""


class Teacher(ABC):
    """A frozen source of predictions for a batch.

    It is deliberately no ``nn.Module``: the task that holds it passes it to no optimiser, ``train()``,
    ``state_dict()`` or weight averaging.
    """

    @abstractmethod
    def predict(self, batch: Sample) -> Prediction:
        """Depth, uncertainty and features, without gradient, on the device and in the precision of the images."""

    @abstractmethod
    def feature_channels(self) -> dict[str, int]:
        """Channels of each feature map by level; empty for a teacher without features."""

    @abstractmethod
    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of each feature map by level."""

    @property
    def has_uncertainty(self) -> bool:
        """Whether its predictions include uncertainty."""
        return False

    def __deepcopy__(self, memo: dict[int, Any]) -> "Teacher":
        # Weight averaging copies the whole task; a second copy of the teacher would only take memory.
        return self


class LiveTeacher(Teacher):
    """A teacher that runs a network for every batch.

    Args:
        model: is frozen.
        settings: plain values that determine the predictions together with the weights.

    Attributes:
        model: the frozen network.
        depth_kind: what its depth means.
    """

    depth_kind: DepthKind

    def __init__(self, model: nn.Module, settings: Mapping[str, Any]) -> None:
        self.model = model.eval().requires_grad_(False)
        self._settings = settings

    @cached_property
    def fingerprint(self) -> str:
        """Hash of settings and weights: teachers with equal fingerprints make equal predictions."""
        return weights_digest([type(self).__name__, self._settings], self.model.state_dict())


class FrozenTeacher(LiveTeacher):
    """An RGB depth model of this project as a teacher.

    Args:
        model: a trained model that takes images.

    Raises:
        ConfigError: the model takes audio.
    """

    model: DepthModel
    depth_kind = "metric"

    def __init__(self, model: DepthModel) -> None:
        if model.input_key != "image":
            name = type(model.network).__name__
            raise ConfigError(f"--teacher must be a model of RGB images: {name} takes {model.input_key}, not images")
        super().__init__(model, asdict(model.spec))

    @classmethod
    def load(cls, checkpoint: str | Path) -> "FrozenTeacher":
        """Load a teacher; arguments and errors are those of ``load_depth_model``."""
        return cls(load_depth_model(checkpoint))

    @property
    def has_uncertainty(self) -> bool:
        """Whether the model has an uncertainty head."""
        return self.model.has_uncertainty

    def feature_channels(self) -> dict[str, int]:
        """Channels of x1..x5 and d1..d4."""
        return self.model.feature_channels()

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of x1..x5 and d1..d4."""
        return self.model.feature_sizes()

    @cached_property
    def _fused(self) -> DepthModel:
        """Copy with fused batch norms, for inference; the loaded model stays unchanged for the fingerprint."""
        return fused_copy(self.model)

    @torch.no_grad()
    def predict(self, batch: Sample) -> Prediction:
        """Depth, uncertainty if the model has it, and the nine feature maps."""
        image = batch["image"]
        return self._fused.to(image).predict(image)
