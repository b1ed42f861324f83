"""Feature matching, level by level and position by position (FitNets, arXiv 1412.6550).

The decoder levels d1..d4 of both networks are maps over the same image. The encoder levels are not: a row of the
student's map is a frequency, a row of the teacher's is a row of pixels. Matching x1..x4 by position is available as a
baseline and is not expected to help; at x5 both maps nearly summarise the whole frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.core.errors import ConfigError
from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.distillation.losses.base import (
    DistillationLoss,
    DistillationLossConfig,
    Level,
    StudentInfo,
    TeacherInfo,
    resize_like,
)
from echodepth.models.layers import Prediction

Distance = Literal["cosine", "squared", "hinge"]
HINGE_MARGIN = 0.5
"""Squared distance of unit vectors below which ``hinge`` is 0: 41 degrees. Audio lacks part of what images show."""
MIN_SQUARED_NORM = 1e-24
"""Vectors with a squared norm up to this count as zero vectors."""


def feature_loss(
    student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"], distance: Distance = "cosine"
) -> Float[Tensor, ""]:
    """Distance of the feature vectors, mean over positions.

    Args:
        student: the student's map.
        teacher: the teacher's map, of the same shape; receives no gradient.
        distance: ``cosine``, the squared distance of the unit vectors, 2 - 2 cos: 0 for equal directions, 2 for
            orthogonal ones. It does not depend on the scale of either network's features, and is not dominated by few
            channels with large values. ``hinge``, the part of it above ``HINGE_MARGIN`` (after arXiv 1904.01866).
            ``squared``, the mean squared error over positions and channels.
    """
    if distance == "squared":
        return F.mse_loss(student, teacher)
    # In float32: squares above 255² overflow in half precision.
    distances: Tensor = _UnitDistance.apply(student.float(), teacher.float())  # type: ignore[no-untyped-call]
    return distances.mean() if distance == "cosine" else F.relu(distances - HINGE_MARGIN).mean()


class _UnitDistance(torch.autograd.Function):
    """Squared distance of the unit vectors at each position, [B,H,W]; a zero vector is not normalised.

    Computed from norms and the scalar product, without the unit vectors, and with an explicit gradient for the
    student's map. This takes a third less time than autograd of the same formula; the loss is half of the cost of
    distillation apart from the teacher. The distance has no gradient at a zero vector of the student; 0 is used.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        """|a/|a| - b/|b||², as |a/|a||² + |b/|b||² - 2 cos(a, b)."""
        squared_norms = [torch.linalg.vecdot(x, x, dim=1) for x in (student, teacher)]
        # Inverse norms; 0 for a zero vector.
        inverse_a, inverse_b = (torch.where(s > MIN_SQUARED_NORM, s, torch.inf).rsqrt() for s in squared_norms)
        cosine = torch.linalg.vecdot(student, teacher, dim=1) * inverse_a * inverse_b
        ctx.save_for_backward(student, teacher, inverse_a, inverse_b, cosine)
        distance: Tensor = (inverse_a > 0).to(cosine) + (inverse_b > 0).to(cosine) - 2 * cosine
        return distance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """-2 (b/|b| - cos(a, b) a/|a|) / |a|."""
        student, teacher, inverse_a, inverse_b, cosine = ctx.saved_tensors
        factor = -2 * gradient * inverse_a
        along_teacher = teacher * (factor * inverse_b)[:, None]
        return along_teacher.addcmul_(student, (factor * inverse_a * cosine)[:, None], value=-1), None


class FeatureMatchingLoss(DistillationLoss):
    """``feature_loss``, mean over levels, after a 1x1 convolution from the student's channels to the teacher's.

    It is there at equal numbers of channels, too: nothing gives the two networks' channels the same meaning.

    Args:
        levels: which of x1..x5 and d1..d4.
        student_channels: channels of the student's map by level.
        teacher_channels: channels of the teacher's map by level.
        distance: see ``feature_loss``.
    """

    def __init__(
        self,
        levels: Sequence[str],
        student_channels: Mapping[str, int],
        teacher_channels: Mapping[str, int],
        distance: Distance = "cosine",
    ) -> None:
        super().__init__()
        self.distance = distance
        self.projections = nn.ModuleDict(
            {level: nn.Conv2d(student_channels[level], teacher_channels[level], 1) for level in levels}
        )

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Mean over levels; a teacher's map of another size is resized to the student's."""
        losses = []
        for level, project in self.projections.items():
            projected = project(student.features[level])
            losses.append(feature_loss(projected, resize_like(teacher.features[level], projected), self.distance))
        return torch.stack(losses).mean()


@DISTILLATION_LOSSES.register
@dataclass(frozen=True, kw_only=True)
class FeatureMatching(DistillationLossConfig):
    """Feature vectors, position by position."""

    name: ClassVar[str] = "feat"
    weight: ClassVar[str] = "lambda_feat"
    order: ClassVar[int] = 3

    lambda_feat: float = 1.0
    """Weight of feature matching: the distance to the teacher's features, position by position."""
    feature_levels: tuple[Level, ...] = ("d1", "d2", "d3", "d4")
    """Levels of feature matching; x1..x4 are frequency by time in the student and rows by columns in the teacher."""
    feature_distance: Distance = "cosine"
    """Distance of the features: cosine, squared (mean squared error), or hinge (cosine distance above a margin)."""

    def levels(self) -> tuple[str, ...]:
        """``feature_levels``."""
        return self.feature_levels

    def check(self) -> None:
        """Refuse also a weight without levels."""
        super().check()
        if self.lambda_feat and not self.feature_levels:
            raise ConfigError("--feature_levels names no level: give some, or --lambda_feat 0")

    def build(self, student: StudentInfo, teacher: TeacherInfo) -> FeatureMatchingLoss:
        """With a projection for each level."""
        channels = student.feature_channels(), teacher.feature_channels()
        return FeatureMatchingLoss(self.feature_levels, *channels, self.feature_distance)
