"""Angles of a camera: hand-worked focal lengths and shapes."""

import math

import pytest

from echodepth.core.errors import ConfigError
from echodepth.core.field_of_view import BATVISION_V2, FieldOfView


def test_focal_lengths_are_the_half_side_over_the_tangent_of_the_half_angle() -> None:
    """tan 43° = 0.93252, tan 28.5° = 0.54296; a square image of 64 pixels has 32 to either side of the axis."""
    across, upward = BATVISION_V2.focal_lengths(64, 64)
    assert (across, upward) == pytest.approx((32 / 0.93252, 32 / 0.54296), rel=1e-5)
    assert BATVISION_V2.aspect_ratio == pytest.approx(0.93252 / 0.54296, rel=1e-5)
    assert BATVISION_V2.focal_lengths(1280, 720) == pytest.approx((640 / 0.93252, 360 / 0.54296), rel=1e-5)


def test_a_camera_of_known_focal_lengths() -> None:
    """The Kinect of the TUM benchmark: 525 pixels, images of 640x480; half angles of arctan 320/525 and 240/525."""
    camera = FieldOfView.from_focal_lengths(525.0, 525.0, 640, 480)
    assert camera.degrees == pytest.approx((62.73, 49.13), abs=0.01)
    assert camera.aspect_ratio == pytest.approx(4 / 3)
    assert FieldOfView.from_width(camera.horizontal, 4 / 3).vertical == pytest.approx(camera.vertical)
    assert str(BATVISION_V2) == "86 x 57 degrees"


@pytest.mark.parametrize("angle", [0.0, -1.0, 180.0, math.nan, math.inf])
def test_impossible_angles_are_refused(angle: float) -> None:
    for degrees in ((angle, 57.0), (86.0, angle)):
        with pytest.raises(ConfigError, match="give two angles between 0 and 180"):
            FieldOfView(*degrees)
