"""Recordings: full scale whatever the sample format, the direct sound found to the sample, one cut for both ears."""

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import sosfilt, sosfreqz

from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError, DataError
from echodepth.data.audio import (
    _HIGH_PASS,
    AudioCut,
    check_ears,
    cut,
    find_onset,
    read_ear_arrays,
    read_wav,
    resample,
)
from echodepth.data.config import DataConfig
from echodepth.data.wav_file import check_length
from tests.roots import CHIRP


def recorded(
    onset: int, snr_db: float = 50.0, echo_gain: float = 0.5, delay: int = 8, seed: int = 0, samples: int = 6000
) -> np.ndarray:
    """Both ears of a chirp, the right one ``delay`` samples later; an echo after 12 ms; noise ``snr_db`` below."""
    rng = np.random.default_rng(seed)
    audio = rng.normal(0, np.sqrt(0.5) * 10 ** (-snr_db / 20), (2, samples))
    for ear in (0, 1):
        for gain, start in ((1.0, onset + ear * delay), (echo_gain, onset + 529 + ear * delay)):
            audio[ear, start : start + 132] += gain * CHIRP[: max(0, samples - start)]
    return audio


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_is_read_at_the_same_scale(tmp_path: Path, subtype: str) -> None:
    sound = 0.4 * recorded(300).T
    soundfile.write(tmp_path / "a.wav", sound, SAMPLE_RATE, subtype=subtype)
    audio, rate = read_wav(tmp_path / "a.wav")
    assert rate == SAMPLE_RATE
    assert audio.dtype == np.float32
    np.testing.assert_allclose(audio, sound.T, atol=1 / 32768)


def test_half_of_a_32_bit_scale_is_one_half(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([[2**30, -(2**31)]] * 4, dtype=np.int32), 44100, subtype="PCM_32")
    audio, _ = read_wav(tmp_path / "a.wav")
    assert audio[:, 0].tolist() == [0.5, -1.0]


