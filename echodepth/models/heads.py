"""Output layers: features to metres in a bounded range, with a gradient that does not vanish anywhere in it."""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LARGEST_DEPTH = 10_000.0
"""Metres of the largest max_depth."""


class BoundedHead(nn.Module, ABC):
    """Features to one bounded number per pixel, with a gradient that does not vanish within the range.

    The logistic function is nearly exponential for near depths and linear in the middle, which suits depth, but
    float32 rounds it to 1 beyond a logit of 17, where its gradient is exactly zero. A share of 1 % is an algebraic
    sigmoid instead, whose slope falls as 1/z², so that every output has a gradient.

    Args:
        in_channels: channels of the input maps.
        start: output of an untrained head as a fraction of the range, in 0..1.
    """

    TAIL = 0.01

    def __init__(self, in_channels: int, start: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 1, kernel_size=1)
        # A small weight makes the initial map nearly constant, and still passes a gradient to every layer below.
        nn.init.normal_(self.conv.weight, std=0.1 / math.sqrt(in_channels))
        nn.init.constant_(torch.as_tensor(self.conv.bias), math.log(start / (1 - start)))

    def forward(self, x: Float[Tensor, "b c h w"], output_size: int | tuple[int, int]) -> Float[Tensor, "b 1 h2 w2"]:
        """Metres, resized before they are bounded to a square of side ``output_size``, or to its rows and columns."""
        logit = self.conv(x)
        size = (output_size, output_size) if isinstance(output_size, int) else output_size
        if logit.shape[-2:] != size:
            logit = F.interpolate(logit, size, mode="bilinear", align_corners=False)
        return self.bound(logit)

    @abstractmethod
    def bound(self, logit: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The bounded function of a logit, in metres."""

    def fraction(self, logit: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Fraction of the range, in 0..1; computed in float32 at least, because half precision rounds to the ends."""
        z = logit if logit.dtype == torch.float64 else logit.float()
        tail = 0.5 / (1 + z.abs())
        algebraic = torch.where(z < 0, tail, 1 - tail)
        return (1 - self.TAIL) * torch.sigmoid(z) + self.TAIL * algebraic


class DepthHead(BoundedHead):
    """Features to depth, in metres in (0, max_depth).

    Args:
        in_channels: channels of the last decoder level.
        max_depth: upper end of the range in metres.
        initial_depth: metres that an untrained head predicts, about the median depth of indoor datasets;
            clamped to a quarter of ``max_depth``.
    """

    def __init__(self, in_channels: int, max_depth: float, initial_depth: float = 3.0) -> None:
        if not 0 < max_depth <= LARGEST_DEPTH:
            raise ValueError(
                f"max_depth must be a positive number of metres, not {max_depth}, {LARGEST_DEPTH:g} at most"
            )
        super().__init__(in_channels, start=min(initial_depth / max_depth, 0.25))
        self.max_depth = max_depth

    def bound(self, logit: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Depth of a logit."""
        return self.max_depth * self.fraction(logit)


class UncertaintyHead(BoundedHead):
    """Features to predicted uncertainty: the scale b of a Laplace distribution of the depth's error, in metres.

    b equals the expected absolute error (arXiv 1703.04977). Its logarithm is bounded, so that b is positive and neither
    very small nor very large errors make it diverge. The head reads d1 without a gradient to it: depth is trained as
    if there were no head, and is as accurate (arXiv 2212.09184).

    Args:
        in_channels: channels of the last decoder level.
        max_depth: upper end of the range of depth and of uncertainty, in metres.
        initial_uncertainty: metres that an untrained head predicts, about the error of an untrained network; clamped
            to between a hundredth and a quarter of ``max_depth``.
    """

    LOG_RANGE = 8.0
    """Natural logarithm of the ratio of the largest to the least uncertainty: of 30 m the least is one centimetre."""

    def __init__(self, in_channels: int, max_depth: float, initial_uncertainty: float = 1.0) -> None:
        start = min(max(initial_uncertainty / max_depth, 0.01), 0.25)
        # A forked random state: later random numbers are the same with an uncertainty head and without.
        with torch.random.fork_rng(devices=[]):
            super().__init__(in_channels, start=1 + math.log(start) / self.LOG_RANGE)
            # Zero padding would add an edge at the border of the image, where the room has none.
            self.hidden = nn.Conv2d(in_channels, in_channels, 3, padding=1, padding_mode="replicate")
        self.max_depth = max_depth

    def forward(self, x: Float[Tensor, "b c h w"], output_size: int | tuple[int, int]) -> Float[Tensor, "b 1 h2 w2"]:
        """Uncertainty in metres; the 3x3 convolution covers the edges, where depth errors are largest."""
        return super().forward(F.relu(self.hidden(x.detach())), output_size)

    def bound(self, logit: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Uncertainty of a logit, in metres."""
        return self.max_depth * torch.exp(self.LOG_RANGE * (self.fraction(logit) - 1))
