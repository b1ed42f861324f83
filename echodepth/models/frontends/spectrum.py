"""Short-time spectra of binaural waveforms and their resizing, once for training and once for export.

Export formats have no complex numbers and no antialiased resizing, or each its own variant of them. A graph for export
therefore computes the same function by convolutions and matrix products:

- **Spectrum.** A column is the inner product of ``win_length`` samples with windowed cosines and sines. This is a
  convolution with these as kernels and the hop as stride.
- **Resizing.** Bilinear resizing, antialiased or not, is linear and separable. It is one matrix for the rows and one
  for the columns, found by resizing the identity.
- **Magnitude.** ONNX has no ``hypot``: the magnitude is the root of the sum of squares.
- **Unit.** ONNX's optimiser removes the addition of 1e-10 as an addition of zero, after which digital silence is 0/0.
  The spectrum is therefore multiplied by ``gain``, the inverse of the amplitude of silence, so that 1 is added.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.frontends.base import resize
from echodepth.models.resampling import resize_matrix

FLOOR_DB = -100.0
"""Level that the log spectrogram maps to 0. The noise of a quiet room at BatVision's gain is about 20 dB above it."""
Spectrum = Float[Tensor, "b 2 2 f n"]
"""Of both ears, real and imaginary part, by frequency and time."""


class SpectrumTransform(nn.Module):
    """Short-time spectrum of both ears at one window length, and the resizing of maps over it.

    Args:
        n_fft: bins of the Fourier transform, at least ``win_length`` of which are used.
        win_length: samples of the Hann window.
        hop_length: samples between columns.
        size: rows (frequencies) and columns (times) after resizing.
        antialias: antialias the resizing.
    """

    gain = 1.0
    """Magnitude of a full-scale sine."""

    def __init__(
        self, n_fft: int, win_length: int, hop_length: int, size: tuple[int, int], antialias: bool = True
    ) -> None:
        super().__init__()
        self.n_fft = max(n_fft, win_length)
        self.win_length = win_length
        self.hop_length = hop_length
        self.size = size
        self.antialias = antialias
        self.skipped = (self.n_fft - win_length) // 2  # zeros of the frame before the window
        self._fourier: dict[torch.device, Tensor] = {}

    def forward(self, audio: Float[Tensor, "b 2 t"]) -> Spectrum:
        """As ``torch.stft`` with reflected ends, times ``gain``.

        All but ``win_length`` of a frame's samples are zeros, so a product with the window's own part of the transform
        is as fast, and leaves real and imaginary part in the order in which the next steps read them.
        """
        frames = self.padded(audio)[:, 0].unfold(-1, self.win_length, self.hop_length)  # [B * 2, N, W]
        return self.by_ear(self._fourier_on(audio.device) @ frames.transpose(1, 2))

    def magnitude(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Absolute value. Complex numbers would take four times as long on a CPU."""
        return torch.hypot(real, imaginary)

    def resize(self, x: Float[Tensor, "b c f n"]) -> Float[Tensor, "b c h w"]:
        """Resize a map over the spectrum by bilinear interpolation."""
        return resize(x, self.size, self.antialias)

    def columns(self, samples: int) -> int:
        """Columns of the spectrum of a waveform of this length."""
        return (samples + 2 * (self.n_fft // 2) - self.n_fft) // self.hop_length + 1

    def padded(self, audio: Float[Tensor, "b 2 t"]) -> Float[Tensor, "b2 1 t2"]:
        """Waveforms one after the other, reflected at both ends as far as the windows reach beyond them."""
        before = self.n_fft // 2 - self.skipped
        samples = audio.shape[-1]
        last = (self.columns(samples) - 1) * self.hop_length
        after = max(0, last + self.win_length - before - samples)
        return F.pad(audio.flatten(0, 1)[:, None], (before, after), mode="reflect")

    def fourier(self) -> Float[Tensor, "f2 w"]:
        """Rows of the discrete Fourier transform, cosines above sines, under the Hann window."""
        turn = 2 * torch.pi * torch.arange(self.n_fft, dtype=torch.float64) / self.n_fft
        samples = torch.arange(self.skipped, self.skipped + self.win_length)
        index = torch.arange(self.n_fft // 2 + 1)[:, None] * samples % self.n_fft
        # A full-scale sine has the magnitude of half the window's sum. A periodic Hann window sums to half its length.
        window = torch.hann_window(self.win_length, dtype=torch.float64) / (self.win_length / 4)
        return (torch.cat([turn.cos()[index], -turn.sin()[index]]) * window).float()

    def _fourier_on(self, device: torch.device) -> Float[Tensor, "f2 w"]:
        """``fourier`` on a device, computed and sent there once.

        Not a buffer, which would follow the network to another precision.
        """
        if device not in self._fourier:
            # An inference tensor could not take part in training later.
            with torch.inference_mode(False):
                self._fourier[device] = self.fourier().to(device)
        return self._fourier[device]

    @staticmethod
    def by_ear(spectrum: Float[Tensor, "b2 f2 n"]) -> Spectrum:
        """Axes for ears and for real and imaginary parts."""
        by_ear: Tensor = spectrum.unflatten(1, (2, -1)).unflatten(0, (-1, 2))
        return by_ear


class ExportableSpectrumTransform(SpectrumTransform):
    """``SpectrumTransform`` of waveforms of one length, as convolution and matrix products.

    Args:
        transform: provides the settings.
        samples: length of the waveforms.
    """

    gain = 10 ** (-FLOOR_DB / 20)
    kernels: Tensor
    row_matrix: Tensor
    column_matrix: Tensor

    def __init__(self, transform: SpectrumTransform, samples: int) -> None:
        super().__init__(
            transform.n_fft, transform.win_length, transform.hop_length, transform.size, transform.antialias
        )
        rows = resize_matrix(self.n_fft // 2 + 1, self.size[0], self.antialias)
        columns = resize_matrix(self.columns(samples), self.size[1], self.antialias)
        self.register_buffer("kernels", self.gain * self.fourier()[:, None])
        self.register_buffer("row_matrix", rows)
        self.register_buffer("column_matrix", columns.T.contiguous())

    def forward(self, audio: Float[Tensor, "b 2 t"]) -> Spectrum:
        """The spectrum, times ``gain``."""
        return self.by_ear(F.conv1d(self.padded(audio), self.kernels, stride=self.hop_length))

    def magnitude(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Absolute value, as the root of the sum of squares."""
        return torch.sqrt(real * real + imaginary * imaginary)

    def resize(self, x: Float[Tensor, "b c f n"]) -> Float[Tensor, "b c h w"]:
        """Resize a map over the spectrum by one matrix for each axis."""
        return self.row_matrix @ (x @ self.column_matrix)
