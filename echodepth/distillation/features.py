"""Matching the teacher's features, level by level (FitNets, arXiv 1412.6550).

The decoder's levels d1..d4 of both networks are maps over the same image. The encoder's are not: a row of the
student's is a frequency, a row of the teacher's is a row of pixels. Matching x1..x4 position by position is offered
because it is the obvious thing to try, not because it should work; at x5 the maps are nearly whole-frame summaries.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.distillation.terms import Term, View

Distance = Literal["direction", "squared", "margin"]
MARGIN = 0.5
"""Squared distance of unit vectors that ``margin`` forgives: 41 degrees. Sound cannot tell all that sight can."""


def feature_loss(
    student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"], distance: Distance = "direction"
) -> Float[Tensor, ""]:
    """Mean distance at each position.

    Args:
        student: its map.
        teacher: its map, of the same shape.
        distance: ``direction``, squared distance of the unit vectors: 0 when alike, 2 when orthogonal. A plain squared
            error is ruled by the few channels with large values, and by the gap in scale between two networks that
            never saw the same input. ``margin``, what of it exceeds ``MARGIN`` (the idea of arXiv 1904.01866: do not
            force what is near enough). ``squared``, the plain error, mean over channels too.
    """
    if distance == "squared":
        return F.mse_loss(student, teacher)
    apart = _unit_distance(student.float(), teacher.float())  # half precision ends at the square of 255
    return apart.mean() if distance == "direction" else F.relu(apart - MARGIN).mean()


def _unit_distance(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """Squared distance of the unit vectors at each position; one of length 0 stays as it is.

    From lengths and product alone, without the unit vectors: a quarter of the time, forward and back.
    """
    squares = [each.square().sum(dim=1) for each in (a, b)]
    inverse = [square.clamp(min=1e-24).rsqrt() for square in squares]
    ends = sum(square * scale.square() for square, scale in zip(squares, inverse, strict=True))
    apart: Tensor = ends - 2 * (a * b).sum(dim=1) * inverse[0] * inverse[1]
    return apart


class FeatureMatching(Term):
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

    def forward(self, student: View, teacher: View, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Mean over the levels. A teacher's map of another size is resized to the student's."""
        losses = []
        for level, project in self.projections.items():
            own = project(student.features[level])
            losses.append(feature_loss(own, resized(teacher.features[level], own), self.distance))
        return torch.stack(losses).mean()


class AttentionTransfer(Term):
    """Where the features are strong, not what they are (arXiv 1612.03928): the map of their mean squares, normalised.

    Args:
        levels: which of x1..x5 and d1..d4; where they lie over the same image, see above.
    """

    def __init__(self, levels: Sequence[str]) -> None:
        super().__init__()
        self.levels = tuple(levels)

    def forward(self, student: View, teacher: View, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
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
