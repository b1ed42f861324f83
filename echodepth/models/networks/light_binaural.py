"""A student for embedded computers: the input and output of the standard network at about 1/30 of its arithmetic.

On a CPU the standard network spends most of its time in convolutions, above all in those at full size. This network
halves the spectrogram at once, uses depthwise separable convolutions, shares one encoder between the ears, and ends the
decoder at half size, since echoes do not resolve finer detail::

    left  [B,E,H,W] ─┐ one encoder
    right [B,E,H,W] ─┴─ x1 ─ x2 ─ x3 ─ x4 ─ x5     at 1/2 .. 1/32, C 2C 4C 8C 8C channels an ear
                                    ⇅    ⇅         cross-attention at attention_levels
                        ◇    ◇    ◇    ◇    ◇      fusion of both ears
                        x1   x2   x3   x4   x5 ── d4 ── d3 ── d2 ── d1 ── head ── depth [B,1,S,S]
                                                  1/16  1/8   1/4   1/2

One frame is so little work that a GPU spends its time on starting operations. Both ears therefore pass through every
operation together, as a batch in which the ears of a frame follow each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.core.flags import TrueOrFalse
from echodepth.models.argument_checks import check_binaural_arguments, check_input, check_network_arguments
from echodepth.models.attention.cross_attention import CrossAttention
from echodepth.models.ears import Fusion, as_batch_of_ears, concatenated, left_and_right
from echodepth.models.frontends.base import MINIMUM_SIZE
from echodepth.models.heads import DepthHead, UncertaintyHead
from echodepth.models.image_grid import ImageGrid, image_side
from echodepth.models.layers import (
    DECODER_LEVELS,
    ENCODER_LEVELS,
    DepthNet,
    Features,
    Prediction,
    UncertaintyConfig,
    decoder_channels,
    encoder_channels,
)
from echodepth.models.networks import NETWORKS
from echodepth.models.resampling import upsample


@dataclass(frozen=True, kw_only=True)
class LightBinauralConfig(UncertaintyConfig):
    """Flags of the light network."""

    attention_levels: tuple[int, ...] = (4, 5)
    """Encoder levels out of 1 to 5 with binaural cross-attention over all positions; none is allowed."""
    image_grid: TrueOrFalse = True
    """Resample maps to a square and mix all positions: rows and columns are no directions (constructor: False)."""


class InvertedResidual(nn.Sequential):
    """Inverted residual (MobileNetV2, arXiv 1801.04381): expand, depthwise convolution, project."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, expansion: int = 2) -> None:
        wide = expansion * in_channels
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
        """The layers, plus ``x`` where input and output have the same shape."""
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return y.add_(x) if self.is_residual else y


