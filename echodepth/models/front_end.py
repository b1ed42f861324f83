"""From what a sensor gives to what a network takes. A front end is saved with the weights that were trained on it."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn

FLOOR_DB = -100.0
"""Level that the log spectrogram maps to 0. A quiet room's noise at BatVision's gain lies about 20 dB above it."""
LARGEST_ILD = 40.0
"""Decibels between the ears that map to 1: a head shadows hardly more (KEMAR: 30 dB at 10 kHz)."""
CUES = 5
"""Channels of one ear at one resolution: level, and difference of level, cosine and sine of phase, coherence."""
_FINER = 4  # times as many samples in the second window


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

    With ``cues`` an ear has, besides its level, what differs from the other ear: the level, cosine and sine of the
    phase, and how coherent the two are; and all five again through a window four times as long, which tells
    frequencies apart where the short one tells times apart. Swapped ears swap the channels, signs included.

    Args:
        image_size: side in pixels of the square that frequency and time are resized to.
        spectrogram: ``log`` or ``magnitude``.
        n_fft: bins of the transform.
        win_length: samples of the window.
        hop_length: samples between columns.
        cues: add what differs between the ears, and a second resolution.

    Raises:
        ValueError: ``spectrogram`` is neither of the two, or ``cues`` are asked of the magnitude.
    """

    input_key: Literal["audio"] = "audio"

    def __init__(
        self,
        image_size: int = 256,
        spectrogram: str = "log",
        n_fft: int = 512,
        win_length: int = 64,
        hop_length: int = 16,
        cues: bool = False,
    ) -> None:
        super().__init__()
        if spectrogram not in ("log", "magnitude"):
            raise ValueError(f"spectrogram must be log or magnitude, not {spectrogram}")
        if cues and spectrogram != "log":
            raise ValueError("cues need --spectrogram log: their levels are in decibels")
        self.image_size = image_size
        self.spectrogram = spectrogram
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.cues = cues

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, for the model folder."""
        names = ("image_size", "spectrogram", "n_fft", "win_length", "hop_length", "cues")
        return {name: getattr(self, name) for name in names}

    @property
    def ear_channels(self) -> int:
        """Channels of one ear."""
        return 2 * CUES if self.cues else 1

    def forward(self, audio: Float[Tensor, "b ears t"]) -> Float[Tensor, "b c s s"]:
        """Spectrograms with low frequencies in the first row and the first echo in the first columns.

        Args:
            audio: full scale 1, left ear first, cut as in training.

        Raises:
            ValueError: ``audio`` has not two channels.
        """
        if audio.ndim != 3 or audio.shape[1] != 2:
            raise ValueError(f"audio must be [B, 2, T] (left ear, right ear), not {list(audio.shape)}")
        spectrum = self._spectrum(audio, self.win_length, self.hop_length)
        if self.cues:
            finer = self._spectrum(audio, _FINER * self.win_length, _FINER * self.hop_length)
            ears = [compare_ears(each, self.image_size) for each in (spectrum, finer)]
            heard = torch.cat(ears, dim=2).flatten(1, 2)  # [B, 2 * 2 * CUES, S, S]
        elif self.spectrogram == "log":
            heard = _resize(level(spectrum), self.image_size)
        else:
            heard = _resize(spectrum.abs() * (self.win_length / 4), self.image_size)
        return heard.to(audio.dtype)

    def _spectrum(self, audio: Float[Tensor, "b 2 t"], win_length: int, hop_length: int) -> Complex[Tensor, "b 2 f n"]:
        """A full-scale sine has magnitude 1."""
        # Single precision whatever the network's: torch has no transform of half-precision audio on a CPU.
        window = torch.hann_window(win_length, dtype=torch.float32, device=audio.device)
        spectrum = torch.stft(
            audio.flatten(0, 1).float(),
            max(self.n_fft, win_length),
            hop_length,
            win_length,
            window,
            return_complex=True,
        )
        # A full-scale sine has half the window's sum as its magnitude; a periodic Hann window's sum is half its length.
        scaled: Tensor = spectrum.unflatten(0, (-1, 2)) / (win_length / 4)
        return scaled


def level(spectrum: Complex[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Decibels, from ``FLOOR_DB`` at 0 to full scale at 1."""
    return 1 - 20 * torch.log10(spectrum.abs() + 10 ** (FLOOR_DB / 20)) / FLOOR_DB


def compare_ears(spectrum: Complex[Tensor, "b 2 f n"], image_size: int) -> Float[Tensor, "b 2 cues s s"]:
    """Each ear's level, and its difference from the other ear: level, phase (cosine, sine), coherence.

    The differences of level and phase are those of Duplex theory (Rayleigh 1907); coherence, by which listeners tell
    direct sound from reverberation (Faller and Merimaa, JASA 116, 2004), is the averaged cross-spectrum over the
    root of both averaged powers: 1 where one wave reaches both ears, near 0 where many mix.

    Args:
        spectrum: both ears', a full-scale sine at magnitude 1.
        image_size: side of the square that frequency and time are resized to.
    """
    levels = _resize(level(spectrum), image_size)
    ild = ((levels - levels.flip(1)) * (-FLOOR_DB / LARGEST_ILD)).clamp(-1, 1)
    left, right = spectrum.unbind(1)
    cross = left * right.conj()
    products = torch.stack([cross.real, cross.imag, left.abs().square(), right.abs().square()], dim=1)
    # Of a single bin the coherence is 1 whatever it holds: neighbours are averaged, by resizing and after it.
    averaged = F.avg_pool2d(_resize(products, image_size), 3, stride=1, padding=1, count_include_pad=False)
    real, imaginary, left_power, right_power = averaged.unbind(1)
    silence = 10 ** (FLOOR_DB / 10)
    magnitude = torch.hypot(real, imaginary)
    cosine, sine = real / (magnitude + silence), imaginary / (magnitude + silence)
    coherence = magnitude / (torch.sqrt(left_power * right_power) + silence)
    return torch.stack(
        [
            levels,
            ild,
            torch.stack([cosine, cosine], dim=1),
            torch.stack([sine, -sine], dim=1),
            torch.stack([coherence, coherence], dim=1),
        ],
        dim=2,
    )


def _resize(x: Tensor, size: int) -> Tensor:
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
