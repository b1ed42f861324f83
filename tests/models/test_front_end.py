"""The echo front end by signals whose spectrogram is known, and by the cues it must keep."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from echodepth.models.frontends.echo import CUE_CHANNELS, MAX_ILD_DB, EchoFrontEnd
from echodepth.models.frontends.spectrum import FLOOR_DB, SpectrumTransform
from tests.numpy_reference import batvision_input, resized

RATE = 44_100


def sine(frequency: float, amplitude: float, samples: int = 7782) -> Tensor:
    return amplitude * torch.sin(2 * math.pi * frequency / RATE * torch.arange(samples))


@pytest.mark.parametrize(
    ("n_fft", "win_length", "hop_length", "samples"),
    [
        (512, 64, 16, 7782),
        (512, 64, 16, 1000),
        (512, 256, 64, 7782),
        (64, 256, 64, 3000),
        (63, 21, 5, 500),
        (64, 33, 7, 777),
    ],
)
def test_the_spectrum_is_that_of_torch_stft(n_fft: int, win_length: int, hop_length: int, samples: int) -> None:
    audio = torch.randn(2, 2, samples) / 10
    real, imaginary = SpectrumTransform(n_fft, win_length, hop_length, (32, 32))(audio).unbind(2)
    window, bins = torch.hann_window(win_length), max(n_fft, win_length)
    expected = torch.stft(audio.flatten(0, 1), bins, hop_length, win_length, window, return_complex=True)
    expected = expected.unflatten(0, (2, 2)) / (win_length / 4)
    assert torch.complex(real, imaginary).sub(expected).abs().max() < 1e-6


def test_mixed_precision_leaves_the_spectrogram_in_single() -> None:
    audio = torch.randn(1, 2, 3000) / 10
    with torch.autocast("cpu", torch.bfloat16):
        mixed = EchoFrontEnd(32)(audio)
    assert torch.equal(mixed, EchoFrontEnd(32)(audio))


def both(signal: Tensor) -> Tensor:
    return torch.stack([signal, signal])[None]


def test_a_sine_lights_the_row_of_its_frequency() -> None:
    spectrogram = EchoFrontEnd(256, "magnitude")(both(sine(RATE / 8, 1.0)))
    # An eighth of the rate is a quarter of the way to half of it.
    assert abs(int(spectrogram[0, 0, :, 128].argmax()) - 64) <= 1


def test_a_full_scale_sine_is_zero_decibels() -> None:
    spectrogram = EchoFrontEnd(257, "log")(both(sine(RATE / 8, 1.0)))
    assert spectrogram[0, 0].max().item() == pytest.approx(1.0, abs=0.01)


def test_half_the_amplitude_is_six_decibels_less_in_any_recording() -> None:
    front_end = EchoFrontEnd(257, "log")
    loud, soft = (front_end(both(sine(RATE / 8, a)))[0, 0].max().item() for a in (0.2, 0.1))
    assert (loud - soft) * -FLOOR_DB == pytest.approx(20 * math.log10(2), abs=0.05)


def test_silence_is_zero() -> None:
    assert EchoFrontEnd(64, "log")(torch.zeros(1, 2, 4000)).abs().max().item() < 1e-5


def test_the_interaural_level_difference_is_kept() -> None:
    left, right = sine(5000, 0.4), sine(5000, 0.1)
    spectrogram = EchoFrontEnd(257, "log")(torch.stack([left, right])[None])
    difference = (spectrogram[0, 0] - spectrogram[0, 1])[:, 100:150].amax().item()
    assert difference * -FLOOR_DB == pytest.approx(20 * math.log10(4), abs=0.1)


def test_a_later_click_lies_farther_right() -> None:
    clicks = torch.zeros(2, 2, 7782)
    clicks[0, :, 1000] = clicks[1, :, 5000] = 1.0
    columns = EchoFrontEnd(256, "magnitude")(clicks).sum(dim=(1, 2)).argmax(dim=1)
    expected = [1000 / 7782 * 256, 5000 / 7782 * 256]
    assert all(abs(int(c) - e) <= 1 for c, e in zip(columns, expected, strict=True))


def test_swapping_the_ears_swaps_the_channels() -> None:
    front_end, audio = EchoFrontEnd(32), torch.randn(2, 2, 3000)
    assert torch.equal(front_end(audio.flip(1)), front_end(audio).flip(1))


def test_frames_of_a_batch_do_not_share_a_scale() -> None:
    front_end, audio = EchoFrontEnd(32), torch.randn(1, 2, 3000)
    with_loud_neighbour = torch.cat([audio, 100 * audio])
    torch.testing.assert_close(front_end(with_loud_neighbour)[:1], front_end(audio))


def cues(left: Tensor, right: Tensor, size: int = 128) -> Tensor:
    """[ear, resolution, cue, size, size]."""
    channels: Tensor = EchoFrontEnd(size, binaural_cues=True)(torch.stack([left, right])[None])
    return channels[0].reshape(2, 2, CUE_CHANNELS, size, size)


def test_the_first_cue_is_the_spectrogram_without_cues() -> None:
    audio = torch.randn(2, 7782) / 10
    assert torch.equal(cues(*audio)[:, 0, 0], EchoFrontEnd(128)(audio[None])[0])


@pytest.mark.parametrize("delay", [0, 3, -3])
def test_a_delay_between_the_ears_is_the_phase_that_it_takes(delay: int) -> None:
    frequency = RATE / 32
    time = torch.arange(7782)
    left = 0.3 * torch.sin(2 * math.pi * time / 32)
    right = 0.3 * torch.sin(2 * math.pi * (time - delay) / 32)
    expected = 2 * math.pi * frequency * delay / RATE
    row = round(frequency / (RATE / 2) * 128)
    for ear, sign in ((0, 1), (1, -1)):
        for resolution in (0, 1):
            _, ild, cosine, sine, coherence = cues(left, right)[ear, resolution, :, row, 64]
            assert cosine.item() == pytest.approx(math.cos(expected), abs=0.02)
            assert sine.item() == pytest.approx(sign * math.sin(expected), abs=0.02)
            assert coherence.item() == pytest.approx(1.0, abs=0.02)
            assert abs(ild.item()) < 0.01


def test_a_louder_ear_is_the_level_difference_in_decibels() -> None:
    left, right = sine(RATE / 8, 0.4), sine(RATE / 8, 0.1)
    for resolution in (0, 1):
        ild = cues(left, right)[:, resolution, 1, 32, 64]
        assert (ild * MAX_ILD_DB).tolist() == pytest.approx([20 * math.log10(4), -20 * math.log10(4)], abs=0.1)


def test_noise_that_the_ears_share_is_coherent_and_noise_of_each_is_not() -> None:
    noise = torch.randn(2, 7782) / 10
    for resolution in (0, 1):
        assert cues(noise[0], noise[0])[0, resolution, 4].mean() > 0.99
        assert cues(noise[0], noise[1])[0, resolution, 4].mean() < 0.6


def test_swapping_the_ears_swaps_the_cues() -> None:
    left, right = torch.randn(2, 7782) / 10
    assert torch.equal(cues(right, left), cues(left, right).flip(0))


def test_a_finer_window_tells_close_tones_apart_and_blurs_a_click() -> None:
    click = torch.zeros(7782)
    click[3890] = 1.0
    sharp, blurred = cues(click, click)[0, :, 0].mean(dim=1)  # level over time, per resolution
    assert (sharp > sharp.max() / 2).sum() < (blurred > blurred.max() / 2).sum()
    tones = sine(5000, 0.3) + sine(5600, 0.3)
    rough, fine = cues(tones, tones, 257)[0, :, 0, 58:66, 128]  # 5000 to 5600 Hz, a row is 86 Hz
    assert fine.max() - fine.min() > 2 * (rough.max() - rough.min())


def test_cues_of_silence_are_zero() -> None:
    assert cues(torch.zeros(4000), torch.zeros(4000)).abs().max() < 1e-5


@pytest.mark.parametrize("samples", [7782, 4410])
def test_magnitude_without_antialiasing_is_batvisions_input(samples: int) -> None:
    audio = torch.randn(2, samples) / 10
    expected = batvision_input(audio.numpy(), 256)
    ours = EchoFrontEnd(256, "magnitude", spectrogram_antialias=False)(audio[None])[0].numpy()
    assert abs(ours - expected).max() < 1e-6 * expected.max()
    assert abs(EchoFrontEnd(256, "magnitude")(audio[None])[0].numpy() - expected).max() > 0.01 * expected.max()


def numpy_spectrum(ear: np.ndarray, window: int, hop: int) -> np.ndarray:
    """[257, columns]: a Hann window in the middle of 512 samples, with reflected ends; a full-scale sine is 1."""
    hann = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window), (512 - window) // 2)
    padded = np.pad(ear, 256, mode="reflect")
    frames = [padded[start : start + 512] * hann for start in range(0, len(padded) - 511, hop)]
    return np.fft.rfft(frames).T / (window / 4)


def numpy_cues(ears: np.ndarray, size: int) -> np.ndarray:
    """[ear, resolution, cue, size, size] in double precision, from the definitions."""

    def small(image: np.ndarray) -> np.ndarray:
        return resized(image, size, "bilinear_antialias")

    def averaged(image: np.ndarray) -> np.ndarray:
        def sums(of: np.ndarray) -> np.ndarray:
            padded = np.pad(of, 1)
            shifted = [padded[y : y + size, x : x + size] for y in range(3) for x in range(3)]
            return np.asarray(np.sum(shifted, axis=0))

        mean: np.ndarray = sums(small(image)) / sums(np.ones((size, size)))
        return mean

    resolutions = []
    for window, hop in ((64, 16), (256, 64)):
        left, right = (numpy_spectrum(ear, window, hop) for ear in ears)
        levels = [small(1 + 20 * np.log10(np.abs(each) + 1e-5) / 100) for each in (left, right)]
        cross = averaged((left * right.conj()).real) + 1j * averaged((left * right.conj()).imag)
        powers = averaged(np.abs(left) ** 2) * averaged(np.abs(right) ** 2)
        phase, coherence = cross / (np.abs(cross) + 1e-10), np.abs(cross) / (np.sqrt(powers) + 1e-10)
        for level, other, sign in ((levels[0], levels[1], 1), (levels[1], levels[0], -1)):
            ild = np.clip(100 * (level - other) / 40, -1, 1)  # 40 dB, above the largest of a head, is 1
            resolutions.append([level, ild, phase.real, sign * phase.imag, coherence])
    return np.array(resolutions).reshape(2, 2, 5, size, size).transpose(1, 0, 2, 3, 4)


def test_all_cues_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    ears = rng.standard_normal((2, 3000)) * np.exp(-np.arange(3000) / 400) * np.array([[0.1], [0.01]])
    ears[1] += 0.3 * np.roll(ears[0], 5)
    ears[:, 2500:] = 0
    front_end = EchoFrontEnd(16, binaural_cues=True)
    assert (front_end.network_arguments, front_end.input_channels) == ({"ear_channels": 10}, 20)
    found = front_end(torch.from_numpy(ears).float()[None])[0].reshape(2, 2, 5, 16, 16)
    np.testing.assert_allclose(found.numpy(), numpy_cues(ears, 16), atol=2e-4)


def test_a_level_difference_saturates_at_forty_decibels() -> None:
    for decibels, expected in ((10, 0.25), (30, 0.75), (39, 0.975), (41, 1.0), (60, 1.0)):
        ild = cues(sine(RATE / 8, 0.9), sine(RATE / 8, 0.9 * 10 ** (-decibels / 20)))[:, :, 1, 32, 64]
        assert ild.tolist() == [pytest.approx([expected] * 2, abs=0.01), pytest.approx([-expected] * 2, abs=0.01)]
