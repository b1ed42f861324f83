"""Single measurements by hand: floor, decay time, octaves, noise, spreads, and views."""

import math
from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from benchmarks.calibrate import HIDDEN
from echodepth.apps.calibrate import echoes, fit
from echodepth.apps.calibrate.floor import fit_floor
from echodepth.apps.calibrate.noise import fit_noise, noise_power
from echodepth.apps.calibrate.sound import Sound, decay_time, measure_sound, octave_power
from echodepth.apps.calibrate.view import describe_view
from echodepth.core.field_of_view import FieldOfView
from echodepth.data.images import DepthMap
from echodepth.simulate.acoustics.recording import background_noise
from echodepth.simulate.rig import DEFAULT_RIG, NOISE_OCTAVES

CAMERA = FieldOfView(90.0, 60.0)


def floor_map(height: float, pitch: float, roll: float, wall: float = 4.0, side: int = 72) -> Float[ndarray, "h w"]:
    """Depth of a floor and a wall, from the plane equation alone."""
    fx, fy = CAMERA.focal_lengths(side, side)
    x, y = np.meshgrid((np.arange(side) + 0.5 - side / 2) / fx, (np.arange(side) + 0.5 - side / 2) / fy)
    p, r = math.radians(pitch), math.radians(roll)
    down = np.array([math.cos(p) * math.sin(r), math.cos(p) * math.cos(r), math.sin(p)])
    slope = down[0] * x + down[1] * y + down[2]
    return np.asarray(np.minimum(np.where(slope > 1e-6, height / np.maximum(slope, 1e-6), np.inf), wall))


@pytest.mark.parametrize(("height", "pitch", "roll"), [(0.35, 0.0, 0.0), (0.35, -4.0, 2.0), (1.2, 25.0, -3.0)])
def test_height_pitch_and_roll_of_a_floor_with_noise_and_holes(height: float, pitch: float, roll: float) -> None:
    rng = np.random.default_rng(0)
    metres = floor_map(height, pitch, roll) * (1 + 0.003 * rng.standard_normal((72, 72)))
    metres[:, :20] = 0
    found = fit_floor(DepthMap(metres, metres > 0), CAMERA)
    assert found is not None
    assert found.height == pytest.approx(height, abs=0.005)
    assert found.pitch == pytest.approx(pitch, abs=0.3)
    assert found.roll == pytest.approx(roll, abs=0.3)


def test_a_table_top_is_not_taken_for_the_floor() -> None:
    """It has more pixels than the floor, but the floor lies below it."""
    floor, table = floor_map(1.2, 20.0, 0.0), floor_map(0.45, 20.0, 0.0)
    metres = np.where((table < 1.3) & (np.arange(72) < 56), table, floor)
    assert (metres == table).sum() > (metres == floor).sum() / 2
    found = fit_floor(DepthMap(metres, metres > 0), CAMERA)
    assert found is not None
    assert found.height == pytest.approx(1.2, abs=0.01)


def test_a_view_without_floor_has_none() -> None:
    wall = np.full((72, 72), 2.0)
    assert fit_floor(DepthMap(wall, wall > 0), CAMERA) is None
    empty = np.zeros((72, 72))
    assert fit_floor(DepthMap(empty, empty > 0), CAMERA) is None


@pytest.mark.parametrize(("seconds", "noise"), [(0.3, 0.0), (0.5, 1e-4), (1.2, 0.0), (0.4, 1e-3)])
def test_decay_time_of_an_exponential_decay(seconds: float, noise: float) -> None:
    """ISO 3382: the level falls by 60 dB in the decay time; noise must not lengthen it, nor the end shorten it."""
    rng = np.random.default_rng(0)
    time = np.arange(19_000) / 44100
    mean = np.exp(-time * 6 * math.log(10) / seconds) + noise
    energy = mean * rng.standard_normal((64, time.size)).__pow__(2).mean(axis=0)
    assert decay_time(energy, noise) == pytest.approx(seconds, rel=0.06)


def test_a_decay_of_less_than_15_decibels_is_not_measured() -> None:
    time = np.arange(19_000) / 44100
    assert math.isnan(decay_time(np.exp(-time * 6 * math.log(10) / 0.5) + 0.1, 0.1))
    assert math.isnan(decay_time(np.exp(-time * 6 * math.log(10) / 4.0), 0.0))


def test_octave_power_of_a_sine_is_half_its_squared_amplitude_in_its_octave() -> None:
    sine = 0.3 * np.sin(2 * np.pi * 2000 * np.arange(4410) / 44100)
    power = octave_power(np.stack([sine, 0 * sine]), (1000.0, 2000.0, 4000.0))
    assert power[0, 1] == pytest.approx(0.3**2 / 2, rel=0.01)
    assert power[0, 0] < 0.01 * power[0, 1]
    assert not power[1].any()


