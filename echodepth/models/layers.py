"""Building blocks of the networks: double convolutions, the feature pyramid, and the base class of all networks.

The feature pyramid for base channels C. Transposed convolutions (``bilinear=False``) need wider maps::

    size                     1      1/2    1/4    1/8    1/16
    encoder                  x1 C   x2 2C  x3 4C  x4 8C  x5 8C    (transposed: x5 16C)
    decoder, bilinear        d1 C   d2 C   d3 2C  d4 4C
    decoder, transposed      d1 C   d2 2C  d3 4C  d4 8C
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, overload

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.activation_checkpointing import checkpointed
from echodepth.models.frontends.base import MINIMUM_SIZE, Modality
from echodepth.models.heads import DepthHead, UncertaintyHead
from echodepth.models.resampling import upsample

ENCODER_LEVELS = ("x1", "x2", "x3", "x4", "x5")
DECODER_LEVELS = ("d1", "d2", "d3", "d4")
FEATURE_LEVELS = ENCODER_LEVELS + DECODER_LEVELS

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
    """Twice: a 3x1 convolution along the rows' axis, then a 1x3 convolution along the columns' axis.

    In a spectrogram these axes are frequency and time. The receptive field is that of ``DoubleConv``. Each of the four
    convolutions has its own norm and ReLU, because Szegedy et al. (arXiv 1512.00567, 3.1) found a linear first half
    worse in all their experiments. The first half already widens, so that a single input channel is no bottleneck.
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
    "factorized": FactorizedDoubleConv,
}
"""Convolution blocks of an encoder by name."""


class Down(nn.Sequential):
    """Max pooling by two, which rounds odd sizes down, then a convolution block."""

    def __init__(self, in_channels: int, out_channels: int, convolution: str) -> None:
        super().__init__(nn.MaxPool2d(2), CONVOLUTIONS[convolution](in_channels, out_channels))


class Up(nn.Module):
    """Upsampling by two, concatenation with the skip connection, then a double convolution."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, bilinear: bool) -> None:
        super().__init__()
        self.up: nn.Module | None = None
        if bilinear:
            up_channels, mid_channels = in_channels, (in_channels + skip_channels) // 2
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
            up_channels, mid_channels = in_channels // 2, out_channels
        self.conv = DoubleConv(up_channels + skip_channels, out_channels, mid_channels)

    def forward(self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b s h2 w2"]) -> Float[Tensor, "b o h2 w2"]:
        """Merge ``x`` with ``skip`` at the size of ``skip``."""
        rows, columns = x.shape[-2:]
        x = upsample(x, (2 * rows, 2 * columns), align_corners=True) if self.up is None else self.up(x)
        if x.shape[-2:] != skip.shape[-2:]:
            # Pooling dropped the last row or column of an odd size. It is repeated: zeros would look like an edge.
            rows, columns = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
            x = F.pad(x, (0, columns, 0, rows), mode="replicate")
        merged: Tensor = self.conv(torch.cat([skip, x], dim=1))
        return merged


class Encoder(nn.Module):
    """Contracting path: x1 at full size to x5 at a sixteenth; ``convolution`` is a key of ``CONVOLUTIONS``."""

    checkpoint_activations = False

    def __init__(self, in_channels: int, base_channels: int, bilinear: bool, convolution: str = "full") -> None:
        super().__init__()
        channels = encoder_channels(base_channels, bilinear)
        stem = CONVOLUTIONS[convolution](in_channels, channels[0])
        self.stages = nn.ModuleList([stem, *(Down(a, b, convolution) for a, b in pairwise(channels))])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Features:
        """All five levels, by name."""
        features: Features = {}
        for level, stage in zip(ENCODER_LEVELS, self.stages, strict=True):
            x = features[level] = checkpointed(stage, x) if self.checkpoint_activations else stage(x)
        return features


class Decoder(nn.Module):
    """Expanding path: x5 to d1, with skip connections from x4..x1."""

    checkpoint_activations = False

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
            x = features[level] = checkpointed(stage, *inputs) if self.checkpoint_activations else stage(*inputs)
        return {level: features[level] for level in DECODER_LEVELS}


class Prediction(NamedTuple):
    """Output of a network for a batch.

    Attributes:
        depth: metres in (0, max_depth), [B,1,H,W].
        uncertainty: Laplace scale of the depth's error in metres, [B,1,H,W]; None without an uncertainty head.
        features: the maps x1..x5 and d1..d4 by name.
    """

    depth: Float[Tensor, "b 1 h w"]
    uncertainty: Float[Tensor, "b 1 h w"] | None
    features: Features


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Flags that all networks have."""

    base_channels: int = 64
    """Channels of the first level; 32 has a quarter of the parameters of 64."""


