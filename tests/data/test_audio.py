"""Recordings: full scale whatever the sample format, and one cut for both ears."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile

from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError, DataError
from echodepth.data.audio import (
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
from tests.data.chirps import recorded


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
        (np.where(np.arange(200).reshape(100, 2) == 7, np.inf, 0.1), "not finite"),
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