def test_mono_is_refused_with_the_reason(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 44100)
    with pytest.raises(DataError, match=r"a\.wav has 1 channel.*two are needed.*direction"):
        read_wav(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.full((100, 2), np.nan), "not finite"),
        (np.full((100, 2), 1.2e8), r"reaches 1\.2e\+08 where full scale is 1"),
        (np.zeros((0, 2)), "holds no samples"),
    ],
)
def test_useless_samples_are_refused(tmp_path: Path, samples: np.ndarray, message: str) -> None:
    soundfile.write(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")
    with pytest.raises(DataError, match=rf"a\.wav.*{message}"):
        read_wav(tmp_path / "a.wav")


def test_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    for name in ("a.wav", "absent.wav"):
        with pytest.raises(DataError, match=f"{name} cannot be read as audio"):
            read_wav(tmp_path / name)


@pytest.mark.parametrize(("dtype", "scale"), [("int16", 2**15), ("int32", 2**31), ("float32", 1), ("float64", 1)])
def test_ear_arrays_are_divided_by_their_types_full_scale(tmp_path: Path, dtype: str, scale: int) -> None:
    np.save(tmp_path / "left.npy", (np.array([-1.0, 0.25]) * scale).astype(dtype))
    np.save(tmp_path / "right.npy", (np.array([[0.5, 0.0]]) * scale).astype(dtype))
    audio = read_ear_arrays(tmp_path / "left.npy", tmp_path / "right.npy")
    assert audio.dtype == np.float32
    assert audio.tolist() == [[-1.0, 0.25], [0.5, 0.0]]


@pytest.mark.parametrize(
    ("right", "message"),
    [
        (np.zeros(9, np.int16), "10 samples but .*right.npy has 9"),
        (np.zeros(10, np.uint8), "holds uint8: save the audio as int16"),
        (np.zeros((2, 5), np.int16), r"shape \(2, 5\): one ear's samples"),
    ],
)
def test_unfit_ear_arrays_are_refused(tmp_path: Path, right: np.ndarray, message: str) -> None:
    np.save(tmp_path / "left.npy", np.zeros(10, np.int16))
    np.save(tmp_path / "right.npy", right)
    with pytest.raises(DataError, match=message):
        read_ear_arrays(tmp_path / "left.npy", tmp_path / "right.npy")


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


def test_the_cut_lasts_as_long_as_sound_to_the_farthest_depth_and_back() -> None:
    assert AudioCut().frames == 7782  # BatVision's int(2 * 30 / 340 * 44100)
    assert AudioCut(seconds=DataConfig("batvisionv1").cut_seconds).frames == 3112
    assert AudioCut(seconds=0.1).frames == 4410


@pytest.mark.parametrize(("start", "first"), [("zero", 0), (123, 123), ("onset", 282)])
def test_both_ears_are_cut_at_the_same_sample(start: Literal["onset", "zero"] | int, first: int) -> None:
    audio = recorded(282, 60, delay=25).astype(np.float32)
    stretch = cut(audio, AudioCut(start, 0.05), "a.wav")
    assert stretch.shape == (2, 2205)
    begin = find_onset(audio) if start == "onset" else first
    assert begin == pytest.approx(first, abs=3)
    np.testing.assert_array_equal(stretch, audio[:, begin : begin + 2205])


def test_a_recording_shorter_than_the_cut_is_an_error() -> None:
    audio = recorded(282)
    assert cut(audio, AudioCut("zero", 6000 / 44100), "a.wav").shape == (2, 6000)
    with pytest.raises(DataError, match=r"a\.wav has 6000 samples, but the cut runs from 0 to 7782.*--audio_seconds"):
        cut(audio, AudioCut("zero"), "a.wav")


def test_a_recording_without_direct_sound_names_itself_and_the_way_out() -> None:
    with pytest.raises(DataError, match=r"a\.wav: no direct sound found.*--audio_start zero or a sample number"):
        cut(np.zeros((2, 9000)), AudioCut(), "a.wav")


def test_senseless_cuts_are_refused() -> None:
    with pytest.raises(ConfigError, match="audio_start is -1"):
        AudioCut(-1)
    with pytest.raises(ConfigError, match="audio_seconds is 0"):
        AudioCut(seconds=0.0)


@pytest.mark.parametrize(
    ("samples", "rate", "fits"),
    [
        *((1, 4000, True), (1, 3999, False), (1, 384_000, True), (1, 384_001, False)),
        *((2_646_000, 44_100, True), (2_646_001, 44_100, False)),  # a minute
        *((6_000_000, 384_000, True), (6_000_001, 384_000, False)),
    ],
)
def test_lengths_and_rates_have_bounds(samples: int, rate: int, fits: bool) -> None:
    if fits:
        check_length(samples, rate, "a.wav")
    else:
        with pytest.raises(DataError, match=r"a\.wav has"):
            check_length(samples, rate, "a.wav")


def test_eighteen_decibels_over_full_scale_are_the_most() -> None:
    audio = np.array([[8.0, -8.0], [0.0, 0.0]], dtype=np.float32)
    assert check_ears(audio, "a.wav").flags.c_contiguous
    for peak in (8.01, -8.01):
        with pytest.raises(DataError, match=r"a\.wav reaches 8\.01 where full scale is 1"):
            check_ears(np.array([[0.0, peak], [0.0, 0.0]]), "a.wav")


def test_a_cut_is_thirty_metres_unless_it_is_told_and_ten_seconds_at_most() -> None:
    assert AudioCut() == AudioCut("onset", 60 / 340, 44_100)
    assert AudioCut().frames == 7782
    assert AudioCut(seconds=10.0).frames == 441_000
    assert AudioCut(seconds=1 / 44_100).frames == 1
    for seconds in (10.001, float("nan"), 0.9 / 44_100):
        with pytest.raises(ConfigError, match="audio_seconds is"):
            AudioCut(seconds=seconds)
    assert AudioCut(start=0).start == 0
    with pytest.raises(ConfigError, match="audio_start is -1"):
        AudioCut(start=-1)


def test_a_cut_may_end_with_the_recording() -> None:
    audio = np.arange(20, dtype=np.float32).reshape(2, 10)
    settings = AudioCut(start=6, seconds=4 / 44_100)
    assert cut(audio, settings, "a").tolist() == [[6, 7, 8, 9], [16, 17, 18, 19]]
    with pytest.raises(DataError, match="a has 9 samples, but the cut runs from 6 to 10"):
        cut(audio[:, :9], settings, "a")


@pytest.mark.parametrize("rate", [48_000, 22_050, 96_000])
def test_a_tone_keeps_its_pitch_and_level_at_another_rate(rate: int) -> None:
    def tone(rate: int) -> np.ndarray:
        return np.tile(np.sin(2 * np.pi * 1000 * np.arange(rate // 4) / rate), (2, 1)).astype(np.float32)

    found = resample(tone(rate), rate)
    assert found.dtype == np.float32
    assert found.shape == (2, round(rate // 4 * 44_100 / rate))
    assert np.abs(found - tone(44_100)[:, : found.shape[1]])[:, 500:-500].max() < 2e-3
    same = tone(44_100)
    assert resample(same, 44_100) is same


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
