"""Acoustics of the simulator against physics: arrival times, levels, decay, diffraction, and a measured room."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyroomacoustics
import pytest
from jaxtyping import Float
from numpy import ndarray
from scipy.signal import butter, sosfiltfilt

from echodepth.simulate.acoustics import propagation
from echodepth.simulate.acoustics.diffraction import edge_pressure
from echodepth.simulate.acoustics.image_sources import image_source_paths, large_faces
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker, air_absorption
from echodepth.simulate.acoustics.paths import Endpoints
from echodepth.simulate.acoustics.propagation import Arrivals
from echodepth.simulate.acoustics.ray_tracing import _chord, _listener_radius, draw_rays
from echodepth.simulate.acoustics.scattering import Patches, draw_patches
from echodepth.simulate.rooms.materials import OCTAVES, Material, Vector
from echodepth.simulate.rooms.scene import Block, Pose, Room

C = 343.0
KILOHERTZ = OCTAVES.index(1000.0)


@dataclass(frozen=True)
class LosslessAir(Loudspeaker):
    """Air without absorption and a robot without a body, as the formulas of room acoustics assume."""

    isolation: float = 0.0

    @property
    def air_absorption(self) -> Float[ndarray, " 8"]:
        return np.zeros(8)


OMNI = LosslessAir(omnidirectional=True)


def vector(values: Iterable[float]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def material(absorption: float = 0.0, scattering: float = 0.0) -> Material:
    return Material("test", "plain", 1.0, (0.5, 0.5, 0.5), (absorption,) * 8, (scattering,) * 8)


HARD = material()


def room_of(length: float, width: float, height: float, *boxes: Block, walls: Material = HARD) -> Room:
    half = (length / 2, width / 2, height / 2)
    shell = Block(half, half, 0.0, (walls,) * 6)
    return Room("office", shell, tuple((box,) for box in boxes), ((length / 2, width / 2, height - 0.3),))


def box(x: float, y: float, half: Vector, yaw: float = 0.0, of: Material = HARD, floor: float = 0.0) -> Block:
    return Block((x, y, floor + half[2]), half, yaw, (of,) * 6)


def shoebox(seed: int, walls: Material = HARD) -> tuple[Room, Pose]:
    rng = np.random.default_rng(seed)
    room = room_of(*vector(rng.uniform((3.5, 3, 2.4), (9, 7, 4.5))), walls=walls)
    x, y = (float(value) for value in rng.uniform((1.0, 1.0), room.size[:2] - 1.0))
    return room, Pose((x, y, 0.9), float(rng.uniform(-math.pi, math.pi)))


def joined(*parts: Arrivals) -> Arrivals:
    return Arrivals(
        np.concatenate([part.direction for part in parts]),
        np.concatenate([part.path_length for part in parts]),
        np.concatenate([part.gain for part in parts]),
    )


def decibels(arrivals: Arrivals) -> float:
    return float(10 * np.log10((arrivals.gain[:, KILOHERTZ] ** 2).sum()))


# ---- specular reflections ----


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


def face_images(room: Room, pose: Pose) -> Float[ndarray, "6 3"]:
    """Image sources of the loudspeaker in the shell's faces -x, +x, -y, +y, floor and ceiling."""
    images = np.tile(pose.to_room(OMNI.emitter), (6, 1))
    for face in range(6):
        axis, far = divmod(face, 2)
        images[face, axis] = 2 * far * room.size[axis] - images[face, axis]
    return images


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


def mirrored(room: Room, patches: Patches, pose: Pose) -> tuple[Room, Patches, Pose]:
    """Mirror a room, its patches and a pose from left to right: y becomes width - y."""
    width = float(room.size[1])

    def swap(block: Block) -> Block:
        x, y, z = block.centre
        minus_x, plus_x, minus_y, plus_y, floor, ceiling = block.materials
        materials = (minus_x, plus_x, plus_y, minus_y, floor, ceiling)
        return replace(block, centre=(x, width - y, z), yaw=-block.yaw, materials=materials)

    other = replace(
        room,
        shell=replace(swap(room.shell), centre=room.shell.centre),
        pieces=tuple(tuple(map(swap, piece)) for piece in room.pieces),
    )
    flip = np.array([1, -1, 1])
    surface = {m: i for i, m in enumerate(dict.fromkeys(m for b in (other.shell, *other.boxes) for m in b.materials))}
    before = list(dict.fromkeys(m for b in (room.shell, *room.boxes) for m in b.materials))
    material_index = np.array([surface[before[index]] for index in patches.material])
    points = patches.points * flip + np.array([0, width, 0])
    x, y, z = pose.position
    return (
        other,
        patches._replace(points=points, normals=patches.normals * flip, material=material_index),
        Pose((x, width - y, z), -pose.yaw, pose.pitch, -pose.roll),
    )


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


