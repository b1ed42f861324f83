"""Matching the teacher's features, level by level (FitNets, arXiv 1412.6550), by direction rather than by size.

The decoder's levels d1..d4 of both networks are maps over the same image. The encoder's are not: a row of the
student's is a frequency, a row of the teacher's is a row of pixels. Matching x1..x4 position by position is offered
because it is the obvious thing to try, not because it should work; at x5 the maps are nearly whole-frame summaries.
"""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.distillation.terms import Term, View


def feature_loss(student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Mean squared distance of the unit vectors at each position: 0 when alike, 2 when orthogonal.

    A plain squared error would be ruled by the few channels with large values, and by the gap in scale between two
    networks that never saw the same input.
    """
    return (F.normalize(student, dim=1) - F.normalize(teacher, dim=1)).square().sum(dim=1).mean()


class FeatureMatching(Term):
    """``feature_loss`` averaged over levels; a 1x1 projection bridges networks of different widths.

    Args:
        levels: which of x1..x5 and d1..d4.
        student_channels: channels of each of these levels.
        teacher_channels: likewise; no projection where they agree.
    """

    def __init__(
        self, levels: Sequence[str], student_channels: Mapping[str, int], teacher_channels: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleDict(
            {
                level: nn.Identity()
                if student_channels[level] == teacher_channels[level]
                else nn.Conv2d(student_channels[level], teacher_channels[level], 1)
                for level in levels
            }
        )

    def forward(self, student: View, teacher: View) -> Float[Tensor, ""]:
        """Mean over the levels. A teacher's map of another size is resized to the student's."""
        losses = []
        for level, project in self.projections.items():
            own, target = project(student.features[level]), teacher.features[level]
            if target.shape[-2:] != own.shape[-2:]:
                target = F.interpolate(target, own.shape[-2:], mode="bilinear", antialias=True)
            losses.append(feature_loss(own, target))
        return sum(losses[1:], losses[0]) / len(losses)
