"""The student: depth from the echoes at two ears.

One encoder per ear. Binaural cross-attention connects the two at the chosen levels, since the differences between the
ears determine direction. Both are fused level by level into a feature pyramid of the teacher's shape, and the same
decoder produces the map::

    left  [B,E,H,W] ── x1 ─ x2 ─ x3 ─ x4 ─ x5         E channels an ear
                            ⇅    ⇅    ⇅    ⇅          cross-attention at attention_levels
    right [B,E,H,W] ── x1 ─ x2 ─ x3 ─ x4 ─ x5
                       ◇    ◇    ◇    ◇    ◇          fusion: 1x1 convolution of both, to the teacher's sizes
                       x1   x2   x3   x4   x5 ── d4 ── d3 ── d2 ── d1 ── head ── depth [B,1,S,S]

Rows of the input are frequencies and columns are times. Rows and columns of the output are those of an image. The
decoder learns this change of axes. With an image grid, the maps are resampled to squares after fusion, and all their
positions mixed: convolutions alone do not reach from every time to every direction. As frequency and time are different
quantities, the encoders can convolve along one after the other (HTF-EchoDepth, 2026). The decoder produces an image and
always convolves over both axes. One encoder can serve both ears.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.core.flags import TrueOrFalse
from echodepth.models.argument_checks import check_binaural_arguments, check_input, check_network_arguments
from echodepth.models.attention.cross_attention import CrossAttention
from echodepth.models.ears import Fusion, as_batch_of_ears, left_and_right
from echodepth.models.heads import DepthHead, UncertaintyHead
from echodepth.models.image_grid import ImageGrid, image_side
from echodepth.models.layers import (
    CONVOLUTIONS,
    ENCODER_LEVELS,
    Decoder,
    DepthNet,
    Encoder,
    Features,
    Prediction,
    UncertaintyConfig,
    encoder_channels,
)
from echodepth.models.networks import NETWORKS


@dataclass(frozen=True, kw_only=True)
class BinauralAttentionConfig(UncertaintyConfig):
    """Flags of the network with binaural cross-attention; the constructor's defaults differ, as the class explains."""

    bilinear: TrueOrFalse = True
    """Upsample bilinearly; False upsamples by transposed convolutions, with 1.9 times the parameters."""
    attention_levels: tuple[int, ...] = ()
    """Encoder levels out of 1 to 5 with binaural cross-attention. Default: none (constructor: 2 3 4 5)."""
    shared_encoder: TrueOrFalse = True
    """Use one encoder for both ears; False trains one for each (constructor: False)."""
    image_grid: TrueOrFalse = True
    """Resample maps to a square and mix all positions: rows and columns are no directions (constructor: False)."""
    convolution: Literal["full", "factorized"] = "full"
    """Encoder convolutions. full: 3x3 over frequency and time. factorized: 3x1 along frequency, then 1x3 along time."""


