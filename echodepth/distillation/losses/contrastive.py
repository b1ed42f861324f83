"""Contrastive distillation: a frame's audio and image features match among the batch (arXiv 1910.10699, 1807.03748)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.distillation.losses.base import (
    BOTTLENECK,
    DistillationLoss,
    DistillationLossConfig,
    StudentInfo,
    TeacherInfo,
)
from echodepth.models.layers import Prediction


class ContrastiveLoss(DistillationLoss):
    """InfoNCE between pooled and projected features of student and teacher; the other frames are the negatives.

    Args:
        level: whose mean over positions is compared.
        student_channels: channels of the student's map by level.
        teacher_channels: channels of the teacher's map by level.
        width: dimensions of the common embedding.
        temperature: of the softmax over the batch.
    """

    def __init__(
        self,
        level: str,
        student_channels: Mapping[str, int],
        teacher_channels: Mapping[str, int],
        width: int = 64,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        self.level = level
        self.temperature = temperature
        self.from_student = nn.Linear(student_channels[level], width)
        self.from_teacher = nn.Linear(teacher_channels[level], width)

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Cross-entropy of matching each frame, from student to teacher and back; 0 for a batch of one."""
        student_code = F.normalize(self.from_student(student.features[self.level].mean(dim=(2, 3))), dim=1)
        teacher_code = F.normalize(self.from_teacher(teacher.features[self.level].mean(dim=(2, 3))), dim=1)
        logits = student_code @ teacher_code.T / self.temperature
        labels = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


@DISTILLATION_LOSSES.register
@dataclass(frozen=True, kw_only=True)
class Contrastive(DistillationLossConfig):
    """InfoNCE at the bottleneck."""

    name: ClassVar[str] = "contrast"
    weight: ClassVar[str] = "lambda_contrast"
    order: ClassVar[int] = 7

    lambda_contrast: float = 0.0
    """Weight of the contrastive loss: a frame's audio features match its image features among the batch, at x5."""

    def levels(self) -> tuple[str, ...]:
        """x5."""
        return (BOTTLENECK,)

    def build(self, student: StudentInfo, teacher: TeacherInfo) -> ContrastiveLoss:
        """The loss at the bottleneck, with a projection for each network."""
        return ContrastiveLoss(BOTTLENECK, student.feature_channels(), teacher.feature_channels())
