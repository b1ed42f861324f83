"""The front end in real numbers computes what the complex one computes."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from echodepth.models.frontends.echo import EchoFrontEnd
from echodepth.models.resampling import resize_matrix
from tests.inference.export.exported import SAMPLES
from tests.tiny import SIDE

pytestmark = pytest.mark.slow


def decaying_noise(samples: int) -> torch.Tensor:
    return 0.3 * torch.exp(-6 * torch.arange(samples) / samples) * torch.randn(2, 2, samples)


@pytest.mark.parametrize("samples", [SAMPLES, 881])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"spectrogram": "magnitude"},
        {"spectrogram": "magnitude", "spectrogram_antialias": False},
        {"win_length": 63, "hop_length": 17},
        {"n_fft": 64},
        {"n_fft": 32, "win_length": 128},
        {"audio_bins": 16, "audio_frames": 40, "audio_range": 2.0, "chirp": "linear"},
    ],
    ids=str,
)
def test_the_graphs_spectrogram_is_the_front_ends(settings: dict[str, Any], samples: int) -> None:
    front_end = EchoFrontEnd(SIDE, **settings)
    audio = decaying_noise(samples)
    torch.testing.assert_close(front_end.exportable(samples)(audio), front_end(audio), atol=2e-5, rtol=0)


def test_the_graphs_cues_are_the_front_ends() -> None:
    """With silence at the end, where the phase is undefined: its cues are 0, not 0/0."""
    front_end = EchoFrontEnd(SIDE, binaural_cues=True)
    audio = decaying_noise(2000)
    audio[0, 0, 1000:] = 0
    audio[:, :, 1500:] = 0
    got, expected = front_end.exportable(2000)(audio), front_end(audio)
    assert (expected[:, 2, :, -4:] == 0).all()
    off = (got - expected).abs()
    assert off.max() < 1e-3
    assert off.mean() < 1e-6


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("length", "size"), [(257, 32), (487, 32), (20, 32), (32, 32), (33, 32)])
def test_resizing_by_a_matrix_equals_interpolation(length: int, size: int, antialias: bool) -> None:
    x = torch.rand(1, 1, size, length)
    expected = F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=antialias)
    matrix = resize_matrix(length, size, antialias)
    torch.testing.assert_close(x @ matrix.T, expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(matrix.sum(1), torch.ones(size))
