"""The student: depth from the echoes at two ears.

One encoder per ear; at the chosen levels each ear looks across at the other, since the difference between the
ears is what tells direction; the two are fused level by level into the teacher's ladder, and the same decoder draws
the map::

    left  [B,E,H,W] ── x1 ─ x2 ─ x3 ─ x4 ─ x5         E channels an ear
                            ⇅    ⇅    ⇅    ⇅          cross-attention at attention_levels
    right [B,E,H,W] ── x1 ─ x2 ─ x3 ─ x4 ─ x5
                       ◇    ◇    ◇    ◇    ◇          fusion: 1x1 convolution of both, to the teacher's sizes
                       x1   x2   x3   x4   x5 ── d4 ── d3 ── d2 ── d1 ── head ── depth [B,1,S,S]

Rows of the input are frequencies, columns are time; the map that comes out is rows and columns of an image. The
decoder learns that change of axes. As frequency and time are unlike each other, the encoders can convolve along one
after the other (HTF-EchoDepth, 2026), while the decoder, which draws an image, always convolves over both.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.attention.cross_attention import ATTENTIONS, CrossAttention
from echodepth.models.heads import DepthHead, UncertaintyHead
from echodepth.models.layers import (
    CONVOLUTIONS,
    ENCODER_LEVELS,
    Decoder,
    DepthNet,
    Encoder,
    Features,
    Prediction,
    check_ears,
    check_input,
    check_network_arguments,
    encoder_channels,
)


class Fusion(nn.Sequential):
    """Both ears' maps of one level, side by side, to the channels of one."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(2 * channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )


