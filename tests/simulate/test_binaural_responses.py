"""Binaural impulse responses of whole rooms: onset, interaural time difference, and symmetry of mirrored rooms."""

import math

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from echodepth.core.constants import SAMPLE_RATE
from echodepth.simulate.acoustics import propagation
from echodepth.simulate.acoustics import recording as recorder
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import Arrivals
from echodepth.simulate.acoustics.ray_tracing import draw_rays
from echodepth.simulate.acoustics.scattering import Patches, draw_patches
from echodepth.simulate.rooms import room_generator
from echodepth.simulate.rooms.scene import Pose, Room
from tests.simulate.acoustic_rooms import OMNI, C, face_images, joined, mirrored, shoebox
from tests.simulate.test_recording import RADIUS, delay_between


def single_echo(room: Room, pose: Pose, face: int) -> tuple[Float[ndarray, " 3"], float, Float[ndarray, "2 t"]]:
    """Direction and path length of one face's echo, computed from its image source, and its simulated responses."""
    head = np.array(pose.position)
    image = face_images(room, pose)[face]
    path_length = math.dist(head, image)
    direction = (image - head) / path_length @ pose.axes
    sounds = propagation.specular_reflections(room, pose, OMNI, order=1)
    at = [int(np.abs(sounds.direction - direction).sum(axis=1).argmin())]
    echo = Arrivals(sounds.direction[at], sounds.path_length[at], sounds.gain[at])
    return direction, path_length, recorder.impulse_responses(echo)


@pytest.mark.parametrize("seed", range(10))
def test_echoes_of_walls_and_floor_begin_at_the_computed_sample(seed: int) -> None:
    room, pose = shoebox(seed)
    for face in range(
        5
    ):  # not the ceiling: KEMAR's responses above 45 degrees of elevation were recorded 5 samples early
        direction, path_length, ears = single_echo(room, pose, face)
        near = np.abs(ears[0 if direction[1] > 0 else 1])
        onset = int((near > 0.15 * near.max()).argmax())
        # A plane wave arrives at the near ear before the head's centre.
        assert onset == pytest.approx((path_length - RADIUS * abs(direction[1])) / C * SAMPLE_RATE, abs=2)


@pytest.mark.parametrize("seed", range(10))
def test_interaural_delay_of_side_wall_echoes_follows_woodworth(seed: int) -> None:
    room, pose = shoebox(seed)
    found = 0
    for face in range(4):
        direction, _, (left, right) = single_echo(room, pose, face)
        theta = math.asin(direction[1])
        if abs(theta) < math.radians(15):
            continue
        expected = RADIUS / C * (theta + math.sin(theta))
        # Below 1.5 kHz the delay is up to 50 % longer (Kuhn 1977).
        assert 0.9 < delay_between(right, left) / SAMPLE_RATE / expected < 1.6
        found += 1
    assert found >= 2


def all_arrivals(room: Room, patches: Patches, pose: Pose, rays: Float[ndarray, "count 97 3"]) -> Arrivals:
    loudspeaker = Loudspeaker()
    return joined(
        propagation.specular_reflections(room, pose, loudspeaker),
        propagation.edge_diffraction(room, pose, loudspeaker),
        propagation.first_scattering(room, patches, pose, loudspeaker),
        propagation.late_sound(room, pose, loudspeaker, rays),
    )


@pytest.mark.parametrize("seed", range(5))
def test_mirrored_furnished_room_swaps_the_ears(seed: int) -> None:
    rng = np.random.default_rng(seed)
    room = room_generator.draw_room(rng)
    patches, pose, rays = draw_patches(room, rng), room_generator.draw_pose(rng, room), draw_rays(100, rng)
    original = recorder.impulse_responses(all_arrivals(room, patches, pose, rays))
    # The mirrored azimuth of a ray is 1 minus the original one.
    swapped = recorder.impulse_responses(
        all_arrivals(*mirrored(room, patches, pose), np.abs(rays - np.array([0, 1, 0])))
    )
    peak = np.abs(original).max()
    np.testing.assert_allclose(
        swapped[::-1], original, atol=5e-7 * peak
    )  # single precision: 6e-8 of the peak, and sums
    assert np.abs(original[0] - original[1]).max() > 0.01 * peak
