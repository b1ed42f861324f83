"""Learned alignment: each place of the teacher's image asks the student's map what it knows of that place.

A column of the student's map is a time and a row a frequency; which of them speak of the upper left corner of the
image is not known beforehand, so it is learnt, by cross-attention (arXiv 1706.03762; for sight and sound, the spatial
alignment of arXiv 2309.11081 does the like). It is a scaffold: it is trained with the student, and dropped with the
teacher.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.distillation.losses.base import DistillationLoss, Prediction
from echodepth.distillation.losses.feature_matching import feature_loss


class Resampler(nn.Module):
    """Carries a map over frequency and time to the grid of an image.

    Args:
        in_channels: of the map.
        out_channels: of what comes out.
        grid: rows and columns of the image's grid.
        width: channels of queries and keys; values have as many.
        heads: that attend each in its own way.
    """

    def __init__(
        self, in_channels: int, out_channels: int, grid: tuple[int, int], width: int = 64, heads: int = 4
    ) -> None:
        super().__init__()
        self.heads = heads
        self.place = nn.Parameter(torch.randn(1, width, *grid) / width**0.5)
        self.keys = nn.Conv2d(in_channels + 2, width, 1)
        self.values = nn.Conv2d(in_channels + 2, width, 1)
        self.out = nn.Conv2d(width, out_channels, 1)

    def forward(self, heard: Float[Tensor, "b c f t"]) -> Float[Tensor, "b o h w"]:
        """What the map says of each place of the image."""
        frequency = torch.linspace(-1, 1, heard.shape[2], device=heard.device)
        time = torch.linspace(-1, 1, heard.shape[3], device=heard.device)
        axes = torch.stack(torch.meshgrid(frequency, time, indexing="ij")).expand(len(heard), -1, -1, -1)
        heard = torch.cat([heard, axes], dim=1)  # [B, C + 2, F, T]: attention alone does not know where it looks
        query = self._split(self.place.expand(len(heard), -1, -1, -1))  # [B, heads, h * w, width / heads]
        found = F.scaled_dot_product_attention(query, self._split(self.keys(heard)), self._split(self.values(heard)))
        rows, columns = self.place.shape[-2:]
        carried: Tensor = self.out(found.transpose(2, 3).flatten(1, 2).unflatten(2, (rows, columns)))
        return carried

    def _split(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b heads n d"]:
        heads: Tensor = x.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)
        return heads.contiguous()


class Alignment(DistillationLoss):
    """The student's encoder maps, carried to the image's grid, against the teacher's.

    Args:
        levels: which of x1..x5.
        student_channels: channels of each level.
        teacher_channels: likewise.
        grids: rows and columns of the teacher's map of each level.
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
