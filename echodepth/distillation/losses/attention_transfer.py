"""Attention transfer: where the features are strong, not their values (arXiv 1612.03928)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.distillation.losses.base import (
    DistillationLoss,
    DistillationLossConfig,
    StudentInfo,
    TeacherInfo,
    resize_like,
)
from echodepth.models.layers import DECODER_LEVELS, Prediction


class AttentionTransferLoss(DistillationLoss):
    """Squared distance of normalised attention maps; an attention map is the mean square over channels.

    Args:
        levels: which of d1..d4, whose maps cover the same image in both networks.
    """

    def __init__(self, levels: Sequence[str]) -> None:
        super().__init__()
        self.levels = tuple(levels)

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Squared distance of the maps, each scaled to unit norm; mean over frames and levels."""
        losses = []
        for level in self.levels:
            student_map, teacher_map = (
                prediction.features[level].square().mean(dim=1, keepdim=True) for prediction in (student, teacher)
            )
            teacher_map = resize_like(teacher_map, student_map)
            difference = F.normalize(student_map.flatten(1)) - F.normalize(teacher_map.flatten(1))
            losses.append(difference.square().sum(dim=1).mean())
        return torch.stack(losses).mean()


@DISTILLATION_LOSSES.register
@dataclass(frozen=True, kw_only=True)
class AttentionTransfer(DistillationLossConfig):
    """Attention maps of the decoder."""

    name: ClassVar[str] = "attention"
    weight: ClassVar[str] = "lambda_attention"
    order: ClassVar[int] = 5

    lambda_attention: float = 0.0
    """Weight of attention transfer: the decoder's features are strong where the teacher's are."""

    def levels(self) -> tuple[str, ...]:
        """d1..d4."""
        return DECODER_LEVELS

    def build(self, student: StudentInfo, teacher: TeacherInfo) -> AttentionTransferLoss:
        """The loss over the decoder's levels; it has no layers."""
        return AttentionTransferLoss(self.levels())