@pytest.mark.parametrize(
    ("onset", "every", "octaves"),
    [
        (60, 3, slice(0, 10)),  # nothing before the direct sound: the tails that still reverberate must not count
        (500, 1, slice(4, 10)),  # all tails reverberate: what is before the direct sound counts, from 500 Hz on
        (500, 99, slice(0, 10)),
    ],
)
def test_noise_is_measured_beside_reverberation(onset: int, every: int, octaves: slice) -> None:
    rig, rng = HIDDEN, np.random.default_rng(3)
    time = np.arange(20_000 - onset) / 44100
    recordings, alone = [], []
    for number in range(10):
        alone.append(background_noise(rng, rig))
        audio = alone[-1].copy()
        audio[:, onset : onset + 132] += 0.3 * np.sin(np.arange(132) ** 2 / 90)
        if number % every == 0:
            audio[:, onset:] += 0.05 * np.exp(-time * 3 * math.log(10) / 2.0) * rng.standard_normal((2, time.size))
        recordings.append(measure_sound(audio, with_decay=False))
    expected = 10 * np.log10(np.mean([octave_power(each, NOISE_OCTAVES) for each in alone], axis=(0, 1)))
    found = 10 * np.log10(noise_power(recordings).mean(axis=0))
    difference = (found - expected)[octaves]
    assert np.abs(difference).max() < 3
    assert np.median(np.abs(difference)) < 1


def test_a_spectrum_of_noise_is_fitted_to_octaves_that_its_slopes_reach_into() -> None:
    rig = HIDDEN
    noise = np.mean(
        [octave_power(background_noise(np.random.default_rng(seed), rig), NOISE_OCTAVES) for seed in range(8)], axis=0
    ).mean(axis=0)
    spectrum, rms = fit_noise(noise)
    expected = np.array(rig.noise_spectrum)
    np.testing.assert_allclose(spectrum - spectrum.mean(), expected - expected.mean(), atol=0.7)
    assert 20 * math.log10(rms / (rig.direct_rms * 10 ** (-rig.snr / 20))) == pytest.approx(0, abs=0.2)
    noise[3] = np.nan
    partial, rms = fit_noise(noise)
    assert np.isnan(partial).tolist() == [index == 3 for index in range(10)]
    assert 20 * math.log10(rms / (rig.direct_rms * 10 ** (-rig.snr / 20))) == pytest.approx(0, abs=0.3)


def test_spreads_of_many_recordings(few_sounds: list[Sound]) -> None:
    """The onset varies uniformly, the gain normally; what varies in simulated rooms as well is not counted."""
    rng, silent = np.random.default_rng(0), np.zeros((2, 7))
    sounds = [
        replace(each, onset=each.onset + round(rng.uniform(-30, 30)), direct=each.direct * 10 ** rng.normal(0, 0.2))
        for each in few_sounds * 25
    ]
    levels = echoes.levels_of(sounds, np.full((len(sounds), 5), np.nan), silent)
    rig = replace(DEFAULT_RIG, onset=500.0)
    found = fit._level_and_timing(sounds, levels, echoes.EchoFit(rig, 12.0, silent[0] == 0, silent[0], 1.0, few_sounds))
    for name, true, error in (("onset_jitter", 30, 1.5), ("gain_spread", 2, 0.15), ("onset", 500, 2.5)):
        estimate = found[name]
        assert estimate.value == pytest.approx(true, abs=error)
        assert estimate.error is not None
        assert 0 < estimate.error < error
    assert found["direct_rms"].value == pytest.approx(0.01, rel=0.03)


def test_noise_is_subtracted_from_levels(few_sounds: list[Sound]) -> None:
    power = np.full((2, 7), 0.011)
    sound = replace(few_sounds[0], direct=power, echo=0.0019 * np.ones((2, 7)))
    levels = echoes.levels_of([sound], np.zeros((1, 5)), np.full((2, 7), 0.001))
    assert levels.direct == pytest.approx(-20)
    assert np.isnan(levels.echo).all()  # less than 3 dB above the noise


def test_a_view_is_described_by_its_distances() -> None:
    """On a sphere of 2 m all distances are 2; a wider camera that is cropped sees the same."""
    side = 120
    tangent = np.tan(np.radians(np.array(CAMERA.degrees) / 2))
    across = (2 * (np.arange(side) + 0.5) / side - 1) * tangent[0]
    down = ((2 * (np.arange(side) + 0.5) / side - 1) * tangent[1])[:, None]
    sphere = 2 / np.sqrt(1 + across**2 + down**2)
    described = describe_view(DepthMap(sphere, sphere > 0), CAMERA, CAMERA)
    assert described == pytest.approx(np.log([0.25, 2, 2, 2, 2]), abs=1e-9)
    uneven = sphere * (1 + (np.abs(across) > 0.5))
    cropped = FieldOfView(2 * math.degrees(math.atan(0.5)), 60.0)
    assert describe_view(DepthMap(uneven, uneven > 0), CAMERA, cropped) == pytest.approx(described, abs=1e-9)
    assert describe_view(DepthMap(0 * sphere, sphere < 0), CAMERA, CAMERA) is None
    # The solid angle of a rectangular pyramid of opening angles a and b is 4 asin(sin(a / 2) sin(b / 2)).
    inner, all_ = (
        math.asin(math.sin(math.radians(a) / 2) * math.sin(math.radians(30))) for a in (cropped.horizontal, 90)
    )
    mean = (2 * inner + 4 * (all_ - inner)) / all_
    values = describe_view(DepthMap(uneven, uneven > 0), CAMERA, CAMERA)
    assert values is not None
    assert values[1] == pytest.approx(math.log(mean), abs=0.01)
