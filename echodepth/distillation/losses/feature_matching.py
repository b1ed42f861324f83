"""Matching the teacher's features, level by level (FitNets, arXiv 1412.6550).

The decoder's levels d1..d4 of both networks are maps over the same image. The encoder's are not: a row of the
student's is a frequency, a row of the teacher's is a row of pixels. Matching x1..x4 position by position is offered
because it is the obvious thing to try, not because it should work; at x5 the maps are nearly whole-frame summaries.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.distillation.losses.base import DistillationLoss, Prediction

Distance = Literal["direction", "squared", "margin"]
MARGIN = 0.5
"""Squared distance of unit vectors that ``margin`` forgives: 41 degrees. Sound cannot tell all that sight can."""
SHORTEST = 1e-24
"""Square of the length up to which a vector counts as of none."""


def feature_loss(
    student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"], distance: Distance = "direction"
) -> Float[Tensor, ""]:
    """Mean distance at each position.

    Args:
        student: its map.
        teacher: its map, of the same shape; gets no gradient.
        distance: ``direction``, squared distance of the unit vectors: 0 when alike, 2 when orthogonal. A plain squared
            error is ruled by the few channels with large values, and by the gap in scale between two networks that
            never saw the same input. ``margin``, what of it exceeds ``MARGIN`` (the idea of arXiv 1904.01866: do not
            force what is near enough). ``squared``, the plain error, mean over channels too.
    """
    if distance == "squared":
        return F.mse_loss(student, teacher)
    # Half precision ends at the square of 255.
    apart: Tensor = _UnitDistance.apply(student.float(), teacher.float())  # type: ignore[no-untyped-call]
    return apart.mean() if distance == "direction" else F.relu(apart - MARGIN).mean()


class _UnitDistance(torch.autograd.Function):
    """Squared distance of the unit vectors at each position, [B,H,W]; a vector of length 0 stays as it is.

    From lengths and product alone, without the unit vectors, and with its own way back for the student's map: in all
    a third faster than what autograd makes of the same formula, and half of what teaching costs without the teacher.
    Where the student's vector has length 0 the distance has no gradient, and 0 is taken.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        """|a/|a| - b/|b||², as |a/|a||² + |b/|b||² - 2 cos(a, b)."""
        squares = [torch.linalg.vecdot(each, each, dim=1) for each in (student, teacher)]
        own, seen = (torch.where(square > SHORTEST, square, torch.inf).rsqrt() for square in squares)
        cosine = torch.linalg.vecdot(student, teacher, dim=1) * own * seen
        ctx.save_for_backward(student, teacher, own, seen, cosine)
        apart: Tensor = (own > 0).to(cosine) + (seen > 0).to(cosine) - 2 * cosine
        return apart

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """-2 (b/|b| - cos(a, b) a/|a|) / |a|."""
        student, teacher, own, seen, cosine = ctx.saved_tensors
        along = -2 * gradient * own
        towards = teacher * (along * seen)[:, None]
        return towards.addcmul_(student, (along * own * cosine)[:, None], value=-1), None


class FeatureMatching(DistillationLoss):
    """``feature_loss`` averaged over levels; a 1x1 projection bridges networks of different widths.

    Args:
        levels: which of x1..x5 and d1..d4.
        student_channels: channels of each of these levels.
        teacher_channels: likewise; no projection where they agree.
        distance: see ``feature_loss``.
    """

    def __init__(
        self,
        levels: Sequence[str],
        student_channels: Mapping[str, int],
        teacher_channels: Mapping[str, int],
        distance: Distance = "direction",
    ) -> None:
        super().__init__()
        self.distance = distance
        self.projections = nn.ModuleDict(
            {
                level: nn.Identity()
                if student_channels[level] == teacher_channels[level]
                else nn.Conv2d(student_channels[level], teacher_channels[level], 1)
                for level in levels
            }
        )

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Mean over the levels. A teacher's map of another size is resized to the student's."""
        losses = []
        for level, project in self.projections.items():
            own = project(student.features[level])
            losses.append(feature_loss(own, resized(teacher.features[level], own), self.distance))
        return torch.stack(losses).mean()


class AttentionTransfer(DistillationLoss):
    """Where the features are strong, not what they are (arXiv 1612.03928): the map of their mean squares, normalised.

    Args:
        levels: which of x1..x5 and d1..d4; where they lie over the same image, see above.
    """

    def __init__(self, levels: Sequence[str]) -> None:
        super().__init__()
        self.levels = tuple(levels)

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Squared distance of the unit maps, mean over frames and levels."""
        losses = []
        for level in self.levels:
            own, seen = (view.features[level].square().mean(dim=1, keepdim=True) for view in (student, teacher))
            apart = F.normalize(own.flatten(1)) - F.normalize(resized(seen, own).flatten(1))
            losses.append(apart.square().sum(dim=1).mean())
        return torch.stack(losses).mean()


def resized(teacher: Float[Tensor, "b c h w"], student: Float[Tensor, "b c2 h2 w2"]) -> Float[Tensor, "b c h2 w2"]:
    """The teacher's map at the student's size."""
    if teacher.shape[-2:] == student.shape[-2:]:
        return teacher
    return F.interpolate(teacher, student.shape[-2:], mode="bilinear", antialias=True)
