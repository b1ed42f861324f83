"""Diffraction at edges: continuity at the boundaries, reciprocity, and arrival times."""

import math

import numpy as np
import pytest

from echodepth.simulate.acoustics import propagation
from echodepth.simulate.acoustics.diffraction import edge_pressure
from echodepth.simulate.rooms.scene import Pose
from tests.simulate.acoustic_rooms import OMNI, C, LosslessAir, box, room_of


def test_edge_carries_half_the_field_at_the_shadow_and_reflection_boundaries() -> None:
    # The total field is continuous at a boundary. A geometrical path of pressure 1 / (a + b) ends there, so the edge
    # adds minus half of it on the lit side and plus half on the shadow side.
    near, far, k = 2.0, 3.0, 2 * math.pi * 2000 / C
    full = 1 / (near + far)
    tilt = 1e-4
    for in_angle in (0.5, 0.9):
        shadow = edge_pressure(far, near, 1.0, math.pi + in_angle + tilt, in_angle, k)
        lit = edge_pressure(far, near, 1.0, math.pi + in_angle - tilt, in_angle, k)
        assert shadow - lit == pytest.approx(full, rel=0.02)
        inside = edge_pressure(far, near, 1.0, math.pi - in_angle - tilt, in_angle, k)
        outside = edge_pressure(far, near, 1.0, math.pi - in_angle + tilt, in_angle, k)
        assert outside - inside == pytest.approx(full, rel=0.02)


def test_edge_pressure_is_reciprocal_and_falls_with_frequency() -> None:
    k = 2 * math.pi * 1000 / C
    pressure = edge_pressure(2.0, 3.0, 1.0, 4.0, 0.7, k)
    assert edge_pressure(3.0, 2.0, 1.0, 0.7, 4.0, k) == pytest.approx(pressure)
    # Away from all boundaries the coefficient falls with the root of frequency: 3 dB an octave.
    levels = [abs(edge_pressure(2.0, 2.0, 1.0, 1.3, 0.3, k * octave)) for octave in (16, 32, 64)]
    assert levels[0] / levels[1] == pytest.approx(math.sqrt(2), rel=0.05)
    assert levels[1] / levels[2] == pytest.approx(math.sqrt(2), rel=0.05)


def test_sound_diffracted_by_a_board_arrives_from_its_edges() -> None:
    board = box(4.0, 3.0, (0.1, 1.0, 0.5), floor=0.5)
    pose = Pose((2.0, 3.0, 0.9), 0.0)
    loudspeaker = LosslessAir(emitter=(0.0, 0.0, 0.0), omnidirectional=True)
    waves = propagation.edge_diffraction(room_of(8, 6, 3, board), pose, loudspeaker)
    # The nearest points of the front's four edges: left and right at head height, top and bottom straight ahead.
    front = [(3.9, 4.0, 0.9), (3.9, 2.0, 0.9), (3.9, 3.0, 1.5), (3.9, 3.0, 0.5)]
    for point in front:
        assert np.abs(waves.path_length - 2 * math.dist(point, pose.position)).min() < 1e-9
    assert waves.path_length.size == 4
    standing = box(4.0, 3.0, (0.1, 1.0, 0.5))
    waves = propagation.edge_diffraction(room_of(8, 6, 3, standing), pose, OMNI)
    assert (waves.direction[:, 2] > -0.2).all()  # the joint with the floor is no edge
