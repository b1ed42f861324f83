"""Whole rooms in the ears' waveforms: echoes at their sample, from their side; mirrored rooms with swapped ears."""

import math

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from echodepth.simulate.acoustics import propagation
from echodepth.simulate.acoustics import recording as recorder
from echodepth.simulate.acoustics.hrtf import SAMPLE_RATE
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import Arrivals
from echodepth.simulate.acoustics.ray_tracing import draw_rays
from echodepth.simulate.acoustics.scattering import Patches, draw_patches
from echodepth.simulate.rooms import room_generator
from echodepth.simulate.rooms.scene import Pose, Room
from tests.simulate.test_acoustics import OMNI, C, face_images, joined, mirrored, shoebox
from tests.simulate.test_recording import RADIUS, delay_between


def heard_alone(room: Room, pose: Pose, face: int) -> tuple[Float[ndarray, " 3"], float, Float[ndarray, "2 t"]]:
    """Where one face's echo comes from and how far it went, by hand; and what the ears hear of it, as simulated."""
    head = np.array(pose.position)
    image = face_images(room, pose)[face]
    way = math.dist(head, image)
    direction = (image - head) / way @ pose.axes
    sounds = propagation.early(room, pose, OMNI, order=1)
    at = [int(np.abs(sounds.direction - direction).sum(axis=1).argmin())]
    return direction, way, recorder.impulse_responses(Arrivals(sounds.direction[at], sounds.way[at], sounds.gain[at]))


@pytest.mark.parametrize("seed", range(10))
def test_echoes_of_walls_and_floor_begin_at_their_sample(seed: int) -> None:
    room, pose = shoebox(seed)
    for face in range(5):  # not the ceiling: KEMAR's responses from above 45 degrees were recorded 5 samples early
        direction, way, ears = heard_alone(room, pose, face)
        near = np.abs(ears[0 if direction[1] > 0 else 1])
        onset = int((near > 0.15 * near.max()).argmax())
        # A plane wave reaches the near ear before the head's centre.
        assert onset == pytest.approx((way - RADIUS * abs(direction[1])) / C * SAMPLE_RATE, abs=2)


@pytest.mark.parametrize("seed", range(10))
def test_echoes_of_side_walls_reach_their_own_ear_first_by_woodworths_time(seed: int) -> None:
    room, pose = shoebox(seed)
    found = 0
    for face in range(4):
        direction, _, (left, right) = heard_alone(room, pose, face)
        theta = math.asin(direction[1])
        if abs(theta) < math.radians(15):
            continue
        expected = RADIUS / C * (theta + math.sin(theta))
        # Up to half as long again below 1.5 kHz (Kuhn 1977).
        assert 0.9 < delay_between(right, left) / SAMPLE_RATE / expected < 1.6
        found += 1
    assert found >= 2


def everything(room: Room, patches: Patches, pose: Pose, rays: Float[ndarray, "count 97 3"]) -> Arrivals:
    rig = Loudspeaker()
    return joined(
        propagation.early(room, pose, rig),
        propagation.diffracted(room, pose, rig),
        propagation.scattered(room, patches, pose, rig),
        propagation.late(room, pose, rig, rays),
    )


@pytest.mark.parametrize("seed", range(5))
def test_mirrored_furnished_room_swaps_the_ears_to_the_last_digit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    room = room_generator.draw_room(rng)
    patches, pose, rays = draw_patches(room, rng), room_generator.draw_pose(rng, room), draw_rays(100, rng)
    here = recorder.impulse_responses(everything(room, patches, pose, rays))
    # Azimuths of rays run from 1 downwards in a mirror.
    there = recorder.impulse_responses(everything(*mirrored(room, patches, pose), np.abs(rays - np.array([0, 1, 0]))))
    peak = np.abs(here).max()
    np.testing.assert_allclose(there[::-1], here, atol=5e-7 * peak)  # single precision: 6e-8 of the peak, and sums
    assert np.abs(here[0] - here[1]).max() > 0.01 * peak