@dataclass(frozen=True, kw_only=True)
class UncertaintyConfig(NetworkConfig):
    """Flags of networks that can have an uncertainty head."""

    uncertainty: bool = False
    """Also predict the uncertainty of each pixel (Laplace scale, m); depth is trained as without it."""


class DepthNet(nn.Module, ABC):
    """Base class of the networks.

    Attributes:
        name: key in ``NETWORKS``.
        config: frozen dataclass of the flags that are constructor arguments besides ``output_size``, ``max_depth`` and
            the ``network_arguments`` of the front end.
        modality: ``image`` or ``audio``.
        label: name in tables.
        is_default: whether runs of this modality train it unless another one is named.
        single_frame_size: smallest image side at which a batch of one frame has statistics for every batch norm.
        supports_activation_checkpointing: whether its encoders and decoder are ``Encoder`` and ``Decoder``.
        feature_levels: names of the feature maps.
        output_size: side in pixels of the square depth map; None for a size that follows the input's.
        max_depth: metres; depth lies in (0, max_depth).
    """

    name: ClassVar[str]
    config: ClassVar[type[NetworkConfig]]
    modality: ClassVar[Modality]
    label: ClassVar[str]
    is_default: ClassVar[bool] = False
    single_frame_size: ClassVar[int] = 2 * MINIMUM_SIZE
    supports_activation_checkpointing: ClassVar[bool] = False
    feature_levels: ClassVar[tuple[str, ...]] = FEATURE_LEVELS

    output_size: int | None
    max_depth: float
    head: DepthHead
    uncertainty_head: UncertaintyHead | None

    def __init__(self) -> None:
        super().__init__()
        self.uncertainty_head = None

    @classmethod
    def arguments_from_weights(cls, weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Constructor arguments that a bare state dict reveals; None if it is not recognised as this network's."""
        return None

    def use_activation_checkpointing(self) -> None:
        """Keep only the result of each level for the backward pass, which computes the rest again.

        Raises:
            ValueError: the network does not support it.
        """
        if not self.supports_activation_checkpointing:
            raise ValueError(f"{type(self).__name__} does not support activation checkpointing")
        for module in self.modules():
            if isinstance(module, Encoder | Decoder):
                module.checkpoint_activations = True

    @abstractmethod
    def predict(self, x: Float[Tensor, "b c h w"]) -> Prediction:
        """Depth, uncertainty if the network has a head for it, and features.

        Raises:
            ValueError: ``x`` has the wrong number of channels or is too small.
        """

    def head_outputs(self, features: Features, size: int | tuple[int, int] | None = None) -> Prediction:
        """Depth and uncertainty from the features' d1, at the output size; if it is None at ``size``, or that of d1."""
        rows, columns = features["d1"].shape[-2:]
        size = self.output_size or size or (rows, columns)
        depth = self.head(features["d1"], size)
        uncertainty = None if self.uncertainty_head is None else self.uncertainty_head(features["d1"], size)
        return Prediction(depth, uncertainty, features)

    @overload
    def forward(self, x: Tensor, return_features: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, return_features: Literal[True]) -> tuple[Tensor, Features]: ...
    def forward(
        self, x: Float[Tensor, "b c h w"], return_features: bool = False
    ) -> Float[Tensor, "b 1 h2 w2"] | tuple[Float[Tensor, "b 1 h2 w2"], Features]:
        """Predict depth.

        Args:
            x: as for ``predict``.
            return_features: also return the feature maps.

        Returns:
            Depth in metres, and with ``return_features`` the nine feature maps by name.

        Raises:
            ValueError: ``x`` has the wrong number of channels or is too small.
        """
        depth, _, features = self.predict(x)
        return (depth, features) if return_features else depth


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
