"""The interface of a front end, which turns raw images or waveforms into the input of a network."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Modality = Literal["image", "audio"]
"""Key of a sample that a model takes as its input."""


class FrontEnd(nn.Module, ABC):
    """Base class of the front ends.

    A front end has no weights. Its settings are saved with the weights of the network that was trained behind it.

    Args:
        image_size: side of the square output in pixels.

    Attributes:
        name: key in ``FRONT_ENDS``.
        config: frozen dataclass of the flags that are constructor arguments besides ``image_size``.
        modality: ``image`` or ``audio``.
        is_default: whether models of this modality take it unless another one is named.
    """

    name: ClassVar[str]
    config: ClassVar[type]
    modality: ClassVar[Modality]
    is_default: ClassVar[bool] = False

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size

    @property
    def settings(self) -> dict[str, Any]:
        """All constructor arguments, as plain values."""
        return {"image_size": self.image_size}

    @property
    def network_arguments(self) -> dict[str, Any]:
        """Constructor arguments of a network that depend on this front end."""
        return {}

    @property
    @abstractmethod
    def input_channels(self) -> int:
        """Channels of the output, which is the input of the network."""

    @abstractmethod
    def forward(self, raw: Tensor) -> Float[Tensor, "b c s s"]:
        """The network's input from images [B,3,H,W] in 0..1 or waveforms [B,2,T] of full scale 1."""

    @abstractmethod
    def exportable(self, samples: int) -> nn.Module:
        """The same function in operations that export formats have.

        Args:
            samples: length of the waveforms; ignored for images, which the exported graph takes at ``image_size``.
        """


def resize(x: Float[Tensor, "b c h w"], size: int, antialias: bool = True) -> Float[Tensor, "b c s s"]:
    """Resize to a square by bilinear interpolation, by default antialiased."""
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=antialias)
