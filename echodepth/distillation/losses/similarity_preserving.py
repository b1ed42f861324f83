"""Similarity-preserving distillation: frames similar for the teacher are similar for the student (arXiv 1907.09682)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.distillation.losses.base import (
    BOTTLENECK,
    DistillationLoss,
    DistillationLossConfig,
    StudentInfo,
    TeacherInfo,
)
from echodepth.models.layers import Prediction


class SimilarityPreservingLoss(DistillationLoss):
    """Difference of the two networks' similarity matrices over the frames of a batch.

    Args:
        levels: which of x1..x5 and d1..d4; the two networks' maps may differ in shape.
    """

    def __init__(self, levels: Sequence[str]) -> None:
        super().__init__()
        self.levels = tuple(levels)

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Mean squared difference of the [B, B] similarity matrices, mean over levels."""
        losses = [
            F.mse_loss(_similarity(student.features[level]), _similarity(teacher.features[level]))
            for level in self.levels
        ]
        return torch.stack(losses).mean()


def _similarity(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b b"]:
    """Scalar products of the frames' flattened maps, each row scaled to unit norm."""
    flat = features.flatten(1)
    return F.normalize(flat @ flat.T, dim=1)


@DISTILLATION_LOSSES.register
@dataclass(frozen=True, kw_only=True)
class SimilarityPreserving(DistillationLossConfig):
    """Similarity of the frames of a batch, at the bottleneck."""

    name: ClassVar[str] = "affinity"
    weight: ClassVar[str] = "lambda_affinity"
    order: ClassVar[int] = 6

    lambda_affinity: float = 0.0
    """Weight of the similarity-preserving loss: pairwise similarity of a batch's frames at x5 follows the teacher's."""

    def levels(self) -> tuple[str, ...]:
        """x5."""
        return (BOTTLENECK,)

    def build(self, student: StudentInfo, teacher: TeacherInfo) -> SimilarityPreservingLoss:
        """The loss at the bottleneck; it has no layers."""
        return SimilarityPreservingLoss(self.levels())
