"""Averaging of a prediction with that of the mirrored input.

The recording of a mirrored room is that of the original with exchanged ears, and its depth map is the mirror image. A
network learns this symmetry only in part. The mean of the prediction for the input, and of the mirrored prediction for
the mirrored input, has it exactly. Its squared error is at most the mean of theirs, because a square is convex. It
takes twice the computation.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from echodepth.models.layers import Prediction


@runtime_checkable
class RawPredictor(Protocol):
    """A model that predicts from raw input, in any runtime."""

    @property
    def input_key(self) -> str:
        """``image`` or ``audio``."""

    def predict(self, raw: Tensor) -> tuple[Tensor, Tensor | None, Any]:
        """Depth [B,1,S,S], its uncertainty or None, and anything else, of images [B,3,H,W] or waveforms [B,2,T]."""


class MirrorAveraged:
    """A model whose prediction is averaged with that of the mirrored input; both pass through it as one batch.

    The predicted uncertainty is averaged as well. It is that of a single prediction: a Laplace scale for the mean would
    need the correlation of both errors, which is not known, and is at most this average.

    Args:
        model: takes batches of any size.
    """

    def __init__(self, model: RawPredictor) -> None:
        self.model = model

    @property
    def input_key(self) -> str:
        """``image`` or ``audio``."""
        return self.model.input_key

    def predict(self, raw: Tensor) -> Prediction:
        """The averages of depth and of uncertainty, in metres, without features; arguments as for the model."""
        depth, uncertainty, _ = self.model.predict(with_mirror_images(raw, self.input_key))
        return Prediction(average_mirrored(depth), None if uncertainty is None else average_mirrored(uncertainty), {})


def with_mirror_images(raw: Tensor, input_key: str) -> Tensor:
    """A batch of images or waveforms, then their mirror images: flipped images, exchanged ears."""
    return torch.cat([raw, raw.flip(-1 if input_key == "image" else -2)])


def average_mirrored(maps: Tensor) -> Tensor:
    """The average of the first half of a batch of maps and of the second half, flipped back."""
    half = maps.shape[0] // 2
    return (maps[:half] + maps[half:].flip(-1)) / 2
