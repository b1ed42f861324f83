"""Blocks that both networks are made of: double convolutions, the ladder up and down, and what a network answers.

The feature ladder, for base channels C; transposed convolutions (``bilinear=False``) need wider maps::

    size                     1      1/2    1/4    1/8    1/16
    encoder                  x1 C   x2 2C  x3 4C  x4 8C  x5 8C    (transposed: x5 16C)
    decoder, bilinear        d1 C   d2 C   d3 2C  d4 4C
    decoder, transposed      d1 C   d2 2C  d3 4C  d4 8C
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, overload

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.activation_checkpointing import recomputed
from echodepth.models.heads import UncertaintyHead

ENCODER_LEVELS = ("x1", "x2", "x3", "x4", "x5")
DECODER_LEVELS = ("d1", "d2", "d3", "d4")
FEATURE_LEVELS = ENCODER_LEVELS + DECODER_LEVELS
MINIMUM_SIZE = 16
"""Pixels: below this the fourth halving leaves nothing."""

Features = dict[str, Tensor]


def encoder_channels(base_channels: int, bilinear: bool) -> tuple[int, int, int, int, int]:
    """Channels of x1..x5. Bilinear upsampling cannot halve the channels, so x5 stays at those of x4."""
    c = base_channels
    return c, 2 * c, 4 * c, 8 * c, 8 * c if bilinear else 16 * c


def decoder_channels(base_channels: int, bilinear: bool) -> tuple[int, int, int, int]:
    """Channels of d1..d4."""
    c = base_channels
    return (c, c, 2 * c, 4 * c) if bilinear else (c, 2 * c, 4 * c, 8 * c)


class DoubleConv(nn.Sequential):
    """Twice: 3x3 convolution, batch norm, ReLU (U-Net, arXiv 1505.04597, with padding and norm)."""

    def __init__(self, in_channels: int, out_channels: int, mid_channels: int | None = None) -> None:
        mid = mid_channels or out_channels
        super().__init__(
            nn.Conv2d(in_channels, mid, 3, padding=1, bias=False),
            nn.BatchNorm2d(mid),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class FactorizedDoubleConv(nn.Sequential):
    """Twice: along the rows' axis (3x1), then along the columns' (1x3), which in a spectrogram are frequency and time.

    It sees the same 3x3 places as ``DoubleConv``. Each of the four convolutions has its own norm and ReLU, as Szegedy
    et al. (arXiv 1512.00567, 3.1) found a factorised convolution worse, wherever they tried, with a linear first half.
    That half already widens, so that a single channel at the entrance is no bottleneck.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers += [
                nn.Conv2d(channels, out_channels, (3, 1), padding=(1, 0), bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(out_channels, out_channels, (1, 3), padding=(0, 1), bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


CONVOLUTIONS: dict[str, type[DoubleConv | FactorizedDoubleConv]] = {
    "full": DoubleConv,
    "separated": FactorizedDoubleConv,
}
"""What an encoder may be made of."""


class Down(nn.Sequential):
    """Halve the size (odd sizes round down), then convolve twice."""

    def __init__(self, in_channels: int, out_channels: int, convolution: str) -> None:
        super().__init__(nn.MaxPool2d(2), CONVOLUTIONS[convolution](in_channels, out_channels))


class Up(nn.Module):
    """Double the size, join the skip connection, convolve twice."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, bilinear: bool) -> None:
        super().__init__()
        self.up: nn.Module
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            up_channels, mid_channels = in_channels, (in_channels + skip_channels) // 2
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
            up_channels, mid_channels = in_channels // 2, out_channels
        self.conv = DoubleConv(up_channels + skip_channels, out_channels, mid_channels)

    def forward(self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b s h2 w2"]) -> Float[Tensor, "b o h2 w2"]:
        """Bring ``x`` to ``skip``'s size and merge the two."""
        x = self.up(x)
        if x.shape[-2:] != skip.shape[-2:]:
            # An odd size lost its last row or column on the way down: repeat the edge, as zeros would be an edge.
            rows, columns = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
            x = F.pad(x, (0, columns, 0, rows), mode="replicate")
        merged: Tensor = self.conv(torch.cat([skip, x], dim=1))
        return merged


class Encoder(nn.Module):
    """The way down: x1 at full size to x5 at a sixteenth; ``convolution`` is a key of ``CONVOLUTIONS``."""

    recompute = False

    def __init__(self, in_channels: int, base_channels: int, bilinear: bool, convolution: str = "full") -> None:
        super().__init__()
        channels = encoder_channels(base_channels, bilinear)
        entrance = CONVOLUTIONS[convolution](in_channels, channels[0])
        self.stages = nn.ModuleList([entrance, *(Down(a, b, convolution) for a, b in pairwise(channels))])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Features:
        """All five levels, by name."""
        features: Features = {}
        for level, stage in zip(ENCODER_LEVELS, self.stages, strict=True):
            x = features[level] = recomputed(stage, x) if self.recompute else stage(x)
        return features


class Decoder(nn.Module):
    """The way up: x5 to d1, joining x4..x1 on the way."""

    recompute = False

    def __init__(self, base_channels: int, bilinear: bool) -> None:
        super().__init__()
        skips = encoder_channels(base_channels, bilinear)
        outputs = decoder_channels(base_channels, bilinear)
        inputs = (*outputs[1:], skips[4])
        self.stages = nn.ModuleDict(
            {
                level: Up(inputs[i], skips[i], outputs[i], bilinear)
                for i, level in reversed(list(enumerate(DECODER_LEVELS)))
            }
        )

    def forward(self, encoder: Mapping[str, Tensor]) -> Features:
        """All four levels, by name."""
        x = encoder["x5"]
        features: Features = {}
        for level, stage in self.stages.items():
            inputs = x, encoder[level.replace("d", "x")]
            x = features[level] = recomputed(stage, *inputs) if self.recompute else stage(*inputs)
        return {level: features[level] for level in DECODER_LEVELS}


class Prediction(NamedTuple):
    """What a network makes of a batch.

    Attributes:
        depth: metres in (0, max_depth), [B,1,S,S].
        uncertainty: predicted Laplace scale of the depth error, metres, [B,1,S,S]; None without an uncertainty head.
        features: the maps x1..x5 and d1..d4.
    """

    depth: Float[Tensor, "b 1 s s"]
    uncertainty: Float[Tensor, "b 1 s s"] | None
    features: Features


class DepthNet(nn.Module, ABC):
    """What all networks share: ``predict`` says everything, ``forward`` is a view of it."""

    uncertainty_head: UncertaintyHead | None

    def __init__(self) -> None:
        super().__init__()
        self.uncertainty_head = None

    def use_activation_checkpointing(self) -> None:
        """From now on keep only each level's result for the gradient, and compute the rest of it again on the way back.

        Raises:
            ValueError: the network has no levels of this kind.
        """
        ladders = [module for module in self.modules() if isinstance(module, Encoder | Decoder)]
        if not ladders:
            raise ValueError(f"{type(self).__name__} cannot recompute its activations")
        for ladder in ladders:
            ladder.recompute = True

    @abstractmethod
    def predict(self, x: Float[Tensor, "b c h w"]) -> Prediction:
        """Depth, its scale where there is one, and the features.

        Raises:
            ValueError: ``x`` has the wrong number of channels or is too small.
        """

    @overload
    def forward(self, x: Tensor, return_features: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, return_features: Literal[True]) -> tuple[Tensor, Features]: ...
    def forward(
        self, x: Float[Tensor, "b c h w"], return_features: bool = False
    ) -> Float[Tensor, "b 1 s s"] | tuple[Float[Tensor, "b 1 s s"], Features]:
        """Predict depth.

        Args:
            x: as for ``predict``.
            return_features: also return x1..x5 and d1..d4.

        Returns:
            Depth in metres, and with ``return_features`` the nine feature maps by name.

        Raises:
            ValueError: ``x`` has the wrong number of channels or is too small.
        """
        depth, _, features = self.predict(x)
        return (depth, features) if return_features else depth


def check_network_arguments(base_channels: int, output_size: int) -> None:
    """Raise a ValueError that names a constructor argument out of range."""
    if base_channels < 1:
        raise ValueError(f"base_channels must be at least 1, not {base_channels}")
    if output_size < 1:
        raise ValueError(f"output_size must be at least 1 pixel, not {output_size}")


def check_ears(attention_levels: Sequence[int], ear_channels: int) -> None:
    """Raise a ValueError that names a binaural network's argument out of range."""
    if wrong := sorted(set(attention_levels) - {1, 2, 3, 4, 5}):
        raise ValueError(f"attention_levels must be out of 1 to 5, not {wrong}")
    if ear_channels < 1:
        raise ValueError(f"ear_channels must be at least 1, not {ear_channels}")


def check_input(x: Tensor, channels: int, argument: str, meaning: str) -> None:
    """Raise a ValueError that names ``argument`` when ``x`` is not [B, channels, H>=16, W>=16]."""
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"{argument} must be [B, {channels}, H, W] ({meaning}), not {list(x.shape)}")
    if min(x.shape[-2:]) < MINIMUM_SIZE:
        raise ValueError(f"{argument} must be at least {MINIMUM_SIZE} pixels high and wide, not {list(x.shape[-2:])}")


def count_parameters(module: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
