"""The last layers: features to metres, bounded, with a gradient that is alive over the whole range."""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class BoundedHead(nn.Module, ABC):
    """Features to one bounded number a pixel, with a gradient that is alive over the whole range.

    The logistic function is nearly exponential for near depths and linear in the middle, which suits depth, but
    float32 rounds it to 1 beyond a logit of 17, where its gradient is exactly zero. One part in a hundred of an
    algebraic sigmoid, whose slope falls as 1/z², keeps every output movable.

    Args:
        in_channels: channels of the maps it reads.
        start: share of the range, in 0..1, at which an untrained head lies.
    """

    TAIL = 0.01

    def __init__(self, in_channels: int, start: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 1, kernel_size=1)
        # A small weight starts the map nearly flat, yet lets the gradient through to every layer below.
        nn.init.normal_(self.conv.weight, std=0.1 / math.sqrt(in_channels))
        nn.init.constant_(torch.as_tensor(self.conv.bias), math.log(start / (1 - start)))

    def forward(self, x: Float[Tensor, "b c h w"], output_size: int) -> Float[Tensor, "b 1 s s"]:
        """Metres, resized to ``output_size`` before they are bounded."""
        logit = self.conv(x)
        if logit.shape[-2:] != (output_size, output_size):
            logit = F.interpolate(logit, (output_size, output_size), mode="bilinear", align_corners=False)
        return self.bound(logit)

    @abstractmethod
    def bound(self, logit: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The bounded function itself, in metres."""

    def share(self, logit: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Share of the range, in 0..1; in float32 at least, as half precision would round it to its ends."""
        z = logit if logit.dtype == torch.float64 else logit.float()
        tail = 0.5 / (1 + z.abs())
        algebraic = torch.where(z < 0, tail, 1 - tail)
        return (1 - self.TAIL) * torch.sigmoid(z) + self.TAIL * algebraic


class DepthHead(BoundedHead):
    """Features to depth, in metres in (0, max_depth).

    Args:
        in_channels: channels of the last decoder level.
        max_depth: upper end of the range in metres.
        initial_depth: metres that an untrained head predicts, about the median of indoor sets; at most a quarter
            of ``max_depth``.
    """

    def __init__(self, in_channels: int, max_depth: float, initial_depth: float = 3.0) -> None:
        if not (math.isfinite(max_depth) and max_depth > 0):
            raise ValueError(f"max_depth must be a positive number of metres, not {max_depth}")
        super().__init__(in_channels, start=min(initial_depth / max_depth, 0.25))
        self.max_depth = max_depth

    def bound(self, logit: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Depth of a logit."""
        return self.max_depth * self.share(logit)


class UncertaintyHead(BoundedHead):
    """Features to how far off the depth is expected to be: the scale b of a Laplace distribution, in metres.

    b is the mean absolute error (arXiv 1703.04977). Its logarithm is bounded, so that b is positive and neither a
    certain pixel nor a hopeless one runs away. The head reads d1 and does not shape it: depth is learnt as if there
    were no head, and is as accurate (arXiv 2212.09184).

    Args:
        in_channels: channels of the last decoder level.
        max_depth: upper end of the depth's range in metres, and of the scale's.
        initial_scale: metres that an untrained head predicts, about an untrained network's error; from a hundredth
            to a quarter of ``max_depth``.
    """

    SPAN = 8.0
    """Natural logarithm of the largest scale over the least: of 30 m, one centimetre."""

    def __init__(self, in_channels: int, max_depth: float, initial_scale: float = 1.0) -> None:
        start = min(max(initial_scale / max_depth, 0.01), 0.25)
        # Drawn aside, so that whatever is drawn next is the same with a scale and without.
        with torch.random.fork_rng(devices=[]):
            super().__init__(in_channels, start=1 + math.log(start) / self.SPAN)
            # Beyond the border lies no edge of the room, so none is made there by zeros.
            self.hidden = nn.Conv2d(in_channels, in_channels, 3, padding=1, padding_mode="replicate")
        self.max_depth = max_depth

    def forward(self, x: Float[Tensor, "b c h w"], output_size: int) -> Float[Tensor, "b 1 s s"]:
        """The scale in metres; one 3x3 convolution lets it see the edges, where depth is mistaken most."""
        return super().forward(F.relu(self.hidden(x.detach())), output_size)

    def bound(self, logit: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Scale of a logit."""
        return self.max_depth * torch.exp(self.SPAN * (self.share(logit) - 1))
