"""The teacher: depth from one colour image.

A U-Net (arXiv 1505.04597) with batch norm, padding, and a bounded head in metres::

    image [B,3,H,W]
      x1 ──────────────── d1 ── head ── depth [B,1,S,S]
       └ x2 ──────────── d2
          └ x3 ──────── d3
             └ x4 ──── d4
                └ x5 ──┘

Its feature ladder has the same shapes as the audio student's at every level, which is what makes matching them,
level by level, possible at all.
"""

from jaxtyping import Float
from torch import Tensor

from echodepth.models.heads import DepthHead, UncertaintyHead
from echodepth.models.layers import (
    Decoder,
    DepthNet,
    Encoder,
    Prediction,
    check_input,
    check_network_arguments,
)


class RGBDepthNet(DepthNet):
    """Monocular depth in metres, with its features on request.

    Args:
        base_channels: channels of the first level; 64 gives 17.3 M parameters, 32 gives 4.3 M.
        bilinear: upsample bilinearly; otherwise by transposed convolutions, with 1.8 times the parameters.
        output_size: side in pixels of the square depth map.
        max_depth: metres; the output lies in (0, max_depth).
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

    def predict(self, rgb: Float[Tensor, "b c h w"]) -> Prediction:
        """Depth, its scale where there is one, and the features.

        Args:
            rgb: colours in 0..1; any height and width of at least 16.

        Raises:
            ValueError: ``rgb`` has the wrong number of channels or is too small.
        """
        check_input(rgb, 3, "rgb", "colour images")
        features = self.encoder(rgb)  # x1 [B,C,H,W] .. x5 [B,8C,H/16,W/16]
        features |= self.decoder(features)  # d1 [B,C,H,W] .. d4 [B,4C,H/8,W/8]
        depth = self.head(features["d1"], self.output_size)  # [B,1,S,S]
        scale = self.uncertainty_head(features["d1"], self.output_size) if self.uncertainty_head is not None else None
        return Prediction(depth, scale, features)


def create_rgb_depth_model(
    base_channels: int = 64,
    bilinear: bool = True,
    output_size: int = 256,
    max_depth: float = 30.0,
    uncertainty: bool = False,
) -> RGBDepthNet:
    """Make an :class:`RGBDepthNet`; the arguments are those of the class."""
    return RGBDepthNet(base_channels, bilinear, output_size, max_depth, uncertainty)
