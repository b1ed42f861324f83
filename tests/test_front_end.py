"""The echo front end by signals whose spectrogram is known, and by the cues it must keep."""

import math

import pytest
import torch
from torch import Tensor

from echodepth.models.front_end import FLOOR_DB, EchoFrontEnd, ImageFrontEnd

RATE = 44_100


def sine(frequency: float, amplitude: float, samples: int = 7782) -> Tensor:
    return amplitude * torch.sin(2 * math.pi * frequency / RATE * torch.arange(samples))


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


def test_the_level_difference_between_the_ears_survives() -> None:
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


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="spectrogram must be log or magnitude, not mel"):
        EchoFrontEnd(spectrogram="mel")
    with pytest.raises(ValueError, match=r"audio must be \[B, 2, T\] .* not \[1, 1, 100\]"):
        EchoFrontEnd()(torch.zeros(1, 1, 100))


def test_settings_make_the_same_front_end_again() -> None:
    first = EchoFrontEnd(48, "magnitude", n_fft=256, win_length=32, hop_length=8)
    audio = torch.randn(1, 2, 2000)
    assert torch.equal(EchoFrontEnd(**first.settings)(audio), first(audio))


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(ImageFrontEnd(32)(image), image)
    assert ImageFrontEnd(16)(torch.full((1, 3, 40, 50), 0.25)).sub(0.25).abs().max() < 1e-6
