"""The front end of RGB networks."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.frontends.base import FrontEnd, resize


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """The image front end has no flags of its own."""


@FRONT_ENDS.register
class ImageFrontEnd(FrontEnd):
    """Colour images, resized to the size that the network was trained at.

    Args:
        image_size: side of the square output in pixels.
    """

    name = "image"
    config = ImageConfig
    modality = "image"
    is_default = True
    input_channels = 3

    def __init__(self, image_size: int = 256) -> None:
        super().__init__(image_size)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 s s"]:
        """Images in 0..1 of any size, at the training size."""
        return resize(image, (self.image_size, self.image_size))

    def exportable(self, samples: int) -> nn.Module:
        """The identity: images are resized before they enter an exported graph."""
        return nn.Identity()
