"""From what a sensor gives to what a network takes. A front end is saved with the weights that were trained on it."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

FLOOR_DB = -100.0
"""Level that the log spectrogram maps to 0. A quiet room's noise at BatVision's gain lies about 20 dB above it."""


class ImageFrontEnd(nn.Module):
    """Colour images, resized to the size that the network was trained on.

    Args:
        image_size: side in pixels.
    """

    input_key: Literal["image"] = "image"

    def __init__(self, image_size: int = 256) -> None:
        super().__init__()
        self.image_size = image_size

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, for the model folder."""
        return {"image_size": self.image_size}

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 s s"]:
        """Images in 0..1 of any size to the training size."""
        return _resize(image, self.image_size)


class EchoFrontEnd(nn.Module):
    """Waveforms to spectrograms: the left ear's channels, then the right's.

    The short-time Fourier transform has BatVision's settings (arXiv 2303.07257): 512 bins over a Hann window of 64
    samples, 1.5 ms, every 16. ``magnitude`` is their input. ``log`` is the level in decibels on one fixed scale
    for all recordings and both ears, because a scale per recording or per ear erases the level, which tells
    distance, and the difference between the ears, which tells direction.

    Args:
        image_size: side in pixels of the square that frequency and time are resized to.
        spectrogram: ``log`` or ``magnitude``.
        n_fft: bins of the transform.
        win_length: samples of the window.
        hop_length: samples between columns.

    Raises:
        ValueError: ``spectrogram`` is neither of the two.
    """

    input_key: Literal["audio"] = "audio"
    ear_channels = 1
    window: Tensor

    def __init__(
        self,
        image_size: int = 256,
        spectrogram: str = "log",
        n_fft: int = 512,
        win_length: int = 64,
        hop_length: int = 16,
    ) -> None:
        super().__init__()
        if spectrogram not in ("log", "magnitude"):
            raise ValueError(f"spectrogram must be log or magnitude, not {spectrogram}")
        self.image_size = image_size
        self.spectrogram = spectrogram
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.register_buffer("window", torch.hann_window(win_length), persistent=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, for the model folder."""
        names = ("image_size", "spectrogram", "n_fft", "win_length", "hop_length")
        return {name: getattr(self, name) for name in names}

    def forward(self, audio: Float[Tensor, "b ears t"]) -> Float[Tensor, "b c s s"]:
        """Spectrograms with low frequencies in the first row and the first echo in the first columns.

        Args:
            audio: full scale 1, left ear first, cut as in training.

        Raises:
            ValueError: ``audio`` has not two channels.
        """
        if audio.ndim != 3 or audio.shape[1] != 2:
            raise ValueError(f"audio must be [B, 2, T] (left ear, right ear), not {list(audio.shape)}")
        spectrum = torch.stft(
            audio.flatten(0, 1).float(),
            self.n_fft,
            self.hop_length,
            self.win_length,
            self.window,
            return_complex=True,
        )  # [B*2, n_fft/2+1, T/hop+1]
        magnitude = spectrum.abs().unflatten(0, (-1, 2))
        if self.spectrogram == "log":
            # A full-scale sine has half the window's sum as its magnitude: 0 dB.
            full_scale = self.window.sum() / 2
            decibels = 20 * torch.log10(magnitude / full_scale + 10 ** (FLOOR_DB / 20))
            magnitude = 1 - decibels / FLOOR_DB
        return _resize(magnitude, self.image_size)


def _resize(x: Tensor, size: int) -> Tensor:
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
