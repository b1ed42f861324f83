"""A student for robots: the same ears and the same map as the standard network's, at a small share of its arithmetic.

On a processor the standard network's time is that of its convolutions, above all of those at full size. Here the
spectrogram is halved at once, the convolutions are depthwise separable, both ears share one encoder, and the
decoder stops at half size, since echoes tell no finer detail::

    left  [B,E,H,W] ─┐ one encoder
    right [B,E,H,W] ─┴─ x1 ─ x2 ─ x3 ─ x4 ─ x5     at 1/2 .. 1/32, C 2C 4C 8C 8C channels an ear
                                    ⇅    ⇅         cross-attention at attention_levels
                        ◇    ◇    ◇    ◇    ◇      fusion of both ears
                        x1   x2   x3   x4   x5 ── d4 ── d3 ── d2 ── d1 ── head ── depth [B,1,S,S]
                                                  1/16  1/8   1/4   1/2
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.attention.cross_attention import CrossAttention
from echodepth.models.heads import DepthHead, UncertaintyHead
from echodepth.models.layers import (
    DECODER_LEVELS,
    ENCODER_LEVELS,
    DepthNet,
    Features,
    Prediction,
    check_ears,
    check_input,
    check_network_arguments,
    decoder_channels,
    encoder_channels,
)
from echodepth.models.networks.binaural_attention import Fusion


class InvertedResidual(nn.Sequential):
    """An inverted residual's layers (MobileNetV2, arXiv 1801.04381): widen, convolve each channel alone, narrow."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, widen: int = 2) -> None:
        wide = widen * in_channels
        super().__init__(
            nn.Conv2d(in_channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, wide, 3, stride=stride, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.is_residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h2 w2"]:
        """The layers, and ``x`` itself where the shapes agree."""
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return x + y if self.is_residual else y


class LightUp(nn.Module):
    """Bring a map to its skip connection's size, join the two by a 1x1 convolution, refine."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.join = nn.Sequential(
            nn.Conv2d(in_channels + skip_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )
        self.refine = InvertedResidual(out_channels, out_channels)

    def forward(self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b s h2 w2"]) -> Float[Tensor, "b o h2 w2"]:
        """The merged map, at ``skip``'s size."""
        x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
        merged: Tensor = self.refine(self.join(torch.cat([skip, x], dim=1)))
        return merged


class LightBinauralDepthNet(DepthNet):
    """Depth in metres from two ears' spectrograms, for a robot's processor.

    Args:
        base_channels: those of the standard network that it stands for; its own first level has half as many.
        output_size: side in pixels of the square depth map.
        max_depth: metres; the output lies in (0, max_depth).
        attention_levels: levels, out of 1 to 5, at which the ears look across; none is allowed.
        ear_channels: spectrogram channels of one ear.
        uncertainty: also say how far off the depth is expected to be.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        base_channels: int = 64,
        output_size: int = 256,
        max_depth: float = 30.0,
        attention_levels: Sequence[int] = (4, 5),
        ear_channels: int = 1,
        uncertainty: bool = False,
    ) -> None:
        super().__init__()
        check_network_arguments(base_channels, output_size)
        if base_channels % 2:
            raise ValueError(f"base_channels must be even for the light network, not {base_channels}")
        check_ears(attention_levels, ear_channels)
        self.output_size = output_size
        self.max_depth = max_depth
        self.ear_channels = ear_channels
        first = base_channels // 2
        channels = dict(zip(ENCODER_LEVELS, encoder_channels(first, bilinear=True), strict=True))
        attended = [f"x{level}" for level in sorted(set(attention_levels))]
        self.encoder = nn.ModuleDict({"x1": _entrance(ear_channels, first)})
        for (_, wide), (level, out) in pairwise(channels.items()):
            self.encoder[level] = nn.Sequential(
                InvertedResidual(wide, out, stride=2, widen=3), InvertedResidual(out, out)
            )
        self.left_to_right = nn.ModuleDict({level: CrossAttention(channels[level]) for level in attended})
        self.right_to_left = nn.ModuleDict({level: CrossAttention(channels[level]) for level in attended})
        self.fusion = nn.ModuleDict({level: Fusion(c) for level, c in channels.items()})
        drawn = dict(zip(DECODER_LEVELS, decoder_channels(first, bilinear=True), strict=True))
        below = [*list(drawn.values())[1:], channels["x5"]]
        self.decoder = nn.ModuleDict(
            {
                level: LightUp(wide, channels[level.replace("d", "x")], out)
                for wide, (level, out) in reversed(list(zip(below, drawn.items(), strict=True)))
            }
        )
        self.head = DepthHead(first, max_depth)
        if uncertainty:
            self.uncertainty_head = UncertaintyHead(first, max_depth)

    def predict(self, spectrograms: Float[Tensor, "b c f t"]) -> Prediction:
        """Depth, its scale where there is one, and the features: x1..x5 after fusion, at 1/2 to 1/32 of the size.

        Args:
            spectrograms: the left ear's channels, then the right ear's; any size of at least 16.

        Raises:
            ValueError: ``spectrograms`` has the wrong number of channels or is too small.
        """
        meaning = f"{self.ear_channels} of the left ear, then of the right"
        check_input(spectrograms, 2 * self.ear_channels, "spectrograms", meaning)
        x = torch.cat(spectrograms.split(self.ear_channels, dim=1))  # [2B,E,F,T]: all left ears, all right ears
        features: Features = {}
        for level, stage in self.encoder.items():
            x = stage(x)  # [2B,C,F/2,T/2] .. [2B,8C,F/32,T/32]
            left, right = x.chunk(2)
            ears = left, right
            if level in self.left_to_right:
                ears = self.left_to_right[level](left, right), self.right_to_left[level](right, left)
            features[level] = self.fusion[level](torch.cat(ears, dim=1))
        y = features["x5"]
        drawn: Features = {}
        for level, up in self.decoder.items():
            y = drawn[level] = up(y, features[level.replace("d", "x")])
        features |= {level: drawn[level] for level in DECODER_LEVELS}
        depth = self.head(features["d1"], self.output_size)  # [B,1,S,S]
        scale = self.uncertainty_head(features["d1"], self.output_size) if self.uncertainty_head is not None else None
        return Prediction(depth, scale, features)


def _entrance(ear_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(ear_channels, out_channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        InvertedResidual(out_channels, out_channels),
    )
