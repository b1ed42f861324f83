"""Learned alignment: cross-attention maps the student's encoder features to the teacher's image grid.

A row of the student's map is a frequency and a column a time. Which of them correspond to a position in the image is
learned by cross-attention (arXiv 1706.03762; arXiv 2309.11081 aligns audio with images in a similar way). The layers
are trained with the student and discarded with the teacher.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.core.errors import ConfigError
from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.distillation.losses.base import (
    DistillationLoss,
    DistillationLossConfig,
    EncoderLevel,
    StudentInfo,
    TeacherInfo,
)
from echodepth.distillation.losses.feature_matching import feature_loss
from echodepth.models.layers import Prediction


class Resampler(nn.Module):
    """Resamples a map over frequency and time to an image grid by cross-attention from learned queries.

    Args:
        in_channels: channels of the input map.
        out_channels: channels of the output map.
        grid: rows and columns of the output map.
        width: channels of queries, keys and values.
        heads: number of attention heads.
    """

    def __init__(
        self, in_channels: int, out_channels: int, grid: tuple[int, int], width: int = 64, heads: int = 4
    ) -> None:
        super().__init__()
        self.heads = heads
        self.place = nn.Parameter(torch.randn(1, width, *grid) / width**0.5)  # the queries; named so in checkpoints
        self.keys = nn.Conv2d(in_channels + 2, width, 1)
        self.values = nn.Conv2d(in_channels + 2, width, 1)
        self.out = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: Float[Tensor, "b c f t"]) -> Float[Tensor, "b o h w"]:
        """Resample ``x`` to the grid."""
        frequency = torch.linspace(-1, 1, x.shape[2], device=x.device)
        time = torch.linspace(-1, 1, x.shape[3], device=x.device)
        coordinates = torch.stack(torch.meshgrid(frequency, time, indexing="ij")).expand(len(x), -1, -1, -1)
        x = torch.cat([x, coordinates], dim=1)  # [B, C + 2, F, T]: attention itself is blind to position
        query = self._split_heads(self.place.expand(len(x), -1, -1, -1))  # [B, heads, h * w, width / heads]
        keys, values = self._split_heads(self.keys(x)), self._split_heads(self.values(x))  # [B, heads, F * T, ...]
        attended = F.scaled_dot_product_attention(query, keys, values)
        rows, columns = self.place.shape[-2:]
        resampled: Tensor = self.out(attended.transpose(2, 3).flatten(1, 2).unflatten(2, (rows, columns)))
        return resampled

    def _split_heads(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b heads n d"]:
        heads: Tensor = x.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)
        return heads.contiguous()


class LearnedAlignmentLoss(DistillationLoss):
    """``feature_loss`` between the student's resampled encoder maps and the teacher's.

    Args:
        levels: which of x1..x5.
        student_channels: channels of the student's map by level.
        teacher_channels: channels of the teacher's map by level.
        grids: rows and columns of the teacher's map by level.
    """

    def __init__(
        self,
        levels: Sequence[str],
        student_channels: Mapping[str, int],
        teacher_channels: Mapping[str, int],
        grids: Mapping[str, tuple[int, int]],
    ) -> None:
        super().__init__()
        self.resamplers = nn.ModuleDict(
            {level: Resampler(student_channels[level], teacher_channels[level], grids[level]) for level in levels}
        )

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Mean over levels of ``feature_loss``."""
        losses = [
            feature_loss(resample(student.features[level]), teacher.features[level])
            for level, resample in self.resamplers.items()
        ]
        return torch.stack(losses).mean()


@DISTILLATION_LOSSES.register
@dataclass(frozen=True, kw_only=True)
class LearnedAlignment(DistillationLossConfig):
    """Encoder features after a learned alignment."""

    name: ClassVar[str] = "align"
    weight: ClassVar[str] = "lambda_align"
    order: ClassVar[int] = 4

    lambda_align: float = 0.0
    """Weight of learned alignment: encoder features match the teacher's after cross-attention to the image grid."""
    align_levels: tuple[EncoderLevel, ...] = ("x3", "x4", "x5")
    """Encoder levels of learned alignment."""

    def levels(self) -> tuple[str, ...]:
        """``align_levels``."""
        return self.align_levels

    def check(self) -> None:
        """Refuse also a weight without levels."""
        super().check()
        if self.lambda_align and not self.align_levels:
            raise ConfigError("--align_levels names no level: give some, or --lambda_align 0")

    def build(self, student: StudentInfo, teacher: TeacherInfo) -> LearnedAlignmentLoss:
        """With a resampler to the teacher's grid for each level."""
        channels = student.feature_channels(), teacher.feature_channels()
        return LearnedAlignmentLoss(self.align_levels, *channels, teacher.feature_sizes())
