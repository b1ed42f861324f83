"""From the axes of a spectrogram to those of an image.

Rows of a spectrogram are frequencies and its columns are times. A pixel of the image is a direction, whose echo may
arrive at any time and differs between frequencies. A convolutional network sees a neighbourhood of the same place
only: at 256x256, 141 columns to either side, so that the right part of an image lies beyond the reach of near echoes.
``ImageGrid`` lets every position of its output depend on every position of its input.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.resampling import resample, upsample

TOKENS = {4: (8, 32), 8: (4, 16), 16: (2, 8)}
"""Rows and columns that are mixed, for a map whose pixels span that many of the input: those of an input of 32x128."""
GRIDS = {4: (16, 16), 8: (8, 8), 16: (8, 8)}
"""Rows and columns that they are mixed to: a sixteenth of the field of view is 4 to 5 degrees."""
STRIDE = 16
"""Sides of an image grid are multiples of this."""


def image_side(rows: int, columns: int) -> int:
    """Side of the square image grid of about as many positions as an input; that of a square of whole steps is its own.

    Args:
        rows: of the input.
        columns: of the input.
    """
    return STRIDE * max(1, round(math.sqrt(rows * columns) / STRIDE))


class TokenMixing(nn.Module):
    """Learned weights from all positions of a map to all positions of another one, the same for every channel.

    This is the token mixing of MLP-Mixer (arXiv 2105.01601) with a grid of its own for the output; 1x1 convolution
    follows.

    Args:
        channels: of both maps.
        tokens: rows and columns that a map of another size is resampled to.
        grid: rows and columns of the output.
    """

    def __init__(self, channels: int, tokens: tuple[int, int], grid: tuple[int, int]) -> None:
        super().__init__()
        self.tokens, self.grid = tokens, grid
        positions = math.prod(tokens)
        self.weight = nn.Parameter(torch.randn(positions, math.prod(grid)) / math.sqrt(positions))
        self.norm = nn.BatchNorm2d(channels)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "b c f t"]) -> Float[Tensor, "b c rows columns"]:
        """The mixed map."""
        mixed = (resample(x, self.tokens).flatten(2) @ self.weight).unflatten(2, self.grid)
        projected: Tensor = self.project(F.relu(self.norm(mixed)))
        return projected


class ImageGrid(nn.Module):
    """A map of a spectrogram on the image grid: resampled, plus what is mixed from all of its positions.

    Args:
        channels: of the map.
        stride: pixels of the input that one of the map spans; a key of ``TOKENS``, or nothing is mixed.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.mixing = TokenMixing(channels, TOKENS[stride], GRIDS[stride]) if stride in TOKENS else None

    def forward(self, x: Float[Tensor, "b c f t"], side: int) -> Float[Tensor, "b c {side} {side}"]:
        """The map with ``side`` rows and columns."""
        resampled = resample(x, (side, side))
        if self.mixing is None:
            return resampled
        return resampled + upsample(self.mixing(x), (side, side), align_corners=False)
