"""The frozen teacher: it is looked at, never trained, moved into no checkpoint."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from echodepth.distillation.terms import View
from echodepth.errors import ConfigError
from echodepth.models.store import DepthModel, load_model


class FrozenTeacher:
    """An RGB depth model that only answers.

    Not an ``nn.Module`` on purpose: a student's task that holds it shows it to no optimiser, no ``train()``, no
    ``state_dict()`` and no averaging of weights.

    Args:
        model: a trained model that takes images.

    Raises:
        ConfigError: the model takes sound.
    """

    def __init__(self, model: DepthModel) -> None:
        if model.input_key != "image":
            raise ConfigError(f"a teacher must see: {type(model.network).__name__} takes {model.input_key}, not images")
        self.model = model.eval().requires_grad_(False)

    @classmethod
    def load(cls, checkpoint: str | Path) -> "FrozenTeacher":
        """Read a teacher; what ``checkpoint`` may be, and the errors, are those of ``load_model``."""
        return cls(load_model(checkpoint))

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenTeacher":
        # Weight averaging copies the whole task; a second teacher would be memory for nothing.
        return self

    @torch.no_grad()
    def look(self, image: Float[Tensor, "b 3 h w"]) -> View:
        """Depth, scale and the nine feature maps for images in 0..1, on their own device and in their precision."""
        self.model.to(image)
        depth, scale, features = self.model.predict(image)
        return View(depth, features, scale)
