"""Ranking: the depth order of pixel pairs follows the teacher's (arXiv 1604.03901)."""

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
from echodepth.losses.base import MIN_DEPTH
from echodepth.models.layers import Prediction


class RankingLoss(DistillationLoss):
    """Ranking loss over random pixel pairs.

    A teacher's depth order is often right where its metres are not. A pair counts if the teacher's depths differ by
    the factor ``min_ratio`` at least. Its loss is the softplus of the student's log depth ratio in the wrong direction.

    Args:
        pairs: number of pixel pairs, drawn for each batch and shared by its frames.
        min_ratio: smallest ratio of the teacher's depths at which a pair counts.
        sharpness: slope of the softplus; with 10 the loss halves for every 7 % of depth in the right direction.
    """

    def __init__(self, pairs: int = 1024, min_ratio: float = 1.1, sharpness: float = 10.0) -> None:
        super().__init__()
        self.pairs = pairs
        self.min_log_ratio = float(torch.tensor(min_ratio).log())
        self.sharpness = sharpness

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Mean over the pairs that count; 0 without any."""
        pixels = torch.randint(student.depth[0].numel(), (2, self.pairs)).to(student.depth.device)
        log_ratios = []
        for depth in (student.depth, resize_like(teacher.depth, student.depth)):
            log_depth = depth.clamp(min=MIN_DEPTH).log().flatten(1)
            log_ratios.append(log_depth[:, pixels[0]] - log_depth[:, pixels[1]])
        student_ratio, teacher_ratio = log_ratios
        counted = teacher_ratio.abs() > self.min_log_ratio
        loss = F.softplus(-self.sharpness * teacher_ratio.sign() * student_ratio) / self.sharpness
        return torch.where(counted, loss, 0.0).sum() / counted.sum().clamp(min=1)


@DISTILLATION_LOSSES.register
@dataclass(frozen=True, kw_only=True)
class Ranking(DistillationLossConfig):
    """Depth order of pixel pairs."""

    name: ClassVar[str] = "rank"
    weight: ClassVar[str] = "lambda_rank"
    order: ClassVar[int] = 2

    lambda_rank: float = 0.0
    """Weight of the ranking loss: the depth order of pixel pairs follows the teacher's."""

    def build(self, student: StudentInfo, teacher: TeacherInfo) -> RankingLoss:
        """The ranking loss; it has no layers."""
        return RankingLoss()
