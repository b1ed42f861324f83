"""The matched filter by echoes whose place and level are known, and the cut at a range."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from echodepth.core.chirp import batvision_chirp
from echodepth.core.constants import SAMPLE_RATE, SPEED_OF_SOUND
from echodepth.core.errors import DataError
from echodepth.models.frontends.echo import EchoConfig, EchoFrontEnd
from echodepth.models.frontends.pulse_compression import EchoWindow, read_chirp

CHIRP = torch.from_numpy(batvision_chirp()).float()
ENERGY = float(CHIRP.square().sum())


def echoes(*delays: int, samples: int = 4000) -> Tensor:
    """Both ears of a recording with an echo at full scale from each delay in samples."""
    recording = torch.zeros(1, 2, samples)
    for delay in delays:
        recording[..., delay : delay + CHIRP.numel()] += CHIRP
    return recording


def test_an_echo_becomes_a_pulse_at_its_onset() -> None:
    pulse = EchoWindow(None, "linear")(echoes(700))[0, 0]
    assert int(pulse.abs().argmax()) == 700
    # The correlation of a signal of unit energy with itself: the root of the chirp's energy.
    assert pulse[700] == pytest.approx(math.sqrt(ENERGY), rel=1e-5)
    # Half a metre of chirp lies within four centimetres: 94 % of the energy, in ten samples of 263.
    near = pulse[695:706].square().sum() / pulse.square().sum()
    assert near > 0.9


def test_echoes_that_overlap_for_the_most_part_are_told_apart() -> None:
    """Two walls 8 cm apart: their echoes of 3 ms are half a millisecond apart."""
    pulse = EchoWindow(None, "linear")(echoes(700, 722))[0, 0].abs()
    assert sorted(pulse.topk(2).indices.tolist()) == [700, 722]
    assert pulse[705:718].max() < 0.5 * pulse[700]


def test_an_echo_gains_eighteen_decibels_over_white_noise() -> None:
    noise = torch.randn(1, 2, 100_000, generator=torch.Generator().manual_seed(0))
    filtered = EchoWindow(None, "linear")(noise)[..., :99_000]
    assert filtered.std() == pytest.approx(1.0, rel=0.02)
    gain = 20 * math.log10(float(EchoWindow(None, "linear")(echoes(700)).abs().max()) / float(CHIRP.abs().max()))
    assert gain == pytest.approx(18.0, abs=0.1)


@pytest.mark.parametrize("chirp", [None, "linear"])
def test_only_echoes_from_within_the_range_are_used(chirp: str | None) -> None:
    window = EchoWindow(5.0, chirp)
    samples = round(2 * 5.0 / SPEED_OF_SOUND * SAMPLE_RATE)
    recording = torch.randn(1, 2, 4000)
    later = recording.clone()
    # The chirp of the last echo ends after the range.
    later[..., samples + CHIRP.numel() - 1 :] = 0
    assert window(recording).shape == (1, 2, samples)
    assert torch.equal(window(recording), window(later))


def test_a_short_recording_is_continued_with_silence_and_not_stretched() -> None:
    """Stretched to the frames of a longer one, all of its echoes would appear farther away."""
    front_end = EchoFrontEnd(64, audio_frames=100, audio_range=10.0)
    short = echoes(700, samples=1500)
    whole = torch.cat([short, torch.zeros(1, 2, 2500)], dim=-1)
    assert torch.equal(front_end(short), front_end(whole))


def test_a_recording_that_lacks_one_sample_is_continued_by_one() -> None:
    window = EchoWindow(5.0, None)
    recording = torch.randn(1, 2, window.length(0))
    assert torch.equal(window(recording[..., :-1])[..., :-1], recording[..., :-1])
    assert window(recording[..., :-1]).shape == recording.shape


def test_a_delay_is_the_same_column_at_every_image_size() -> None:
    for size in (32, 128):
        front_end = EchoFrontEnd(size, "magnitude", audio_bins=32, audio_frames=100, audio_range=10.0, chirp="linear")
        spectrogram = front_end(echoes(1297))  # half of the 2594 samples of 10 m
        assert spectrogram.shape == (1, 2, 32, 100)
        assert abs(int(spectrogram[0, 0].sum(dim=0).argmax()) - 50) <= 1


def test_a_chirp_of_ones_own_travels_with_the_model_as_samples(tmp_path: Path) -> None:
    own = np.round(np.sin(np.linspace(0, 60, 200) ** 1.5) * np.hanning(200), 4)
    soundfile.write(tmp_path / "chirp.wav", own, SAMPLE_RATE, subtype="DOUBLE")
    made = EchoFrontEnd.from_config(EchoConfig(chirp=tmp_path / "chirp.wav"), 64)
    (tmp_path / "chirp.wav").unlink()
    assert made.settings["chirp"] == own.tolist()
    recording = torch.zeros(1, 2, 4000)
    recording[..., 500:700] = torch.from_numpy(own).float()
    again = EchoFrontEnd(**made.settings)
    assert torch.equal(again(recording), made(recording))
    assert int(again.window(recording)[0, 0].argmax()) == 500


def test_the_default_flags_are_batvisions_chirp_within_ten_metres() -> None:
    front_end = EchoFrontEnd.from_config(EchoConfig(), 64)
    assert front_end.settings["chirp"] == "linear"
    assert front_end(torch.zeros(1, 2, 7782)).shape == (1, 2, 32, 128)
    plain = EchoFrontEnd.from_config(
        EchoConfig(audio_bins=None, audio_frames=None, audio_range=None, pulse_compression=False), 64
    )
    assert plain.settings == EchoFrontEnd(64).settings


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"audio_range must be 0\.1 to 1000 metres, not -1"):
        EchoWindow(-1.0, None)
    with pytest.raises(ValueError, match="chirp must be linear or samples, not square"):
        EchoWindow(None, "square")
    with pytest.raises(ValueError, match=r"chirp must have 2 to 4410 samples \(0.1 s\), not \[5000\]"):
        EchoWindow(None, [0.5] * 5000)
    with pytest.raises(ValueError, match="chirp has samples that are not finite, or all are zero"):
        EchoWindow(None, [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="audio_bins must be 16 to 1024, not 3"):
        EchoFrontEnd(64, audio_bins=3)
    with pytest.raises(ValueError, match="chirp is for pulse compression: omit it, or --pulse_compression False"):
        EchoFrontEnd.from_config(EchoConfig(chirp=tmp_path, pulse_compression=False), 64)
    with pytest.raises(DataError, match=r"--chirp .*none.wav cannot be read as audio"):
        read_chirp(tmp_path / "none.wav")
    soundfile.write(tmp_path / "slow.wav", np.ones(100), 16_000)
    with pytest.raises(DataError, match=r"slow.wav has 16000 Hz: resample it to 44100 Hz"):
        read_chirp(tmp_path / "slow.wav")


def test_the_chirp_is_a_linear_sweep_of_three_milliseconds() -> None:
    chirp = batvision_chirp()
    time = np.arange(132) / 44100
    # The phase is the integral of the frequency, 20 Hz + (20 kHz - 20 Hz) t / 3 ms, and begins at 0.
    phase = 2 * np.pi * (20 * time + 19_980 / 0.003 * time**2 / 2)
    np.testing.assert_allclose(chirp, -np.sin(phase), atol=1e-9)


def test_a_range_is_the_way_there_and_back_at_340_metres_a_second() -> None:
    assert EchoWindow(3.4, None)(torch.ones(1, 2, 5000)).shape == (1, 2, 882)  # 20 ms
    assert (EchoWindow(3.4, None).length(10), EchoWindow(None, None).length(10)) == (882, 10)
    extended = EchoWindow(3.4, None)(torch.ones(1, 2, 800))
    assert extended[..., :800].eq(1).all()
    assert not extended[..., 800:].any()


def test_the_length_of_a_chirp_has_bounds() -> None:
    rng = np.random.default_rng(0)
    for samples in (2, 4410):
        EchoWindow(None, rng.standard_normal(samples).tolist())
    for samples in (1, 4411):
        with pytest.raises(ValueError, match=rf"chirp must have 2 to 4410 samples \(0\.1 s\), not \[{samples}\]"):
            EchoWindow(None, rng.standard_normal(samples).tolist())
    for wrong in ([1.0, math.nan], [math.inf, 1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="not finite, or all are zero"):
            EchoWindow(None, wrong)
    EchoWindow(None, [0.0, 1.0])


def test_the_first_channel_of_a_chirps_file_is_read_to_six_digits_and_no_further_than_needed(tmp_path: Path) -> None:
    samples = np.stack([np.linspace(-0.123456789, 0.987654321, 5000), np.zeros(5000)], axis=1)
    soundfile.write(tmp_path / "long.wav", samples, SAMPLE_RATE, subtype="DOUBLE")
    chirp = read_chirp(tmp_path / "long.wav")
    assert chirp[0] == -0.123457
    assert len(chirp) == 4411  # one more than a chirp may have: refused without reading on
