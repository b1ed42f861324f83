"""Specular reflections against geometry and pyroomacoustics, and a mirrored scene."""

import math
from dataclasses import replace

import numpy as np
import pyroomacoustics
import pytest

from echodepth.simulate.acoustics import propagation
from echodepth.simulate.acoustics.image_sources import large_faces
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.ray_tracing import draw_rays
from echodepth.simulate.acoustics.scattering import draw_patches
from echodepth.simulate.rooms.scene import Pose
from tests.simulate.acoustic_rooms import (
    KILOHERTZ,
    OMNI,
    C,
    LosslessAir,
    box,
    face_images,
    material,
    mirrored,
    room_of,
    shoebox,
)


@pytest.mark.parametrize("seed", range(4))
def test_direct_sound_comes_first_after_distance_over_c(seed: int) -> None:
    room, pose = shoebox(seed, material(0.1, 0.2))
    loudspeaker, rng = Loudspeaker(), np.random.default_rng(seed)
    # The wall of the genuine recording is 1.33 m away: its echo came 7.1 ms after the direct sound, 2 cm either way.
    assert (2 * 1.33 - 0.07 - math.hypot(0.07, 0.14)) / C == pytest.approx(7.1e-3, abs=1.2e-4)
    sounds = propagation.propagate(room, draw_patches(room, rng), pose, loudspeaker, rng)
    assert sounds.path_length[0] == pytest.approx(math.hypot(0.07, 0.14))
    assert sounds.path_length.argmin() == 0
    np.testing.assert_allclose(sounds.direction[0], np.array([1, 0, -2]) / math.sqrt(5), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(sounds.direction, axis=1), 1, atol=1e-9)


