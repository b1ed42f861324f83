"""BatVision's baseline: an eight-level U-Net on the spectrograms of both ears.

A reimplementation of the pix2pix generator (arXiv 1611.07004) with 64 first channels, as used on BatVision (arXiv
2303.07257). Each level halves the map by a 4x4 convolution with stride 2, from 256x256 down to 1x1::

    ears [B,2,256,256] ─ 128 ─ 64 ─ 32 ─ 16 ─ 8 ─ 4 ─ 2 ─ 1 ─ 2 ─ 4 ─ 8 ─ 16 ─ 32 ─ 64 ─ 128 ─ depth [B,1,S,S]
               channels   C   2C   4C   8C  8C  8C  8C  8C  8C  8C  8C   8C   4C   2C    C

Two things differ: the depth head is the bounded head of the other networks, in metres, instead of a normalised output,
and the dropout of pix2pix, which serves to vary its images, is left out. Other input sizes are resized to 256x256.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.argument_checks import check_input, check_network_arguments
from echodepth.models.frontends.base import MINIMUM_SIZE
from echodepth.models.heads import DepthHead
from echodepth.models.layers import (
    DECODER_LEVELS,
    ENCODER_LEVELS,
    DepthNet,
    NetworkConfig,
    Prediction,
)
from echodepth.models.networks import NETWORKS
from echodepth.models.resampling import resample

INPUT_SIZE = 256


@dataclass(frozen=True, kw_only=True)
class UNetBaselineConfig(NetworkConfig):
    """Flags of BatVision's baseline."""


@NETWORKS.register
class UNetBaseline(DepthNet):
    """BatVision's baseline behind the interface of the other networks, without an uncertainty head.

    Args:
        base_channels: channels of the first level; 64 as published, which gives 54.4 M parameters.
        output_size: side in pixels of the square depth map; None for the input's size.
        max_depth: metres; the output lies in (0, max_depth).
        ear_channels: spectrogram channels of one ear.

    Raises:
        ValueError: an argument is out of range.
    """

    name = "unet_baseline"
    config = UNetBaselineConfig
    modality = "audio"
    label = "U-Net baseline"
    single_frame_size = MINIMUM_SIZE  # the input is resized, and the innermost single pixel has no norm

    def __init__(
        self, base_channels: int = 64, output_size: int | None = 256, max_depth: float = 30.0, ear_channels: int = 1
    ) -> None:
        super().__init__()
        check_network_arguments(base_channels, output_size)
        self.output_size = output_size
        self.max_depth = max_depth
        self.ear_channels = ear_channels
        widths = [base_channels * factor for factor in (1, 2, 4, 8, 8, 8, 8, 8)]
        self.first = nn.Conv2d(2 * ear_channels, widths[0], 4, stride=2, padding=1)
        # The innermost map is a single pixel, and a batch of one frame has no statistics of it: it gets no norm.
        self.down = nn.ModuleList(_halve(a, b, norm=i < len(widths) - 2) for i, (a, b) in enumerate(pairwise(widths)))
        inner = [widths[-1], *(2 * width for width in reversed(widths[1:-1]))]
        self.up = nn.ModuleList(_double(a, b) for a, b in zip(inner, reversed(widths[:-1]), strict=True))
        self.last = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose2d(2 * widths[0], base_channels, 4, stride=2, padding=1), nn.ReLU()
        )
        self.head = DepthHead(base_channels, max_depth)

    def predict(self, spectrograms: Float[Tensor, "b c f t"]) -> Prediction:
        """Depth and features.

        x1..x5 are the first five levels down, half to 1/32 of the size; d1..d4 the last four up, full to 1/8.

        Args:
            spectrograms: the left ear's channels, then the right ear's; any size of at least 16.

        Raises:
            ValueError: ``spectrograms`` has the wrong number of channels or is too small.
        """
        check_input(spectrograms, 2 * self.ear_channels, "spectrograms", "the left ear's, then the right's")
        # Resampling leaves channels last, in which a CPU needs a fifth longer for a training step of these strides.
        encoded = [self.first(resample(spectrograms, (INPUT_SIZE, INPUT_SIZE)).contiguous())]
        for halve in self.down:
            encoded.append(halve(encoded[-1]))
        decoded = [self.up[0](encoded[-1])]
        for double, skip in zip(self.up[1:], reversed(encoded[1:-1]), strict=True):
            decoded.append(double(torch.cat([skip, decoded[-1]], dim=1)))
        decoded.append(self.last(torch.cat([encoded[0], decoded[-1]], dim=1)))
        features = dict(zip(ENCODER_LEVELS, encoded, strict=False))
        features |= dict(zip(DECODER_LEVELS, reversed(decoded), strict=False))
        return self.head_outputs(features, (spectrograms.shape[2], spectrograms.shape[3]))


def _halve(in_channels: int, out_channels: int, norm: bool) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=not norm)
    return nn.Sequential(nn.LeakyReLU(0.2), convolution, *([nn.BatchNorm2d(out_channels)] if norm else []))


def _double(in_channels: int, out_channels: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(out_channels))
