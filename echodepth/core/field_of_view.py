"""The field of view of a camera, which gives the pixels of a depth map their directions."""

import math
from dataclasses import dataclass

from echodepth.core.errors import ConfigError


@dataclass(frozen=True)
class FieldOfView:
    """Angles that an undistorted camera sees, with its optical axis at the centre of its image.

    They stay the same when an image is resized, to a square as well, unlike focal lengths in pixels.

    Attributes:
        horizontal: degrees.
        vertical: degrees.

    Raises:
        ConfigError: an angle is not between 0 and 180 degrees.
    """

    horizontal: float
    vertical: float

    def __post_init__(self) -> None:
        if not all(0 < angle < 180 for angle in self.degrees):
            raise ConfigError(f"a field of view of {self}: give two angles between 0 and 180")

    def __str__(self) -> str:
        return f"{self.horizontal:g} x {self.vertical:g} degrees"

    @classmethod
    def from_width(cls, horizontal: float, aspect_ratio: float) -> "FieldOfView":
        """The field of view of a horizontal angle in degrees and a width divided by height."""
        return cls(horizontal, math.degrees(2 * math.atan(math.tan(math.radians(horizontal) / 2) / aspect_ratio)))

    @classmethod
    def from_focal_lengths(cls, fx: float, fy: float, width: int | float, height: int | float) -> "FieldOfView":
        """The field of view of an image of ``width`` x ``height`` pixels, from focal lengths in pixels."""
        return cls(*(math.degrees(2 * math.atan(side / (2 * focal))) for side, focal in ((width, fx), (height, fy))))

    @property
    def degrees(self) -> tuple[float, float]:
        """Horizontal and vertical angle."""
        return self.horizontal, self.vertical

    @property
    def aspect_ratio(self) -> float:
        """Width divided by height of what the camera sees at one depth, hence of its image with square pixels."""
        across, upward = self.focal_lengths(1, 1)
        return upward / across

    def focal_lengths(self, width: int, height: int) -> tuple[float, float]:
        """Horizontal and vertical focal length in pixels, for an image of ``width`` x ``height`` pixels."""
        across, upward = (
            side / (2 * math.tan(math.radians(angle) / 2))
            for side, angle in zip((width, height), self.degrees, strict=True)
        )
        return across, upward


BATVISION_V2 = FieldOfView(86.0, 57.0)
"""The depth camera of BatVision V2, and of simulated rooms."""