def test_the_body_weakens_the_direct_sound_and_the_floor_under_the_robot_alone() -> None:
    room, pose = room_of(6, 5, 3, walls=material(0.1, 0.2)), Pose((3.0, 2.5, 0.35), 0.3)
    patches = draw_patches(room, np.random.default_rng(0))
    robots = OMNI, replace(OMNI, isolation=12.0)
    for without, isolated in (
        [propagation.specular_reflections(room, pose, robot) for robot in robots],
        [propagation.first_scattering(room, patches, pose, robot) for robot in robots],
    ):
        weaker = 20 * np.log10(np.abs(without.gain / isolated.gain))
        is_direct = without.path_length < 0.16
        is_below = without.direction[:, 2] < -math.sqrt(0.5)
        np.testing.assert_allclose(weaker, 12.0 * (is_direct | is_below)[:, None] * np.ones(8), atol=1e-9)
        assert 0 < is_below.sum() < 0.2 * is_below.size
    # The floor's echo comes to the loudspeaker's place and from below the head: 0.35 + 0.21 m down and 0.07 m ahead.
    floor = propagation.specular_reflections(room, pose, OMNI, order=1)
    assert math.hypot(0.07, 0.56) == pytest.approx(floor.path_length[floor.direction[:, 2] < -0.9][0], abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_first_echo_of_every_face_arrives_at_the_computed_sample(seed: int) -> None:
    """Every face counts: the earliest echo is the floor's, which the fixed height makes equal in all rooms."""
    room, pose = shoebox(seed)
    head, images = np.array(pose.position), face_images(room, pose)
    echoes = propagation.specular_reflections(room, pose, OMNI, order=1)
    path_length = np.linalg.norm(images - head, axis=1)
    ours, by_hand = 1 + echoes.path_length[1:].argsort(), path_length.argsort()
    assert echoes.path_length[ours] / C * 44100 == pytest.approx(path_length[by_hand] / C * 44100, abs=0.01)
    expected = ((images - head) / path_length[:, None] @ pose.axes)[by_hand]
    np.testing.assert_allclose(echoes.direction[ours], expected, atol=1e-9)
    # No reflection of a higher order comes before the nearest wall's.
    nearest_wall = path_length[:4].min()
    later = propagation.specular_reflections(room, pose, OMNI).path_length[1:]
    assert set(np.round(later[later < nearest_wall - 1e-6], 6)) <= set(np.round(path_length[4:], 6))


def test_pressure_is_inverse_to_path_length() -> None:
    for seed in range(3):
        sounds = propagation.specular_reflections(*shoebox(seed), OMNI)
        np.testing.assert_allclose(sounds.gain * sounds.path_length[:, None], 1, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_specular_reflections_equal_those_of_pyroomacoustics(seed: int) -> None:
    room, pose = shoebox(seed)
    absorption = np.random.default_rng(seed).uniform(0.02, 0.6, 6)
    shell = replace(room.shell, materials=tuple(material(float(value)) for value in absorption))
    sounds = propagation.specular_reflections(replace(room, shell=shell), pose, OMNI)
    names = ("west", "east", "south", "north", "floor", "ceiling")
    reference = pyroomacoustics.ShoeBox(
        room.size,
        fs=44100,
        max_order=3,
        materials={n: pyroomacoustics.Material(float(a)) for n, a in zip(names, absorption, strict=True)},
    )
    reference.add_source(pose.to_room(OMNI.emitter))
    reference.add_microphone(np.array(pose.position))
    reference.image_source_model()
    source = reference.sources[0]
    path_length = np.linalg.norm(source.images - np.array(pose.position)[:, None], axis=0)
    pressure = source.damping[0] / path_length
    ours, theirs = np.argsort(sounds.path_length), np.argsort(path_length)
    assert sounds.path_length.size == path_length.size == 63
    np.testing.assert_allclose(sounds.path_length[ours], path_length[theirs], atol=1e-3)
    np.testing.assert_allclose(sounds.gain[ours, KILOHERTZ], pressure[theirs], rtol=1e-2)
    early_energy = (sounds.gain[1:, KILOHERTZ] ** 2).sum() / (pressure[theirs][1:] ** 2).sum()
    assert abs(10 * math.log10(early_energy)) < 1


def test_furniture_occludes_the_wall_behind_it_and_reflects_sound() -> None:
    pose, screen = Pose((2.0, 3.0, 0.9), 0.0), box(4.0, 3.0, (0.1, 1.0, 1.0))
    empty, screened = room_of(8, 6, 3), room_of(8, 6, 3, screen)
    arrivals = [propagation.specular_reflections(room, pose, OMNI, order=1) for room in (empty, screened)]
    frontal = [sounds.direction[:, 0] > 0.99 for sounds in arrivals]
    assert arrivals[0].path_length[frontal[0]] == pytest.approx([math.hypot(2 * 6 - 0.07, 0.14)])
    assert arrivals[1].path_length[frontal[1]] == pytest.approx([math.hypot(2 * 1.9 - 0.07, 0.14)])
    assert arrivals[1].gain[frontal[1], 0] == pytest.approx([1 / math.hypot(3.73, 0.14)])


def test_double_reflections_of_large_faces_are_found_in_a_corner() -> None:
    # A block in the corner makes the room L-shaped; its two faces form further corners with the shell.
    corner = box(6.0, 5.0, (2.0, 1.0, 1.5))
    room, pose = room_of(8, 6, 3, corner), Pose((2.5, 2.0, 1.5), 0.0)
    loudspeaker = LosslessAir(emitter=(0.1, 0.0, 0.0), omnidirectional=True)
    sounds = propagation.specular_reflections(room, pose, loudspeaker)
    # Image source of (2.6, 2, 1.5) in the wall x = 4 above y = 4 and in the wall y = 6.
    expected = math.dist((2.5, 2.0), (2 * 4 - 2.6, 12 - 2.0))
    assert np.abs(sounds.path_length - expected).min() < 1e-9
    assert not large_faces(room_of(8, 6, 3, box(6.0, 5.0, (0.2, 0.4, 0.5))).scene)[1:].any()


def test_mirrored_scene_has_mirrored_arrivals() -> None:
    walls, pose = material(0.1, 0.3), Pose((2.0, 2.6, 0.9), 0.4, 0.02, 0.03)
    furniture = (box(4.0, 4.0, (0.5, 0.3, 0.6), 0.3, material(0.2, 0.4)), box(4.5, 1.5, (0.2, 0.6, 0.4), 1.0, walls))
    room = room_of(7, 5.5, 2.8, *furniture, walls=walls)
    patches, rays = draw_patches(room, np.random.default_rng(0)), draw_rays(60, np.random.default_rng(1))
    other, other_patches, other_pose = mirrored(room, patches, pose)
    swap, loudspeaker = np.array([1, -1, 1]), Loudspeaker()
    pairs = (
        (
            propagation.specular_reflections(room, pose, loudspeaker),
            propagation.specular_reflections(other, other_pose, loudspeaker),
        ),
        (
            propagation.edge_diffraction(room, pose, loudspeaker),
            propagation.edge_diffraction(other, other_pose, loudspeaker),
        ),
        (
            propagation.first_scattering(room, patches, pose, loudspeaker),
            propagation.first_scattering(other, other_patches, other_pose, loudspeaker),
        ),
        (
            propagation.late_sound(room, pose, loudspeaker, rays),
            propagation.late_sound(other, other_pose, loudspeaker, np.abs(rays - np.array([0, 1, 0]))),
        ),
    )
    for original, mirror in pairs:
        assert original.path_length.size >= 3
        order, mirror_order = np.argsort(original.path_length), np.argsort(mirror.path_length)
        np.testing.assert_allclose(original.path_length[order], mirror.path_length[mirror_order], atol=1e-6)
        np.testing.assert_allclose(original.gain[order], mirror.gain[mirror_order], atol=1e-6)
        np.testing.assert_allclose(original.direction[order] * swap, mirror.direction[mirror_order], atol=1e-6)
