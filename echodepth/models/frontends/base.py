"""The interface of a front end, which turns raw images or waveforms into the input of a network."""

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.core.flags import plain, select

Modality = Literal["image", "audio"]
"""Key of a sample that a model takes as its input."""


MINIMUM_SIZE = 16
"""Pixels of the smallest side of images, depth maps and spectrograms: networks halve them four times."""
LARGEST_SIZE = 1024
"""Pixels of the largest side of images, depth maps and spectrograms: a bound on memory, whatever a model asks for."""


class FrontEnd(nn.Module, ABC):
    """Base class of the front ends.

    A front end has no weights. Its settings are saved with the weights of the network that was trained behind it.

    Args:
        image_size: side in pixels of the depth map; an image front end's output has the same size.

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
        if not MINIMUM_SIZE <= image_size <= LARGEST_SIZE:
            raise ValueError(f"image_size must be {MINIMUM_SIZE} to {LARGEST_SIZE} pixels, not {image_size}")
        self.image_size = image_size

    @classmethod
    def from_config(cls, config: object, image_size: int) -> "FrontEnd":
        """The front end of some flags.

        Args:
            config: has the flags of ``config`` as attributes.
            image_size: side of the depth map in pixels.

        Raises:
            DataError: a file that a flag names cannot be read.
            ValueError: a flag is out of range; the message begins with its name.
        """
        return cls(image_size=image_size, **plain(select(config, cls.config)))

    @property
    def settings(self) -> dict[str, Any]:
        """All constructor arguments, as plain values."""
        return {"image_size": self.image_size}

    @property
    def flags(self) -> dict[str, Any]:
        """Values of the flags of ``config`` that give these settings, as plain values."""
        return {field.name: self.settings[field.name] for field in fields(self.config)}

    @property
    def network_arguments(self) -> dict[str, Any]:
        """Constructor arguments of a network that depend on this front end."""
        return {}

    @property
    @abstractmethod
    def input_channels(self) -> int:
        """Channels of the output, which is the input of the network."""

    @abstractmethod
    def forward(self, raw: Tensor) -> Float[Tensor, "b c h w"]:
        """The network's input from images [B,3,H,W] in 0..1 or waveforms [B,2,T] of full scale 1."""

    @abstractmethod
    def exportable(self, samples: int) -> nn.Module:
        """The same function in operations that export formats have.

        Args:
            samples: length of the waveforms; ignored for images, which the exported graph takes at ``image_size``.
        """


def resize(x: Float[Tensor, "b c h w"], size: tuple[int, int], antialias: bool = True) -> Float[Tensor, "b c h2 w2"]:
    """Resize to rows and columns by bilinear interpolation, by default antialiased."""
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=antialias)
