"""The direct sound is found to the sample, or not at all where nothing rises out of the background."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import sosfilt, sosfreqz

from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import DataError
from echodepth.data.audio import (
    _HIGH_PASS,
    _change_point,
    find_onset,
    read_wav,
)
from tests.data.chirps import recorded


def test_the_real_recordings_direct_sound_is_found_in_each_ear(real_data: Path) -> None:
    audio, rate = read_wav(real_data / "batvision_v2_sample" / "audio_47.wav")
    assert (rate, audio.shape) == (44100, (2, 20_000))
    assert find_onset(audio) == pytest.approx(282, abs=5)
    for ear in audio:
        assert find_onset(np.stack([ear, ear])) == pytest.approx(282, abs=5)


@settings(max_examples=60, deadline=None)
@given(
    onset=st.integers(40, 2000),
    gain=st.floats(1e-3, 1),
    snr_db=st.floats(22, 90),
    offset=st.floats(-0.5, 0.5),
    echo_gain=st.floats(0, 3),
    delay=st.integers(0, 30),
    seed=st.integers(0, 10_000),
)
def test_the_onset_is_found_at_any_gain_offset_and_moderate_noise(
    onset: int, gain: float, snr_db: float, offset: float, echo_gain: float, delay: int, seed: int
) -> None:
    audio = gain * (recorded(onset, snr_db, echo_gain, delay, seed) + offset)
    assert abs(find_onset(audio) - onset) <= 8


@pytest.mark.parametrize(("snr_db", "within"), [(60, 3), (40, 3), (30, 5), (20, 8)])
def test_the_onsets_error_grows_gently_with_noise(snr_db: float, within: int) -> None:
    errors = [find_onset(recorded(700, snr_db, seed=seed)) - 700 for seed in range(50)]
    assert max(map(abs, errors)) <= within
    assert abs(float(np.median(errors))) <= 5


@pytest.mark.parametrize("later_ear", [0, 1])
def test_the_ear_that_hears_first_decides(later_ear: int) -> None:
    audio = recorded(500, 60, delay=30)
    if later_ear == 0:
        audio = audio[::-1]
    assert find_onset(audio) == pytest.approx(500, abs=3)


def test_an_echo_four_times_as_loud_is_not_taken_for_the_direct_sound() -> None:
    assert find_onset(recorded(300, echo_gain=4.0)) == pytest.approx(300, abs=3)


@pytest.mark.parametrize("blank", [0.0, 1e-5])
def test_a_recorders_blank_start_is_no_onset(blank: float) -> None:
    audio = recorded(970, 40, samples=4410)
    audio[:, :900] = blank * np.sign(audio[:, :900])
    assert find_onset(audio) == pytest.approx(970, abs=5)


def test_a_dead_ear_with_crosstalk_does_not_mislead() -> None:
    audio = recorded(400)
    audio[1] = 1e-3 * np.roll(audio[0], -200)
    assert find_onset(audio) == pytest.approx(400, abs=3)


def test_mains_hum_is_no_sound() -> None:
    hum = 0.3 * np.sin(2 * np.pi * 50 * np.arange(6000) / SAMPLE_RATE)
    assert find_onset(recorded(600) + hum) == pytest.approx(600, abs=5)


def test_a_recording_that_begins_with_the_chirp_starts_there() -> None:
    assert find_onset(recorded(0)) <= 12


@pytest.mark.parametrize("level", [0.0, 1e-4, 0.3])
def test_silence_and_steady_noise_have_no_onset(level: float) -> None:
    for seed in range(10):
        audio = np.random.default_rng(seed).normal(0, level, (2, 6000)) + 0.1
        with pytest.raises(DataError, match="no direct sound found"):
            find_onset(audio)


@pytest.mark.parametrize(("decibels", "found"), [(16, 1000), (17, 1529)])
def test_an_echo_may_be_sixteen_decibels_louder_than_the_direct_sound(decibels: float, found: int) -> None:
    """Beyond that, what precedes it cannot be told from crosstalk."""
    audio = recorded(1000, snr_db=70, echo_gain=10 ** (decibels / 20), delay=0)
    assert abs(find_onset(audio) - found) <= 5


@pytest.mark.parametrize(("decibels", "rises"), [(10.0, False), (15.0, True)])
def test_a_direct_sound_rises_twelve_decibels_out_of_the_background(decibels: float, rises: bool) -> None:
    """A tone in place of noise, whose level is the same in every window."""
    time = np.arange(6000)
    steady = 0.01 * np.sin(2 * np.pi * time / 16)
    audio = np.tile(np.where(time < 3000, steady, 10 ** (decibels / 20) * steady), (2, 1))
    if rises:
        assert abs(find_onset(audio) - 3000) <= 20
    else:
        with pytest.raises(DataError, match="nothing rises 12 dB"):
            find_onset(audio)


def test_the_high_pass_is_of_second_order_at_200_hertz() -> None:
    _, response = sosfreqz(_HIGH_PASS, [20.0, 200.0, 5000.0], fs=44_100)
    low, corner, high = 20 * np.log10(np.abs(response))
    assert corner == pytest.approx(-3.01, abs=0.01)
    assert low == pytest.approx(-40, abs=0.1)  # a decade below, at 12 dB an octave
    assert high == pytest.approx(0, abs=0.01)


def test_a_recording_of_two_windows_is_long_enough_for_an_onset() -> None:
    click = np.zeros((2, 64))
    click[:, 40:] = np.sin(np.arange(24))
    assert abs(find_onset(click) - 40) <= 2
    with pytest.raises(DataError, match="no direct sound found"):
        find_onset(click[:, :63])


def alternating(start: int, before: float = 0.0, decay: float = math.inf, samples: int = 6000) -> np.ndarray:
    """A full-scale tone of half the sample rate from ``start`` on, and one of the level ``before`` up to it."""
    time = np.arange(samples)
    level = np.where(time < start, before, np.exp(-np.maximum(time - start, 0) / decay))
    return np.tile(np.cos(np.pi * time) * level, (2, 1))


@pytest.mark.parametrize(
    ("audio", "onset"),
    [
        (1.1e-9 * alternating(3000, decay=300), 3000),  # a hundredth of a step of 24 bits
        (0.9e-9 * alternating(3000, decay=300), None),
        (alternating(5000, before=1.5e-6), 5000),
        (alternating(5000, before=0.7e-6), None),  # of digital silence, nothing rises: the tone is the background
        (alternating(1, decay=300), 1),
        (alternating(63, before=1e-3, samples=64), 63),  # in the last window alone
    ],
)
def test_an_onset_at_the_bounds_of_what_counts(audio: np.ndarray, onset: int | None) -> None:
    if onset is not None:
        assert find_onset(audio) == onset
    else:
        with pytest.raises(DataError, match="no direct sound found"):
            find_onset(audio)


def test_a_segment_that_ends_in_silence_has_its_onset_where_the_sound_begins() -> None:
    click = np.zeros(64)
    click[40:] = np.sin(np.arange(24))
    click[63] -= sosfilt(_HIGH_PASS, click)[63] / _HIGH_PASS[0, 0]  # nothing is left of it behind the high-pass
    assert abs(find_onset(np.tile(click, (2, 1))) - 40) <= 2


def test_the_change_point_divides_two_segments_of_constant_variance() -> None:
    """The maximum of the likelihood, from the definition: n log(variance), summed over the segments."""
    sound = np.random.default_rng(0).normal(0, np.repeat([0.1, 0.15], [70, 50]))

    def cost(index: int) -> float:
        return sum(part.size * math.log(np.mean(part**2)) for part in np.split(sound, [index]))

    assert _change_point(sound) == min(range(1, sound.size), key=cost)