class LightUp(nn.Module):
    """Upsampling to the size of the skip connection, fusion by a 1x1 convolution, and an inverted residual."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.join = nn.Sequential(
            nn.Conv2d(in_channels + skip_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )
        self.refine = InvertedResidual(out_channels, out_channels)

    def forward(self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b s h2 w2"]) -> Float[Tensor, "b o h2 w2"]:
        """Merge ``x`` with ``skip`` at the size of ``skip``."""
        rows, columns = skip.shape[-2:]
        x = upsample(x, (rows, columns), align_corners=False)
        merged: Tensor = self.refine(self.join(torch.cat([skip, x], dim=1)))
        return merged


@NETWORKS.register
class LightBinauralDepthNet(DepthNet):
    """Depth in metres from the spectrograms of both ears, for embedded computers.

    Args:
        base_channels: of the corresponding standard network; the first level has half as many. Even.
        output_size: side in pixels of the square depth map; None for the input's size, with an image grid for a
            square of about as many pixels.
        max_depth: metres; the output lies in (0, max_depth).
        attention_levels: levels out of 1 to 5 with binaural cross-attention; none is allowed.
        ear_channels: spectrogram channels of one ear.
        uncertainty: also predict the uncertainty of each pixel.
        image_grid: resample the fused maps to squares and mix their positions, see ``ImageGrid``.

    Raises:
        ValueError: an argument is out of range.
    """

    name = "light"
    config = LightBinauralConfig
    modality = "audio"
    label = "light audio"
    single_frame_size = 4 * MINIMUM_SIZE

    def __init__(
        self,
        base_channels: int = 64,
        output_size: int | None = 256,
        max_depth: float = 30.0,
        attention_levels: Sequence[int] = (4, 5),
        ear_channels: int = 1,
        uncertainty: bool = False,
        image_grid: bool = False,
    ) -> None:
        super().__init__()
        check_network_arguments(base_channels, output_size)
        if base_channels % 2:
            raise ValueError(f"base_channels must be even for the light network, not {base_channels}")
        check_binaural_arguments(attention_levels, ear_channels)
        self.output_size = output_size
        self.max_depth = max_depth
        self.ear_channels = ear_channels
        first = base_channels // 2
        channels = dict(zip(ENCODER_LEVELS, encoder_channels(first, bilinear=True), strict=True))
        attended = [f"x{level}" for level in sorted(set(attention_levels))]
        self.encoder = nn.ModuleDict({"x1": _stem(ear_channels, first)})
        for (_, wide), (level, out) in pairwise(channels.items()):
            self.encoder[level] = nn.Sequential(
                InvertedResidual(wide, out, stride=2, expansion=3), InvertedResidual(out, out)
            )
        self.left_to_right = nn.ModuleDict({level: CrossAttention(channels[level]) for level in attended})
        self.right_to_left = nn.ModuleDict({level: CrossAttention(channels[level]) for level in attended})
        self.fusion = nn.ModuleDict({level: Fusion(c) for level, c in channels.items()})
        self.image_grid = nn.ModuleDict(
            {level: ImageGrid(c, 2**i) for i, (level, c) in enumerate(channels.items(), 1)} if image_grid else {}
        )
        outputs = dict(zip(DECODER_LEVELS, decoder_channels(first, bilinear=True), strict=True))
        inputs = [*list(outputs.values())[1:], channels["x5"]]
        self.decoder = nn.ModuleDict(
            {
                level: LightUp(wide, channels[level.replace("d", "x")], out)
                for wide, (level, out) in reversed(list(zip(inputs, outputs.items(), strict=True)))
            }
        )
        self.head = DepthHead(first, max_depth)
        if uncertainty:
            self.uncertainty_head = UncertaintyHead(first, max_depth)

    def predict(self, spectrograms: Float[Tensor, "b c f t"]) -> Prediction:
        """Depth, uncertainty if the network has a head for it, and features.

        x1..x5 are those after fusion, at 1/2 to 1/32 of the input size.

        Args:
            spectrograms: the left ear's channels, then the right ear's; any size of at least 16.

        Raises:
            ValueError: ``spectrograms`` has the wrong number of channels or is too small.
        """
        meaning = f"{self.ear_channels} of the left ear, then of the right"
        check_input(spectrograms, 2 * self.ear_channels, "spectrograms", meaning)
        x = as_batch_of_ears(spectrograms)  # [2B,E,F,T]
        features: Features = {}
        for level, stage in self.encoder.items():
            x = stage(x)  # [2B,C,F/2,T/2] .. [2B,8C,F/32,T/32]
            if level in self.left_to_right:
                both = self.left_to_right[level](*left_and_right(x), opposite=self.right_to_left[level])
            else:
                both = concatenated(x)
            features[level] = self.fusion[level](both)
        rows, columns = spectrograms.shape[2:]
        side = image_side(rows, columns)
        for halvings, (level, to_image) in enumerate(self.image_grid.items(), 1):
            features[level] = to_image(features[level], max(1, side // 2**halvings))
        y = features["x5"]
        decoded: Features = {}
        for level, up in self.decoder.items():
            y = decoded[level] = up(y, features[level.replace("d", "x")])
        features |= {level: decoded[level] for level in DECODER_LEVELS}
        return self.head_outputs(features, (side, side) if self.image_grid else (rows, columns))  # [B,1,S,S]


def _stem(ear_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(ear_channels, out_channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        InvertedResidual(out_channels, out_channels),
    )
