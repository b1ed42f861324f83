"""Teachers: they see, and only answer. A teacher is looked at, never trained, moved into no checkpoint."""

import copy
import hashlib
import json
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
from echodepth.distillation.losses.base import Prediction
from echodepth.models.checkpoint import DepthModel, load_model
from echodepth.models.conv_bn_fusion import fuse_conv_bn

DepthKind = Literal["metres", "proportions", "disparity"]
"""What a network's depth means: metres of this data; metres of other cameras, right up to a factor; or inverse depth,
right up to a factor and an offset."""
HUGGING_FACE = "hf:"


class Teacher(ABC):
    """What a student is shown of a batch, whoever says it.

    Not an ``nn.Module`` on purpose: a student's task that holds it shows it to no optimiser, no ``train()``, no
    ``state_dict()`` and no averaging of weights.
    """

    @abstractmethod
    def predict(self, batch: Sample) -> Prediction:
        """Depth, and the features there are, on the images' own device and in their precision; without gradient."""

    @abstractmethod
    def feature_channels(self) -> dict[str, int]:
        """Channels of each feature map by level; empty where a teacher shows its depth alone."""

    @abstractmethod
    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of each feature map by level."""

    @property
    def uncertainty(self) -> bool:
        """Whether it says how far off it expects to be."""
        return False

    def __deepcopy__(self, memo: dict[int, Any]) -> "Teacher":
        # Weight averaging copies the whole task; a second teacher would be memory for nothing.
        return self


class LiveTeacher(Teacher):
    """A teacher that is a network.

    Args:
        model: is frozen.
        settings: plain values that, with the weights, decide what it says.

    Attributes:
        model: the frozen network.
        answer: what its depth means.
    """

    answer: DepthKind

    def __init__(self, model: nn.Module, settings: Mapping[str, Any]) -> None:
        self.model = model.eval().requires_grad_(False)
        self._settings = settings

    @cached_property
    def fingerprint(self) -> str:
        """Hash of settings and weights: two teachers with the same one say the same."""
        digest = hashlib.sha256(json.dumps([type(self).__name__, self._settings], sort_keys=True).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


class FrozenTeacher(LiveTeacher):
    """An RGB depth model of ours that only answers.

    Args:
        model: a trained model that takes images.

    Raises:
        ConfigError: the model takes sound.
    """

    model: DepthModel
    answer = "metres"

    def __init__(self, model: DepthModel) -> None:
        if model.input_key != "image":
            raise ConfigError(f"a teacher must see: {type(model.network).__name__} takes {model.input_key}, not images")
        super().__init__(model, asdict(model.spec))

    @classmethod
    def load(cls, checkpoint: str | Path) -> "FrozenTeacher":
        """Read a teacher; what ``checkpoint`` may be, and the errors, are those of ``load_model``."""
        return cls(load_model(checkpoint))

    @property
    def uncertainty(self) -> bool:
        """As the model was trained."""
        return self.model.has_uncertainty

    def feature_channels(self) -> dict[str, int]:
        """Of x1..x5 and d1..d4."""
        return self.model.feature_channels()

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """Of x1..x5 and d1..d4."""
        return self.model.feature_sizes()

    @cached_property
    def _folded(self) -> DepthModel:
        """What answers; the model itself stays as it was loaded, for the fingerprint."""
        folded = copy.deepcopy(self.model)
        fuse_conv_bn(folded)
        return folded

    @torch.no_grad()
    def predict(self, batch: Sample) -> Prediction:
        """Depth, uncertainty and the nine feature maps."""
        image = batch["image"]
        depth, uncertainty, features = self._folded.to(image).predict(image)
        return Prediction(depth, features, uncertainty)


def load_teacher(name: str) -> LiveTeacher:
    """Read the teacher that ``--teacher`` names: one of ours, or after ``hf:`` a depth model of Hugging Face.

    Raises:
        CheckpointError: there is no such model, or it cannot be read.
        ConfigError: it does not see, or cannot be understood.
    """
    if not name.startswith(HUGGING_FACE):
        return FrozenTeacher.load(name)
    from echodepth.distillation.teachers.huggingface import HuggingFaceTeacher

    return HuggingFaceTeacher.load(name.removeprefix(HUGGING_FACE))
