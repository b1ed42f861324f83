"""From what a sensor gives to what a network takes. A front end is saved with the weights that were trained on it."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

FLOOR_DB = -100.0
"""Level that the log spectrogram maps to 0. A quiet room's noise at BatVision's gain lies about 20 dB above it."""
LARGEST_ILD = 40.0
"""Decibels between the ears that map to 1: a head shadows hardly more (KEMAR: 30 dB at 10 kHz)."""
CUES = 5
"""Channels of one ear at one resolution: level, and difference of level, cosine and sine of phase, coherence."""
_FINER = 4  # times as many samples in the second window
_TOGETHER = 4
"""Frames that a CPU transforms at a time: more of them leave its cache between one step and the next."""
Spectrum = Float[Tensor, "b 2 2 f n"]
"""Of both ears, real and imaginary part, by frequency and time."""


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
        # In single precision whatever the network's: bfloat16 would round the echoes of -60 dB away.
        with torch.autocast(audio.device.type, enabled=False):
            together = _TOGETHER if audio.device.type == "cpu" else max(1, len(audio))
            heard = torch.cat([self._hear(part) for part in audio.float().split(together)])
        return heard.to(audio.dtype)

    def _hear(self, audio: Float[Tensor, "b 2 t"]) -> Float[Tensor, "b c s s"]:
        spectrum = self._spectrum(audio, self.win_length, self.hop_length)
        if self.cues:
            finer = self._spectrum(audio, _FINER * self.win_length, _FINER * self.hop_length)
            ears = [compare_ears(each, self.image_size) for each in (spectrum, finer)]
            return torch.cat(ears, dim=2).flatten(1, 2)  # [B, 2 * 2 * CUES, S, S]
        if self.spectrogram == "log":
            return level(spectrum, self.image_size)
        return _resize(magnitude(spectrum), self.image_size) * (self.win_length / 4)

    def _spectrum(self, audio: Float[Tensor, "b 2 t"], win_length: int, hop_length: int) -> Spectrum:
        """As ``torch.stft`` with reflected ends; a full-scale sine has magnitude 1.

        All but ``win_length`` of a frame's samples are zeros, so a product with the window's own part of the transform
        is as fast, and leaves real and imaginary part in the order in which the steps that follow read them.
        """
        bins = max(self.n_fft, win_length)
        skipped = (bins - win_length) // 2  # zeros before the window
        before = bins // 2 - skipped
        samples = audio.shape[-1]
        last = (samples + 2 * (bins // 2) - bins) // hop_length * hop_length
        after = max(0, last + win_length - before - samples)
        padded = F.pad(audio.flatten(0, 1)[:, None], (before, after), mode="reflect")[:, 0]
        frames = padded.unfold(-1, win_length, hop_length)  # [B * 2, N, W]
        transform = _fourier(bins, win_length, skipped).to(audio.device)  # [2F, W]
        spectrum: Tensor = (transform @ frames.transpose(1, 2)).unflatten(1, (2, -1)).unflatten(0, (-1, 2))
        return spectrum


def _fourier(bins: int, win_length: int, skipped: int) -> Float[Tensor, "f2 w"]:
    """The rows of the discrete Fourier transform, cosines above sines, under a Hann window after ``skipped`` zeros."""
    turn = 2 * torch.pi * torch.arange(bins, dtype=torch.float64) / bins
    place = torch.arange(bins // 2 + 1)[:, None] * torch.arange(skipped, skipped + win_length) % bins
    # A full-scale sine has half the window's sum as its magnitude; a periodic Hann window's sum is half its length.
    window = torch.hann_window(win_length, dtype=torch.float64) / (win_length / 4)
    return (torch.cat([turn.cos()[place], -turn.sin()[place]]) * window).float()


def magnitude(spectrum: Spectrum) -> Float[Tensor, "b 2 f n"]:
    """Root of the power, without the detour over complex numbers that takes four times as long on a CPU."""
    return torch.hypot(*spectrum.unbind(2))


def level(spectrum: Spectrum, image_size: int) -> Float[Tensor, "b 2 s s"]:
    """Decibels, from ``FLOOR_DB`` at 0 to full scale at 1, resized to a square.

    The scale comes after the resizing, which is linear: there are fewer numbers then.
    """
    logarithm = _resize(torch.log10(magnitude(spectrum) + 10 ** (FLOOR_DB / 20)), image_size)
    return 1 - logarithm * (20 / FLOOR_DB)


def compare_ears(spectrum: Spectrum, image_size: int) -> Float[Tensor, "b 2 cues s s"]:
    """Each ear's level, and its difference from the other ear: level, phase (cosine, sine), coherence.

    The differences of level and phase are those of Duplex theory (Rayleigh 1907); coherence, by which listeners tell
    direct sound from reverberation (Faller and Merimaa, JASA 116, 2004), is the averaged cross-spectrum over the
    root of both averaged powers: 1 where one wave reaches both ears, near 0 where many mix.

    Args:
        spectrum: both ears', a full-scale sine at magnitude 1.
        image_size: side of the square that frequency and time are resized to.
    """
    levels = level(spectrum, image_size)
    ild = ((levels - levels.flip(1)) * (-FLOOR_DB / LARGEST_ILD)).clamp(-1, 1)
    (left, left_i), (right, right_i) = (ear.unbind(1) for ear in spectrum.unbind(1))
    # The cross-spectrum, left times right's conjugate, and both powers.
    products = torch.stack(
        [
            left * right + left_i * right_i,
            left_i * right - left * right_i,
            left.square() + left_i.square(),
            right.square() + right_i.square(),
        ],
        dim=1,
    )
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
