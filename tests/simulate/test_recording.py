"""Binaural recording: KEMAR's HRTF, the octave bands, and the recording of a chirp."""

import math
from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from echodepth.core.chirp import batvision_chirp
from echodepth.core.constants import SAMPLE_RATE, V2_RECORDING_SAMPLES
from echodepth.data.audio import find_onset
from echodepth.simulate.acoustics import propagation
from echodepth.simulate.acoustics import recording as recorder
from echodepth.simulate.acoustics.hrtf import diffuse_field_power, kemar
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import Arrivals
from echodepth.simulate.acoustics.scattering import draw_patches
from echodepth.simulate.rig import DEFAULT_RIG, RIG_OCTAVES
from echodepth.simulate.rooms import room_generator
from echodepth.simulate.rooms.materials import OCTAVES, Material
from echodepth.simulate.rooms.scene import Block, Pose, Room

C = 343.0
RADIUS = 0.0857  # metres: radius of the sphere that fits KEMAR's delays best


def plane_wave(azimuth: float, elevation: float = 0.0, path_length: float = 5.0, gain: float = 1.0) -> Arrivals:
    """One arrival from a direction in degrees to the left and up."""
    a, e = math.radians(azimuth), math.radians(elevation)
    direction = np.array([[math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)]])
    return Arrivals(direction, np.array([path_length]), np.full((1, 8), gain))


def delay_between(first: Float[ndarray, " t"], second: Float[ndarray, " t"]) -> float:
    """Samples by which the first is later, from the peak of their correlation below 1.5 kHz, between samples."""
    n = 8 * first.size
    spectrum = np.fft.rfft(first) * np.conj(np.fft.rfft(second))
    spectrum[np.fft.rfftfreq(first.size, 1 / SAMPLE_RATE) > 1500] = 0
    correlation = np.fft.irfft(spectrum, n)
    peak = int(correlation.argmax())
    return (peak - n if peak > n / 2 else peak) / 8


@pytest.mark.parametrize("azimuth", [20.0, 45.0, 70.0, 90.0, 130.0, -30.0, -90.0])
def test_interaural_delay_of_lateral_sound_follows_woodworth(azimuth: float) -> None:
    left, right = recorder.impulse_responses(plane_wave(azimuth))
    theta = math.radians(min(abs(azimuth), 180 - abs(azimuth)))
    expected = math.copysign(RADIUS / C * (theta + math.sin(theta)), azimuth)
    # Below 1.5 kHz the delay is up to 50 % longer than Woodworth's for high frequencies (Kuhn 1977).
    found = delay_between(right, left) / SAMPLE_RATE
    assert math.copysign(1, found) == math.copysign(1, azimuth)
    assert 0.9 * abs(expected) < abs(found) < 1.6 * abs(expected)


def test_onsets_follow_woodworth() -> None:
    for azimuth in (30.0, 60.0, 90.0):
        ears = np.abs(recorder.impulse_responses(plane_wave(azimuth)))
        fine = [np.interp(np.arange(0, 2000, 0.05), np.arange(2000), ear[:2000]) for ear in ears]
        onsets = [0.05 * int((ear > 0.15 * ear.max()).argmax()) for ear in fine]
        theta = math.radians(azimuth)
        expected = RADIUS / C * (theta + math.sin(theta))
        assert (onsets[1] - onsets[0]) / SAMPLE_RATE == pytest.approx(expected, abs=60e-6)


def test_sound_arrives_at_distance_over_c() -> None:
    for path_length in (2.0, 5.0, 11.3):
        ears = np.abs(recorder.impulse_responses(plane_wave(0.0, path_length=path_length)))
        onset = (ears > 0.15 * ears.max(axis=1, keepdims=True)).argmax(axis=1)
        assert onset == pytest.approx([path_length / C * SAMPLE_RATE] * 2, abs=3)


