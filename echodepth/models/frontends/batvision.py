"""BatVision's own input, for its baseline and its published figures."""

from dataclasses import dataclass
from typing import Any

from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.frontends.echo import EchoFrontEnd


@dataclass(frozen=True, kw_only=True)
class BatVisionConfig:
    """BatVision's front end has no flags of its own."""


@FRONT_ENDS.register
class BatVisionFrontEnd(EchoFrontEnd):
    """Magnitude spectrograms of the whole waveform, resized to the depth map's size without antialiasing.

    This is the input of BatVision's code (arXiv 2303.07257).

    Args:
        image_size: side in pixels of the depth map and of the spectrograms.
    """

    name = "batvision"
    config = BatVisionConfig
    is_default = False

    def __init__(self, image_size: int = 256) -> None:
        super().__init__(image_size, "magnitude", spectrogram_antialias=False)

    @property
    def settings(self) -> dict[str, Any]:
        """All constructor arguments, as plain values."""
        return {"image_size": self.image_size}

    @classmethod
    def from_config(cls, config: object, image_size: int) -> "BatVisionFrontEnd":
        """The front end for an image size; there are no flags."""
        return cls(image_size)