@NETWORKS.register
class BinauralAttentionDepthNet(DepthNet):
    """Depth in metres from the spectrograms of both ears, and the feature maps.

    Without arguments this is the network of the original description: an encoder for each ear, cross-attention at
    levels 2 to 5, no image grid. ``echodepth train`` has other defaults, which were measured to be better
    (docs/results/students.md): ``attention_levels=(), shared_encoder=True, image_grid=True``, 19.1 M parameters, behind
    a front end that gives spectrograms of 32 frequencies and 128 times of the echoes from within 10 m.

    Args:
        base_channels: channels of the first level; 64 gives 29.4 M parameters with attention at levels 2 to 5.
        bilinear: upsample bilinearly; otherwise by transposed convolutions.
        output_size: side in pixels of the square depth map; None for the input's size, with an image grid for a
            square of about as many pixels.
        max_depth: metres; the output lies in (0, max_depth).
        attention_levels: levels out of 1 to 5 with binaural cross-attention over all positions; none is allowed.
        ear_channels: spectrogram channels of one ear.
        convolution: of the encoders: ``full`` (3x3), or ``factorized`` along frequency (3x1), then time (1x3).
        uncertainty: also predict the uncertainty of each pixel.
        shared_encoder: use one encoder for both ears.
        image_grid: resample the fused maps to squares and mix their positions, see ``ImageGrid``.

    Raises:
        ValueError: an argument is out of range.
    """

    name = "binaural_attention"
    config = BinauralAttentionConfig
    modality = "audio"
    label = "audio"
    is_default = True
    supports_activation_checkpointing = True

    def __init__(
        self,
        base_channels: int = 64,
        bilinear: bool = True,
        output_size: int | None = 256,
        max_depth: float = 30.0,
        attention_levels: Sequence[int] = (2, 3, 4, 5),
        ear_channels: int = 1,
        convolution: str = "full",
        uncertainty: bool = False,
        shared_encoder: bool = False,
        image_grid: bool = False,
    ) -> None:
        super().__init__()
        check_network_arguments(base_channels, output_size)
        check_binaural_arguments(attention_levels, ear_channels)
        if convolution not in CONVOLUTIONS:
            raise ValueError(f"convolution must be {' or '.join(CONVOLUTIONS)}, not {convolution}")
        self.output_size = output_size
        self.max_depth = max_depth
        self.ear_channels = ear_channels
        channels = dict(zip(ENCODER_LEVELS, encoder_channels(base_channels, bilinear), strict=True))
        attended = [f"x{level}" for level in sorted(set(attention_levels))]
        self.shared_encoder = shared_encoder
        if shared_encoder:
            self.ear_encoder = Encoder(ear_channels, base_channels, bilinear, convolution)
        else:
            self.left_encoder = Encoder(ear_channels, base_channels, bilinear, convolution)
            self.right_encoder = Encoder(ear_channels, base_channels, bilinear, convolution)
        self.left_to_right = nn.ModuleDict({level: CrossAttention(channels[level]) for level in attended})
        self.right_to_left = nn.ModuleDict({level: CrossAttention(channels[level]) for level in attended})
        self.fusion = nn.ModuleDict({level: Fusion(c) for level, c in channels.items()})
        self.image_grid = nn.ModuleDict(
            {level: ImageGrid(c, 2**i) for i, (level, c) in enumerate(channels.items())} if image_grid else {}
        )
        self.decoder = Decoder(base_channels, bilinear)
        self.head = DepthHead(base_channels, max_depth)
        if uncertainty:
            self.uncertainty_head = UncertaintyHead(base_channels, max_depth)

    @classmethod
    def arguments_from_weights(cls, weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Constructor arguments that a bare state dict reveals; None if it is not recognised as this network's."""
        shared = weights.get("ear_encoder.stages.0.0.weight")
        first = weights.get("left_encoder.stages.0.0.weight") if shared is None else shared
        if first is None:
            return None
        attended = {name.split(".")[1] for name in weights if name.startswith("left_to_right.")}
        return {
            "base_channels": first.shape[0],
            "bilinear": "decoder.stages.d1.up.weight" not in weights,
            "attention_levels": [int(level.removeprefix("x")) for level in sorted(attended)],
            "convolution": "full" if first.shape[2:] == (3, 3) else "factorized",
            "uncertainty": "uncertainty_head.conv.weight" in weights,
            "shared_encoder": shared is not None,
            "image_grid": "image_grid.x5.mixing.weight" in weights,
        }

    def predict(self, spectrograms: Float[Tensor, "b c f t"]) -> Prediction:
        """Depth, uncertainty if the network has a head for it, and features, of which x1..x5 are those after fusion.

        Args:
            spectrograms: the left ear's channels, then the right ear's; any size of at least 16.

        Raises:
            ValueError: ``spectrograms`` has the wrong number of channels or is too small.
        """
        left, right = self._encode(spectrograms)  # per ear: x1 [B,C,F,T] .. x5 [B,8C,F/16,T/16]
        features: Features = {}
        for level, fuse in self.fusion.items():
            ears = left[level], right[level]
            if level in self.left_to_right:
                both = self.left_to_right[level](*ears, opposite=self.right_to_left[level])
            else:
                both = torch.cat(ears, dim=1)
            features[level] = fuse(both)
        side = image_side(*spectrograms.shape[2:])
        for halvings, (level, to_image) in enumerate(self.image_grid.items()):
            features[level] = to_image(features[level], side // 2**halvings)
        features |= self.decoder(features)  # d1 [B,C,F,T] .. d4 [B,4C,F/8,T/8]
        return self.head_outputs(features)  # [B,1,S,S]

    @torch.no_grad()
    def attention_maps(
        self, spectrograms: Float[Tensor, "b c f t"], frequency: float, time: float
    ) -> dict[str, Float[Tensor, "b _ _"]]:
        """Cross-attention weights of one query position of each ear, for a picture.

        Args:
            spectrograms: as for ``predict``.
            frequency: row of the query, as a fraction of the height in 0..1.
            time: column of the query, as a fraction of the width in 0..1.

        Returns:
            For each level with attention, under ``x2_left_to_right`` and ``x2_right_to_left``, a map over the
            positions of the other ear that sums to 1.
        """
        left, right = self._encode(spectrograms)
        maps: dict[str, Tensor] = {}
        for level in self.left_to_right:
            rows, columns = left[level].shape[-2:]
            row, column = min(int(frequency * rows), rows - 1), min(int(time * columns), columns - 1)
            directions = {
                "left_to_right": (self.left_to_right[level], left[level], right[level]),
                "right_to_left": (self.right_to_left[level], right[level], left[level]),
            }
            for name, (attention, query_map, context_map) in directions.items():
                assert isinstance(attention, CrossAttention)
                maps[f"{level}_{name}"] = attention.attention_weights(query_map, context_map, column)[:, row]
        return maps

    def _encode(self, spectrograms: Tensor) -> tuple[Features, Features]:
        meaning = f"{self.ear_channels} of the left ear, then of the right"
        check_input(spectrograms, 2 * self.ear_channels, "spectrograms", meaning)
        if not self.shared_encoder:
            left, right = spectrograms.split(self.ear_channels, dim=1)
            return self.left_encoder(left), self.right_encoder(right)
        both = self.ear_encoder(as_batch_of_ears(spectrograms))  # per level [2B,C,F,T]
        ears = {level: left_and_right(maps) for level, maps in both.items()}
        return {level: left for level, (left, _) in ears.items()}, {level: right for level, (_, right) in ears.items()}


create_binaural_attention_model = BinauralAttentionDepthNet
"""The documented factory of a :class:`BinauralAttentionDepthNet`."""