# ---- diffraction ----


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


# ---- scattering and late sound ----


def test_scattered_energy_of_a_wall_matches_the_integral() -> None:
    # Lambert's law integrated over an infinite wall, source and listener at distance d: diffuse share / (2 d^2).
    room = room_of(40, 40, 40, walls=material(0.2, 0.5))
    patches = draw_patches(room, np.random.default_rng(0))
    keep = patches.normals[:, 0] == 1
    wall = Patches(*(getattr(patches, name)[keep] for name in ("points", "normals", "area", "material", "sign")))
    loudspeaker = LosslessAir(emitter=(0.0, 0.0, 0.0), omnidirectional=True)
    sounds = propagation.first_scattering(room, wall, Pose((1.5, 20.0, 20.0), 0.0), loudspeaker)
    assert (sounds.gain[:, 0] ** 2).sum() == pytest.approx(0.8 * 0.5 / (2 * 1.5**2), rel=0.05)
    assert wall.area.sum() == pytest.approx(1600)


def without_diffraction(room: Room, pose: Pose, seed: int, rays: int, loudspeaker: Loudspeaker = OMNI) -> Arrivals:
    rng = np.random.default_rng(seed)
    return joined(
        propagation.specular_reflections(room, pose, loudspeaker),
        propagation.first_scattering(room, draw_patches(room, rng), pose, loudspeaker),
        propagation.late_sound(room, pose, loudspeaker, draw_rays(rays, rng)),
    )


def surface_of(room: Room) -> float:
    length, width, height = (float(side) for side in room.size)
    return 2 * (length * width + length * height + width * height)


@pytest.mark.parametrize("scattering", [0.05, 0.3, 0.9])
def test_no_energy_is_lost_or_counted_twice(scattering: float) -> None:
    # In a diffuse field the reflected sound has p^2 = 4 W / R, with the room constant R = S a / (1 - a) and a source
    # of W = 4 pi, which has p = 1 at 1 m (Kuttruff, Room Acoustics, 5.1), however it is split between the methods.
    absorption, excess = 0.4, []
    for seed in range(6):
        room, _ = shoebox(seed, material(absorption, scattering))
        # Source and listener are apart: sound that a wall scatters straight back to its source is not diffuse.
        pose = Pose(vector(room.size * (0.3, 0.4, 0.4)), 0.0)
        loudspeaker = LosslessAir(emitter=vector(room.size * (0.4, 0.3, 0.2)), omnidirectional=True)
        surface = surface_of(room)
        expected = 16 * math.pi * (1 - absorption) / (surface * absorption)
        sounds = without_diffraction(room, pose, seed, 600, loudspeaker)
        excess.append(10 * math.log10((sounds.gain[1:, 0] ** 2).sum() / expected))
    assert np.mean(excess) == pytest.approx(0, abs=1)


def test_sphere_that_detects_rays_lies_inside_the_room() -> None:
    """A head 0.35 m above the floor would have a part of a sphere of 0.4 m below it, which no ray reaches."""
    room = room_of(6, 5, 3)
    for position, radius in (((3.0, 2.0, 0.9), 0.4), ((3.0, 2.0, 0.35), 0.35), ((5.8, 2.0, 0.35), 0.2)):
        assert _listener_radius(room.scene.blocks[0], np.array(position)) == pytest.approx(radius)
    # The mean energy of a chord over parallel rays is that of a plane wave, 1 per cross-section, whatever the radius.
    for radius in (0.2, 0.4):
        grid = np.linspace(-0.5, 0.5, 201)
        chords = [
            _chord((0.0, 2.0 + y, 1.0 + z), (1.0, 0.0, 0.0), 6.0, np.array([3.0, 2.0, 1.0]), radius)[0]
            for y in grid
            for z in grid
        ]
        assert np.mean(chords) / (4 / 3 * math.pi * radius**3) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("absorption", [0.1, 0.2, 0.3])
def test_closed_room_decays_by_eyrings_formula(absorption: float) -> None:
    # Eyring's formula (1930) assumes diffuse sound, so the walls scatter half of the reflected energy. With high
    # absorption the spread of path lengths makes every shoebox decay more slowly than the formula (Kuttruff, 5.3).
    for seed in range(20):
        room, pose = shoebox(seed, material(absorption, 0.5))
        volume, surface = float(room.size.prod()), surface_of(room)
        expected = 24 * math.log(10) / C * volume / (-surface * math.log(1 - absorption))
        sounds = without_diffraction(room, pose, seed, 1200)
        start, stop = 12 * volume / (surface * C), min(0.42, 0.75 * expected)
        assert decay_time(sounds, start, stop) == pytest.approx(expected, rel=0.15)


