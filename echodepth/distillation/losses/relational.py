"""Matching what is alike to what: terms that compare frames with each other, and need no common grid."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.distillation.losses.base import DistillationLoss, Prediction


class SimilarityPreserving(DistillationLoss):
    """Frames that the teacher finds alike shall be alike to the student (arXiv 1907.09682).

    Args:
        levels: which of x1..x5 and d1..d4; each map is taken whole, so it may have any grid.
    """

    def __init__(self, levels: Sequence[str]) -> None:
        super().__init__()
        self.levels = tuple(levels)

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Mean squared difference of the two [B, B] matrices of likeness, mean over levels."""
        losses = [
            F.mse_loss(_likeness(student.features[level]), _likeness(teacher.features[level])) for level in self.levels
        ]
        return torch.stack(losses).mean()


def _likeness(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b b"]:
    """Scalar products of the frames' whole maps, each row scaled to length 1."""
    flat = features.flatten(1)
    return F.normalize(flat @ flat.T, dim=1)


class ContrastiveLoss(DistillationLoss):
    """Each frame's sound shall be nearest to its own sight among the batch (arXiv 1910.10699, 1807.03748).

    Args:
        level: whose mean over positions is compared.
        student_channels: channels of that level by name.
        teacher_channels: likewise.
        width: of the space that both are projected to.
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
        """Cross-entropy of picking the right frame, from sound to sight and back; 0 for a batch of one."""
        heard = F.normalize(self.from_student(student.features[self.level].mean(dim=(2, 3))), dim=1)
        seen = F.normalize(self.from_teacher(teacher.features[self.level].mean(dim=(2, 3))), dim=1)
        scores = heard @ seen.T / self.temperature
        own = torch.arange(len(scores), device=scores.device)
        return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