def test_head_shadows_the_far_ear_at_high_frequency() -> None:
    near, far = np.abs(np.fft.rfft(recorder.impulse_responses(plane_wave(90.0))))
    frequency = np.fft.rfftfreq(V2_RECORDING_SAMPLES, 1 / SAMPLE_RATE)
    low, high = frequency < 300, (frequency > 4000) & (frequency < 8000)
    assert 20 * math.log10(near[high].mean() / far[high].mean()) > 12
    assert 0 < 20 * math.log10(near[low].mean() / far[low].mean()) < 6


def test_mirrored_sounds_swap_the_ears_exactly() -> None:
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(200, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    sounds = Arrivals(direction, rng.uniform(1, 50, 200), rng.normal(size=(200, 8)))
    original = recorder.impulse_responses(sounds)
    swapped = recorder.impulse_responses(replace(sounds, direction=direction * np.array([1.0, -1.0, 1.0])))
    np.testing.assert_array_equal(swapped, original[::-1])


def test_arrival_times_have_subsample_resolution() -> None:
    still = recorder.impulse_responses(plane_wave(0.0, path_length=5.0))[0]
    for shift in (0.25, 0.5, 0.8, 3.3):
        moved = recorder.impulse_responses(plane_wave(0.0, path_length=5.0 + shift * C / SAMPLE_RATE))[0]
        assert delay_between(moved, still) == pytest.approx(shift, abs=0.15)


def test_octave_bands_have_their_gains_and_sum_to_the_hrtf() -> None:
    flat = np.abs(np.fft.rfft(recorder.impulse_responses(plane_wave(0.0)))[0])
    np.testing.assert_allclose(recorder._octave_weights().sum(axis=0), 1, atol=1e-6)
    gains = np.array([[1.0, 0.5, 0.8, 0.3, 0.9, 0.2, 0.6, 0.4]])
    shaped = np.abs(np.fft.rfft(recorder.impulse_responses(replace(plane_wave(0.0), gain=gains)))[0])
    frequency = np.fft.rfftfreq(V2_RECORDING_SAMPLES, 1 / SAMPLE_RATE)
    for octave, gain in zip(OCTAVES, gains[0], strict=True):
        at = int(np.abs(frequency - octave).argmin())
        assert shaped[at] / flat[at] == pytest.approx(gain, rel=0.06)


def test_pressure_is_linear_in_gain_and_sounds_add_up() -> None:
    one, other = plane_wave(20.0, path_length=3.0), plane_wave(-60.0, 10.0, path_length=7.0, gain=0.5)
    both = Arrivals(
        *(np.concatenate([getattr(s, n) for s in (one, other)]) for n in ("direction", "path_length", "gain"))
    )
    apart = recorder.impulse_responses(one) + recorder.impulse_responses(other)
    np.testing.assert_allclose(recorder.impulse_responses(both), apart, atol=1e-6)
    louder = recorder.impulse_responses(replace(one, gain=3 * one.gain))
    np.testing.assert_allclose(louder, 3 * recorder.impulse_responses(one), atol=1e-5)


@pytest.mark.parametrize("isolation", [0.0, 12.0, 30.0])
def test_the_recorder_gives_the_direct_sound_one_level_whatever_its_isolation(isolation: float) -> None:
    half, soft = (8.0, 8.0, 8.0), Material("test", "plain", 1.0, (0.5, 0.5, 0.5), (1.0,) * 8, (0.0,) * 8)
    room, pose = Room("office", Block(half, half, 0.0, (soft,) * 6), (), ()), Pose(half, 0.0)
    direct = propagation.specular_reflections(room, pose, Loudspeaker(isolation=isolation), order=0)
    waveforms = recorder.receive(direct, batvision_chirp())
    assert math.sqrt((waveforms**2).sum() / (2 * 132)) == pytest.approx(0.17, rel=1e-4)


def test_microphones_have_their_diffuse_field_response_and_do_not_ring_before_a_sound() -> None:
    frequency = np.fft.rfftfreq(recorder._FFT_SIZE, 1 / SAMPLE_RATE)
    microphone = DEFAULT_RIG.microphones[0]
    response = recorder._microphone_response(microphone)
    power = np.abs(response) ** 2 * diffuse_field_power(kemar(), recorder._FFT_SIZE)
    levels = []
    for octave in RIG_OCTAVES:
        third = (frequency > octave / 2 ** (1 / 6)) & (frequency < octave * 2 ** (1 / 6))
        levels.append(10 * math.log10(power[third].mean()))
    relative = np.array(levels) - levels[2]
    expected = np.array(microphone) - microphone[2]
    np.testing.assert_allclose(relative, expected, atol=1.5)
    impulse = np.fft.irfft(response, recorder._FFT_SIZE)
    assert (impulse[:64] ** 2).sum() > 0.99 * (impulse**2).sum()
    assert (impulse[-2000:] ** 2).sum() < 1e-5 * (impulse**2).sum()


def test_table_covers_all_directions_and_names_its_source() -> None:
    head = kemar()
    assert head.taps.shape[:2] == (710, 8)
    assert head.nearest.shape == (360, 181)
    assert len(np.unique(head.nearest[:, 90])) == 72  # every 5 degrees around the horizon, as measured
    with np.load(str(recorder.__file__).replace("recording.py", "kemar.npz")) as table:
        assert "Gardner" in str(table["citation"])
        assert float(table["radius"]) == pytest.approx(RADIUS, abs=1e-4)


def furnished(seed: int) -> tuple[Arrivals, np.random.Generator]:
    rng = np.random.default_rng(seed)
    room = room_generator.draw_room(rng)
    patches = draw_patches(room, rng)
    return propagation.propagate(room, patches, room_generator.draw_pose(rng, room), Loudspeaker(), rng), rng


@pytest.mark.parametrize("seed", range(4))
def test_recording_has_the_onset_and_level_of_a_real_one_and_the_requested_snr(seed: int) -> None:
    sounds, rng = furnished(seed)
    recording = recorder.record(sounds, rng, replace(DEFAULT_RIG, snr=20.0))
    assert recording.shape == (2, 20000)
    onset = find_onset(recording)
    assert onset == pytest.approx(282, abs=9)
    assert 0.3 < np.abs(recording).max() <= 1
    assert np.sqrt((recording[:, onset : onset + 132] ** 2).mean()) == pytest.approx(0.17, rel=0.25)
    noise = recorder.record(replace(sounds, gain=0 * sounds.gain), rng, replace(DEFAULT_RIG, snr=20.0))
    assert 20 * math.log10(noise.std() / 0.17) == pytest.approx(-20, abs=0.1)


def test_same_draw_gives_the_same_bytes() -> None:
    recordings = [recorder.record(*furnished(3)) for _ in range(2)]
    assert recordings[0].tobytes() == recordings[1].tobytes()


def test_object_on_the_left_raises_the_level_at_the_left_ear() -> None:
    wood = Material("test", "plain", 1.0, (0.5, 0.5, 0.5), (0.02,) * 8, (0.3,) * 8)
    half = (6.0, 4.0, 1.75)
    box = Block((3.2, 5.2, 0.6), (0.3, 0.3, 0.6), 0.4, (wood,) * 6)
    pose, loudspeaker, level_changes = Pose((2.0, 4.0, 0.9), 0.0), Loudspeaker(), []
    for seed in range(24):  # the random signs of the patches give a speckle of 2 dB
        levels = []
        for pieces in ((), ((box,),)):
            room = Room("office", Block(half, half, 0.0, (wood,) * 6), pieces, ())
            rng = np.random.default_rng(seed)
            sounds = propagation.propagate(room, draw_patches(room, rng), pose, loudspeaker, rng)
            window = slice(int(2.4 / C * SAMPLE_RATE), int(3.8 / C * SAMPLE_RATE))
            ears = recorder.impulse_responses(sounds)[:, window]
            levels.append(10 * np.log10((ears**2).sum(axis=1)))
        level_changes.append(levels[1] - levels[0])
    left, right = np.mean(level_changes, axis=0)
    assert left > right + 1
    assert left > 2
