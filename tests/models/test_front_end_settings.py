"""Settings of the front ends: defaults, bounds, the same again, for export, and other front ends."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from echodepth.models.frontends import default_front_end
from echodepth.models.frontends.batvision import BatVisionConfig, BatVisionFrontEnd
from echodepth.models.frontends.echo import EchoConfig, EchoFrontEnd
from echodepth.models.frontends.image import ImageFrontEnd
from echodepth.models.frontends.spectrum import FLOOR_DB, SpectrumTransform


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="spectrogram must be log or magnitude, not mel"):
        EchoFrontEnd(spectrogram="mel")
    with pytest.raises(ValueError, match="binaural_cues needs --spectrogram log"):
        EchoFrontEnd(spectrogram="magnitude", binaural_cues=True)
    with pytest.raises(ValueError, match=r"audio must be \[B, 2, T\] .* not \[1, 1, 100\]"):
        EchoFrontEnd()(torch.zeros(1, 1, 100))


def test_a_front_end_saved_without_the_setting_antialiases() -> None:
    """As it did when its network was trained."""
    audio = torch.randn(1, 2, 3000) / 10
    saved = {name: value for name, value in EchoFrontEnd(32).settings.items() if name != "spectrogram_antialias"}
    transform = SpectrumTransform(512, 64, 16, (32, 32))
    real, imaginary = transform(audio).unbind(2)
    level = 20 * torch.log10(torch.hypot(real, imaginary) + 10 ** (FLOOR_DB / 20))
    expected = F.interpolate(1 - level / FLOOR_DB, (32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(EchoFrontEnd(**saved)(audio), expected, atol=1e-5, rtol=0)


def test_settings_make_the_same_front_end_again() -> None:
    first = EchoFrontEnd(48, "magnitude", n_fft=256, win_length=32, hop_length=8, spectrogram_antialias=False)
    audio = torch.randn(1, 2, 2000)
    assert torch.equal(EchoFrontEnd(**first.settings)(audio), first(audio))


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(ImageFrontEnd(32)(image), image)
    assert ImageFrontEnd.input_channels == image.shape[1]
    assert ImageFrontEnd(16)(torch.full((1, 3, 40, 50), 0.25)).sub(0.25).abs().max() < 1e-6


def test_the_front_end_of_batvision_is_its_input() -> None:
    audio = torch.randn(1, 2, 3000) / 10
    front_end = BatVisionFrontEnd.from_config(BatVisionConfig(), 64)
    assert torch.equal(front_end(audio), EchoFrontEnd(64, "magnitude", spectrogram_antialias=False)(audio))
    assert BatVisionFrontEnd(**front_end.settings).settings == {"image_size": 64}


def test_the_settings_of_batvision_are_the_defaults() -> None:
    front_end = EchoFrontEnd()
    assert front_end.settings == {
        **{"image_size": 256, "spectrogram": "log", "n_fft": 512, "win_length": 64, "hop_length": 16},
        **{"binaural_cues": False, "spectrogram_antialias": True},
        **{"audio_bins": None, "audio_frames": None, "audio_range": None, "chirp": None},
    }
    assert (front_end.network_arguments, front_end.input_channels) == ({"ear_channels": 1}, 2)
    assert front_end(torch.zeros(1, 2, 4000)).shape == (1, 2, 256, 256)
    assert (ImageFrontEnd().image_size, BatVisionFrontEnd().image_size) == (256, 256)
    assert [default_front_end(modality) for modality in ("audio", "image")] == ["echo", "image"]
    assert vars(EchoConfig()) == {
        **{"audio_bins": 32, "audio_frames": 128, "audio_range": 10.0, "pulse_compression": True, "chirp": None},
        **{"spectrogram": "log", "spectrogram_antialias": True, "binaural_cues": False},
    }


@pytest.mark.parametrize(
    ("setting", "least", "most"),
    [
        *(("image_size", 16, 1024), ("audio_bins", 16, 1024), ("audio_frames", 16, 1024)),
        *(("n_fft", 2, 4096), ("win_length", 2, 1024), ("hop_length", 4, 1024), ("audio_range", 0.1, 1000.0)),
    ],
)
def test_settings_have_bounds(setting: str, least: Any, most: Any) -> None:
    for allowed in (least, most):
        assert EchoFrontEnd(**{setting: allowed}).settings[setting] == allowed
    step = 0.01 if setting == "audio_range" else 1
    for refused in (least - step, most + step):
        with pytest.raises(ValueError, match=f"{setting} must be {least:g} to {most:g}"):
            EchoFrontEnd(**{setting: refused})


@pytest.mark.parametrize(
    "settings",
    [
        {"binaural_cues": True, "audio_range": 3.0, "chirp": "linear"},
        {"spectrogram": "magnitude", "spectrogram_antialias": False, "audio_bins": 24},
        {"n_fft": 63, "win_length": 21, "hop_length": 5, "audio_frames": 40},
    ],
)
def test_the_front_end_for_export_computes_the_same(settings: dict[str, Any]) -> None:
    front_end, audio = EchoFrontEnd(16, **settings), torch.randn(2, 2, 1200) / 10
    found = front_end.exportable(1200)(audio)
    torch.testing.assert_close(found, front_end(audio), atol=1e-4, rtol=1e-4)
    silence = front_end.exportable(1200)(torch.zeros(1, 2, 1200))
    assert silence.abs().max() < 1e-4


def test_a_batch_of_any_size_is_computed_as_its_frames_are() -> None:
    front_end, audio = EchoFrontEnd(16), torch.randn(9, 2, 800)
    alone = torch.cat([front_end(frame[None]) for frame in audio])
    torch.testing.assert_close(front_end(audio), alone)
    assert front_end(audio.double()).dtype == torch.float64
    for wrong in (audio[:, :1], audio[:, [0, 1, 0]]):
        with pytest.raises(ValueError, match=r"audio must be \[B, 2, T\]"):
            front_end(wrong)


def test_a_front_end_that_has_only_predicted_can_train() -> None:
    """What it computes once and keeps is no inference tensor, which could not take part in a backward pass."""
    front_end, audio = EchoFrontEnd(16, chirp="linear"), torch.randn(1, 2, 800)
    with torch.inference_mode():
        predicted = front_end(audio)
    leaf = audio.clone().requires_grad_()
    trained = front_end(leaf)
    trained.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().sum() > 0
    assert torch.equal(trained, predicted)
