"""Predictor.infer on recordings of every form: correct depth, or an error of one line."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from scipy.signal import resample_poly

from echodepth import Predictor
from echodepth.core.errors import DataError, EchodepthError
from tests.tiny import RATE, SIDE


def test_every_form_of_a_recording_gives_the_same_depth(ears: Predictor, sound: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "room.wav", sound.T, RATE, subtype="FLOAT")
    expected = ears.infer(tmp_path / "room.wav").depth
    assert expected.shape == (SIDE, SIDE)
    assert expected.dtype == np.float32
    for same in (sound, sound.T, torch.from_numpy(sound), sound.astype(np.float64)):
        np.testing.assert_array_equal(ears.infer(same, sample_rate=RATE).depth, expected)
    batch = ears.infer(np.stack([sound, sound[::-1]]), sample_rate=RATE).depth
    np.testing.assert_allclose(batch[0], expected, atol=1e-5)
    assert np.abs(batch[1] - expected).max() > 1e-4  # ears swapped


@pytest.mark.parametrize(
    ("ending", "subtype"),
    [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_32"), ("wav", "FLOAT"), ("wav", "DOUBLE"), ("flac", "PCM_24")],
)
def test_every_sample_format_gives_the_same(
    ears: Predictor, sound: np.ndarray, tmp_path: Path, ending: str, subtype: str
) -> None:
    soundfile.write(tmp_path / f"room.{ending}", sound.T, RATE, subtype=subtype)
    expected = ears.infer(sound, sample_rate=RATE).depth
    np.testing.assert_allclose(ears.infer(tmp_path / f"room.{ending}").depth, expected, atol=0.02)
    if subtype in ("PCM_16", "PCM_32"):
        integers, _ = soundfile.read(tmp_path / "room.wav", dtype=f"int{subtype[4:]}")
        np.testing.assert_allclose(ears.infer(integers, sample_rate=RATE).depth, expected, atol=0.02)


@pytest.mark.parametrize(("rate", "up", "down"), [(48000, 160, 147), (96000, 320, 147), (22050, 1, 2)])
def test_every_sample_rate_gives_nearly_the_same(
    ears: Predictor, sound: np.ndarray, tmp_path: Path, rate: int, up: int, down: int
) -> None:
    soundfile.write(tmp_path / "room.wav", resample_poly(sound, up, down, axis=1).T, rate, subtype="FLOAT")
    waveforms: list[torch.Tensor] = []
    hook = ears.backend.front_end.register_forward_pre_hook(  # type: ignore[attr-defined]
        lambda module, args: waveforms.append(args[0])
    )
    ears.infer(sound, sample_rate=RATE)
    ears.infer(tmp_path / "room.wav")
    hook.remove()
    expected, resampled = (each[0, 0] for each in waveforms)
    assert expected.shape == resampled.shape
    correlation = torch.nn.functional.conv1d(expected[None, None], resampled[None, None, 10:-10])
    energy = expected.square().sum().sqrt() * resampled.square().sum().sqrt()
    assert correlation.max() / energy > 0.97  # the onset may be found a few samples apart


def test_a_low_sample_rate_is_warned_of(ears: Predictor, sound: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    assert np.isfinite(ears.infer(sound, sample_rate=8000).depth).all()
    assert "the recording has no content above 4 kHz, but models are trained on echoes up to 20 kHz" in caplog.text


def test_a_recording_of_several_chirps_says_that_the_first_is_used(
    ears: Predictor, sound: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    chirps = -(-2 * RATE // sound.shape[1])
    soundfile.write(tmp_path / "walk.wav", np.tile(sound, chirps).T, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "one.wav", sound.T, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(ears.infer(tmp_path / "walk.wav").depth, ears.infer(tmp_path / "one.wav").depth)
    seconds = chirps * sound.shape[1] / RATE
    assert f"walk.wav lasts {seconds:.1f} s: its first chirp and the echoes of that are used" in caplog.text
    assert "one.wav lasts" not in caplog.text


def _wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


CLICK = np.zeros((9000, 2), np.float32)
CLICK[200] = 0.5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_wav(CLICK[:, :1]), r"has 1 channel: two are needed, left ear then right"),
        (_wav(CLICK[:, [0, 0, 1]]), "has 3 channels: "),
        (_wav(CLICK[:, [0] * 6]), "has 6 channels: "),
        (_wav(CLICK[:0]), "holds no samples"),
        (b"", "cannot be read as audio"),
        (_wav(CLICK)[:30], "cannot be read as audio"),
        (_wav(CLICK)[:4000], r"has \d+ samples, but the cut runs from \d+ to \d+"),
        (_wav(np.where(CLICK > 0, np.nan, CLICK)), "holds samples that are not finite numbers"),
        (_wav(CLICK * 32768), "reaches 1.638e.04 where full scale is 1"),
        (
            _wav(CLICK * 0),
            r"no direct sound found: [^;]*; a recording must hold a chirp and its echoes, as those of `echodepth r",
        ),
        (_wav(CLICK[:300]), r"has 300 samples, but the cut runs from \d+ to \d+: record for longer after the chirp$"),
    ],
    ids=["mono", "3", "6", "no samples", "empty", "header", "truncated", "NaN", "unscaled", "silent", "short"],
)
def test_unfit_recordings_are_refused_in_one_line(
    ears: Predictor, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "room.wav").write_bytes(content)
    with pytest.raises(DataError, match=rf"room\.wav:? {message}") as refused:
        ears.infer(tmp_path / "room.wav")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("array", "rate", "message"),
    [
        (np.zeros(9000, np.float32), RATE, "has 1 channel: "),
        (np.zeros((9000, 6), np.float32), RATE, "has 6 channels: "),
        (CLICK, None, r"does not state its sample rate: infer\(x, sample_rate=44100\)"),
        (CLICK, 0, "sample_rate must be at least 1 Hz, not 0"),
        (np.zeros((2, 9000), np.uint8), RATE, "holds uint8: save the audio as int16"),
        (np.zeros((2, 2, 2, 9000), np.float32), RATE, "is not a recording"),
        (np.zeros((2, 0), np.float32), RATE, "holds no samples"),
        (Image.new("RGB", (9, 9)), None, "the input is an image, but the model takes two-channel recordings"),
    ],
)
def test_arrays_that_are_not_recordings_are_refused(
    ears: Predictor, array: Any, rate: int | None, message: str
) -> None:
    with pytest.raises(EchodepthError, match=message):
        ears.infer(array, sample_rate=rate)