class BinauralAttentionDepthNet(DepthNet):
    """Depth in metres from two ears' spectrograms, with its features on request.

    Args:
        base_channels: channels of the first level; 64 gives 29.4 M parameters with attention at levels 2 to 5.
        bilinear: upsample bilinearly; otherwise by transposed convolutions.
        output_size: side in pixels of the square depth map.
        max_depth: metres; the output lies in (0, max_depth).
        attention_levels: levels, out of 1 to 5, at which the ears look across; none is allowed.
        ear_channels: spectrogram channels of one ear.
        convolution: of the ears' encoders: ``full`` (3x3), or ``separated`` along frequency (3x1), then time (1x3).
        attention: what a place of one ear's map looks at in the other's: all of it (``full``), every frequency within
            two columns of its time (``band``), every time at its own frequency (``time``), or means over neighbours,
            32x32 of them (``pooled``). Training takes ``band`` where nothing else is said; bare weights are those of
            ``full``.
        uncertainty: also say how far off the depth is expected to be.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        base_channels: int = 64,
        bilinear: bool = True,
        output_size: int = 256,
        max_depth: float = 30.0,
        attention_levels: Sequence[int] = (2, 3, 4, 5),
        ear_channels: int = 1,
        convolution: str = "full",
        attention: str = "full",
        uncertainty: bool = False,
    ) -> None:
        super().__init__()
        check_network_arguments(base_channels, output_size)
        check_ears(attention_levels, ear_channels)
        if convolution not in CONVOLUTIONS:
            raise ValueError(f"convolution must be {' or '.join(CONVOLUTIONS)}, not {convolution}")
        if attention not in ATTENTIONS:
            raise ValueError(f"attention must be one of {', '.join(ATTENTIONS)}, not {attention}")
        self.output_size = output_size
        self.max_depth = max_depth
        self.ear_channels = ear_channels
        channels = dict(zip(ENCODER_LEVELS, encoder_channels(base_channels, bilinear), strict=True))
        attended = [f"x{level}" for level in sorted(set(attention_levels))]
        self.left_encoder = Encoder(ear_channels, base_channels, bilinear, convolution)
        self.right_encoder = Encoder(ear_channels, base_channels, bilinear, convolution)
        looking = ATTENTIONS[attention]
        self.left_to_right = nn.ModuleDict({level: looking(channels[level]) for level in attended})
        self.right_to_left = nn.ModuleDict({level: looking(channels[level]) for level in attended})
        self.fusion = nn.ModuleDict({level: Fusion(c) for level, c in channels.items()})
        self.decoder = Decoder(base_channels, bilinear)
        self.head = DepthHead(base_channels, max_depth)
        if uncertainty:
            self.uncertainty_head = UncertaintyHead(base_channels, max_depth)

    def predict(self, spectrograms: Float[Tensor, "b c f t"]) -> Prediction:
        """Depth, its scale where there is one, and the features, x1..x5 after fusion.

        Args:
            spectrograms: the left ear's channels, then the right ear's; any size of at least 16.

        Raises:
            ValueError: ``spectrograms`` has the wrong number of channels or is too small.
        """
        left, right = self._hear(spectrograms)  # per ear: x1 [B,C,F,T] .. x5 [B,8C,F/16,T/16]
        features: Features = {}
        for level, fuse in self.fusion.items():
            ears = left[level], right[level]
            if level in self.left_to_right:
                ears = self.left_to_right[level](*ears), self.right_to_left[level](*reversed(ears))
            features[level] = fuse(torch.cat(ears, dim=1))
        features |= self.decoder(features)  # d1 [B,C,F,T] .. d4 [B,4C,F/8,T/8]
        depth = self.head(features["d1"], self.output_size)  # [B,1,S,S]
        scale = self.uncertainty_head(features["d1"], self.output_size) if self.uncertainty_head is not None else None
        return Prediction(depth, scale, features)

    @torch.no_grad()
    def attention_maps(
        self, spectrograms: Float[Tensor, "b c f t"], frequency: float, time: float
    ) -> dict[str, Float[Tensor, "b _ _"]]:
        """Where each ear looks from one place of its own map, for a picture.

        Args:
            spectrograms: as for ``predict``.
            frequency: the place's row, as a fraction of the height in 0..1.
            time: the place's column, as a fraction of the width in 0..1.

        Returns:
            For each attended level, under ``x2_left_to_right`` and ``x2_right_to_left``, a map over the other
            ear's positions that sums to 1.
        """
        left, right = self._hear(spectrograms)
        maps: dict[str, Tensor] = {}
        for level in self.left_to_right:
            rows, columns = left[level].shape[-2:]
            row, column = min(int(frequency * rows), rows - 1), min(int(time * columns), columns - 1)
            directions = {
                "left_to_right": (self.left_to_right[level], left[level], right[level]),
                "right_to_left": (self.right_to_left[level], right[level], left[level]),
            }
            for name, (attention, own, other) in directions.items():
                assert isinstance(attention, CrossAttention)
                maps[f"{level}_{name}"] = attention.look(own, other, column)[:, row]
        return maps

    def _hear(self, spectrograms: Tensor) -> tuple[Features, Features]:
        meaning = f"{self.ear_channels} of the left ear, then of the right"
        check_input(spectrograms, 2 * self.ear_channels, "spectrograms", meaning)
        left, right = spectrograms.split(self.ear_channels, dim=1)
        return self.left_encoder(left), self.right_encoder(right)


def create_binaural_attention_model(
    base_channels: int = 64,
    bilinear: bool = True,
    output_size: int = 256,
    max_depth: float = 30.0,
    attention_levels: Sequence[int] = (2, 3, 4, 5),
    ear_channels: int = 1,
    convolution: str = "full",
    attention: str = "full",
    uncertainty: bool = False,
) -> BinauralAttentionDepthNet:
    """Make a :class:`BinauralAttentionDepthNet`; the arguments are those of the class."""
    return BinauralAttentionDepthNet(
        base_channels,
        bilinear,
        output_size,
        max_depth,
        attention_levels,
        ear_channels,
        convolution,
        attention,
        uncertainty,
    )
