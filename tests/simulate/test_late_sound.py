"""Scattering, late sound, air and loudspeaker against the formulas of room acoustics."""

import math

import numpy as np
import pytest

from echodepth.simulate.acoustics import propagation
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker, air_absorption
from echodepth.simulate.acoustics.ray_tracing import _chord, _listener_radius
from echodepth.simulate.acoustics.scattering import Patches, draw_patches
from echodepth.simulate.rooms.scene import Pose
from tests.simulate.acoustic_rooms import (
    C,
    LosslessAir,
    decay_time,
    material,
    room_of,
    shoebox,
    surface_of,
    vector,
    without_diffraction,
)


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
