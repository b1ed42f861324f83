"""The teacher: depth from one colour image.

A U-Net (arXiv 1505.04597) with batch norm, padding, and a bounded head in metres::

    image [B,3,H,W]
      x1 ──────────────── d1 ── head ── depth [B,1,H,W]
       └ x2 ──────────── d2
          └ x3 ──────── d3
             └ x4 ──── d4
                └ x5 ──┘

Its feature pyramid has the same shape at every level as that of the audio student, so that features can be matched
level by level.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from echodepth.core.flags import TrueOrFalse
from echodepth.models.argument_checks import check_input, check_network_arguments
from echodepth.models.heads import DepthHead, UncertaintyHead
from echodepth.models.layers import Decoder, DepthNet, Encoder, Prediction, UncertaintyConfig
from echodepth.models.networks import NETWORKS


@dataclass(frozen=True, kw_only=True)
class RGBDepthConfig(UncertaintyConfig):
    """Flags of the RGB network."""

    bilinear: TrueOrFalse = True
    """Upsample bilinearly; False upsamples by transposed convolutions, with 1.8 times the parameters."""


@NETWORKS.register
class RGBDepthNet(DepthNet):
    """Monocular depth in metres, and the feature maps.

    Args:
        base_channels: channels of the first level; 64 gives 17.3 M parameters, 32 gives 4.3 M.
        bilinear: upsample bilinearly; otherwise by transposed convolutions, with 1.8 times the parameters.
        output_size: side in pixels of the square depth map; None for the input's size.
        max_depth: metres; the output lies in (0, max_depth).
        uncertainty: also predict the uncertainty of each pixel.

    Raises:
        ValueError: an argument is out of range.
    """

    name = "rgb"
    config = RGBDepthConfig
    modality = "image"
    label = "RGB (upper bound)"
    is_default = True
    supports_activation_checkpointing = True

    def __init__(
        self,
        base_channels: int = 64,
        bilinear: bool = True,
        output_size: int | None = 256,
        max_depth: float = 30.0,
        uncertainty: bool = False,
    ) -> None:
        super().__init__()
        check_network_arguments(base_channels, output_size)
        self.output_size = output_size
        self.max_depth = max_depth
        self.encoder = Encoder(3, base_channels, bilinear)
        self.decoder = Decoder(base_channels, bilinear)
        self.head = DepthHead(base_channels, max_depth)
        if uncertainty:
            self.uncertainty_head = UncertaintyHead(base_channels, max_depth)

    @classmethod
    def arguments_from_weights(cls, weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Constructor arguments that a bare state dict reveals; None if it is not recognised as this network's."""
        first = weights.get("encoder.stages.0.0.weight")
        if first is None:
            return None
        return {
            "base_channels": first.shape[0],
            "bilinear": "decoder.stages.d1.up.weight" not in weights,
            "uncertainty": "uncertainty_head.conv.weight" in weights,
        }

    def predict(self, rgb: Float[Tensor, "b c h w"]) -> Prediction:
        """Depth, uncertainty if the network has a head for it, and features.

        Args:
            rgb: colours in 0..1; any height and width of at least 16.

        Raises:
            ValueError: ``rgb`` has the wrong number of channels or is too small.
        """
        check_input(rgb, 3, "rgb", "colour images")
        features = self.encoder(rgb)  # x1 [B,C,H,W] .. x5 [B,8C,H/16,W/16]
        features |= self.decoder(features)  # d1 [B,C,H,W] .. d4 [B,4C,H/8,W/8]
        return self.head_outputs(features)  # [B,1,H,W]


create_rgb_depth_model = RGBDepthNet
"""The documented factory of an :class:`RGBDepthNet`."""