def decay_time(sounds: Arrivals, start: float, stop: float) -> float:
    """RT60 in seconds, from the slope of the energy in bins of 4 ms between two times."""
    weights, bins = sounds.gain[:, KILOHERTZ] ** 2, np.arange(start, stop, 0.004)
    energy, edges = np.histogram(sounds.path_length / C, bins, weights=weights)
    positive = energy > 0
    slope, _ = np.polyfit(edges[:-1][positive], 10 * np.log10(energy[positive]), 1)
    return float(-60 / slope)


def test_air_absorption_equals_the_table_of_iso_9613() -> None:
    # ISO 9613-1, table 1: 20 °C, 50 %, decibels per kilometre.
    for frequency, loss in ((125, 0.445), (500, 2.73), (1000, 4.66), (2000, 9.86), (4000, 29.4), (8000, 104.0)):
        assert 1000 * air_absorption(float(frequency), 20.0, 50.0) == pytest.approx(loss, rel=0.02)


def test_loudspeaker_is_directional_at_high_frequency_only() -> None:
    table = Loudspeaker().directivity
    np.testing.assert_allclose(table[0], 1)
    assert 20 * math.log10(table[180, 0]) == pytest.approx(0, abs=0.1)
    # The rear is no weaker than -20 dB, where the cone in its body would leave -45 dB at 16 kHz.
    assert 20 * math.log10(abs(table[180, -1])) == pytest.approx(-20, abs=0.1)
    assert 20 * np.log10(np.abs(table[120:]).min()) > -23
    assert (np.diff(table[90, :6]) < 0).all()
    # A 20 mm cone has its first zero at ka sin = 3.832: beyond 16 kHz's ka of 5.86 at 40.8 degrees.
    assert abs(table[41, -1]) < 0.02


# ---- a measured room ----


@pytest.fixture(scope="module")
def measured(real_data: Path) -> dict[str, Float[ndarray, "..."]]:
    with np.load(real_data / "dechorate" / "rir12.npz") as file:
        return dict(file)


def test_first_reflections_arrive_at_the_measured_times(measured: dict[str, Float[ndarray, "..."]]) -> None:
    speed = measured["c"].item()
    room = room_of(*vector(measured["room"]))
    source = measured["src"].reshape(3)
    errors = np.zeros((6, 12))
    for number, microphone in enumerate(measured["mics"].T):
        listener = np.ascontiguousarray(microphone)
        ends = Endpoints(source, listener, np.array([1.0, 0, 0]), OMNI.directivity)
        paths = image_source_paths(room.scene, large_faces(room.scene), 1, ends)
        assert paths.path_length[0] == pytest.approx(measured["T_direct"].ravel()[number] * speed, abs=0.05)
        assert paths.path_length.size == 7
        for wall in range(6):
            image = source.copy()
            image[wall // 2] = 2 * (wall % 2) * room.size[wall // 2] - source[wall // 2]
            nearest = np.abs(paths.path_length - math.dist(image, listener)).argmin()
            length = paths.path_length[nearest]
            assert length == pytest.approx(math.dist(image, listener), abs=1e-3)
            errors[wall, number] = abs(measured["T_reflct"].reshape(6, 12)[wall, number] * speed - length)
    mean = errors.mean(axis=1)
    assert (np.delete(mean, 2) < 0.10).all(), mean
    assert mean[2] > 0.3  # the published geometry of the wall y = 0 is inaccurate
    # The published geometry itself is off by more in 12 of the 60 echoes of the other five faces: up to 15 cm at the
    # wall x = 5.7 m and 22 cm at the floor.
    assert (np.delete(errors, 2, axis=0) < 0.10).sum() >= 48
    assert np.delete(errors, 2, axis=0).max() < 0.22


def test_simulated_decay_equals_that_of_the_measured_room(measured: dict[str, Float[ndarray, "..."]]) -> None:
    octave = butter(3, (1000 / math.sqrt(2), 1000 * math.sqrt(2)), "bandpass", fs=48000, output="sos")
    responses = sosfiltfilt(octave, measured["rirs"][:, :, 0], axis=0)
    times = [pyroomacoustics.experimental.measure_rt60(response, fs=48000, decay_db=20) for response in responses.T]
    # 0.16 on average: plasterboard walls with a carpet and a tiled ceiling would have it.
    walls = material(0.16, 0.3)
    room = room_of(*vector(measured["room"]), walls=walls)
    pose = Pose((3.0, 3.0, 1.2), 0.0)
    loudspeaker = LosslessAir(emitter=(-1.0, 1.4, 0.2), omnidirectional=True, speed_of_sound=measured["c"].item())
    simulated = decay_time(without_diffraction(room, pose, 0, 1200, loudspeaker), 0.03, 0.4)
    assert simulated == pytest.approx(float(np.mean(times)), rel=0.2)
