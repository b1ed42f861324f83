"""A trained model as one graph of operations that every runtime knows: raw input in, metres out.

``EchoFrontEnd`` is made of a Fourier transform, complex numbers and antialiased resizing, of which runtimes know
little, and each its own dialect. Here it is the same function as convolution and matrix products:

- **Transform.** Column n of the spectrogram is the inner product of 64 samples with 257 windowed cosines and sines:
  a convolution with those as its kernels and the hop as its stride. ``torch.stft`` centres the window in a longer
  frame of zeros, which shifts the phase; the kernels carry that shift.
- **Resizing.** Antialiased bilinear resizing is linear and separable: a matrix for the rows, another for the columns,
  found by resizing the identity.
- **Silence.** ONNX's optimiser takes the addition of 1e-10 for the addition of nothing and removes it, after which
  digital silence is 0/0. Powers are therefore counted in units of that silence, to which 1 is added.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.checkpoint import DepthModel
from echodepth.models.frontends.echo import _FINER, FLOOR_DB, LARGEST_ILD, EchoFrontEnd


class DepthGraph(nn.Module):
    """A model's front end and network, to be traced.

    Args:
        model: in eval mode; its network is shared, not copied.
        samples: length of the waveforms that an audio model hears, of which its graph is made.
    """

    def __init__(self, model: DepthModel, samples: int) -> None:
        super().__init__()
        front_end = model.front_end
        self.front_end = EchoGraph(front_end, samples) if isinstance(front_end, EchoFrontEnd) else nn.Identity()
        self.network = model.network

    def forward(self, raw: Tensor) -> tuple[Tensor, ...]:
        """Depth [B,1,S,S] in metres, and its scale if there is one, of waveforms [B,2,T] or images [B,3,S,S]."""
        # The front end stays in single precision beside a network in half: quiet echoes are lost below that.
        prepared = self.front_end(raw).to(next(self.network.parameters()).dtype)
        depth, scale, _ = self.network.predict(prepared)
        return tuple(each.float() for each in (depth, scale) if each is not None)


class EchoGraph(nn.Module):
    """``EchoFrontEnd`` for waveforms of one length, in real numbers.

    Args:
        front_end: whose settings it takes.
        samples: length of the waveforms.
    """

    def __init__(self, front_end: EchoFrontEnd, samples: int) -> None:
        super().__init__()
        self.magnitude = front_end.win_length / 4 if front_end.spectrogram == "magnitude" else None
        self.cues = front_end.cues
        finer = (1, _FINER) if front_end.cues else (1,)
        self.spectra = nn.ModuleList(
            _Spectrum(front_end.n_fft, scale * front_end.win_length, scale * front_end.hop_length, samples)
            for scale in finer
        )
        self.resizes = nn.ModuleList(
            _Resize(spectrum.bins, spectrum.columns, front_end.image_size)
            for spectrum in self.spectra
            if isinstance(spectrum, _Spectrum)
        )

    def forward(self, audio: Float[Tensor, "b 2 t"]) -> Float[Tensor, "b c s s"]:
        """What ``EchoFrontEnd`` makes of the same waveforms."""
        heard = []
        for spectrum, resized in zip(self.spectra, self.resizes, strict=True):
            real, imaginary = spectrum(audio)
            magnitude = torch.sqrt(real * real + imaginary * imaginary)
            if self.magnitude is not None:
                return resized(magnitude * self.magnitude)  # type: ignore[no-any-return]
            decibels = 20 * torch.log10(magnitude + 10 ** (FLOOR_DB / 20))
            levels = resized(1 - decibels / FLOOR_DB)
            if not self.cues:
                return levels  # type: ignore[no-any-return]
            heard.append(_compare_ears(real, imaginary, levels, resized))
        return torch.cat(heard, dim=2).flatten(1, 2)


def _compare_ears(real: Tensor, imaginary: Tensor, levels: Tensor, resized: nn.Module) -> Tensor:
    """The front end's ``compare_ears``, of real and imaginary parts [B,2,F,N] and resized levels [B,2,S,S]."""
    ild = ((levels - levels.flip(1)) * (-FLOOR_DB / LARGEST_ILD)).clamp(-1, 1)
    loud = 10 ** (-FLOOR_DB / 20)  # the silence is 1 then
    (left, right), (left_i, right_i) = (loud * real).unbind(1), (loud * imaginary).unbind(1)
    products = [
        left * right + left_i * right_i,
        left_i * right - left * right_i,
        left * left + left_i * left_i,
        right * right + right_i * right_i,
    ]
    averaged = F.avg_pool2d(resized(torch.stack(products, dim=1)), 3, stride=1, padding=1, count_include_pad=False)
    cross, cross_i, left_power, right_power = averaged.unbind(1)
    magnitude = torch.sqrt(cross * cross + cross_i * cross_i)
    cosine, sine = cross / (magnitude + 1), cross_i / (magnitude + 1)
    # Each root by itself: the product of both powers could leave the range of single precision.
    coherence = magnitude / (torch.sqrt(left_power) * torch.sqrt(right_power) + 1)
    ears = ([levels[:, 0], ild[:, 0], cosine, sine, coherence], [levels[:, 1], ild[:, 1], cosine, -sine, coherence])
    return torch.stack([torch.stack(ear, dim=1) for ear in ears], dim=1)  # [B, 2, CUES, S, S]


class _Spectrum(nn.Module):
    """The short-time Fourier transform of ``EchoFrontEnd``, as one convolution."""

    kernels: Tensor

    def __init__(self, n_fft: int, win_length: int, hop_length: int, samples: int) -> None:
        super().__init__()
        n_fft = max(n_fft, win_length)
        before = (n_fft - win_length) // 2  # zeros that torch.stft puts before the window
        self.hop_length = hop_length
        self.bins, self.columns = n_fft // 2 + 1, samples // hop_length + 1
        self.left = n_fft // 2 - before  # samples mirrored at the start
        self.right = (self.columns - 1) * hop_length + win_length - self.left - samples
        time = torch.arange(before, before + win_length, dtype=torch.float64)
        angle = 2 * math.pi / n_fft * torch.arange(self.bins, dtype=torch.float64)[:, None] * time
        window = torch.hann_window(win_length, dtype=torch.float64) / (win_length / 4)
        kernels = torch.cat([window * torch.cos(angle), -window * torch.sin(angle)])
        self.register_buffer("kernels", kernels[:, None].float())

    def forward(self, audio: Float[Tensor, "b 2 t"]) -> tuple[Float[Tensor, "b 2 f n"], Float[Tensor, "b 2 f n"]]:
        """Real and imaginary parts; a full-scale sine has magnitude 1."""
        framed = F.pad(audio, (self.left, max(self.right, 0)), mode="reflect")
        framed = framed[..., : framed.shape[-1] + min(self.right, 0)]
        spectrum = F.conv1d(framed.flatten(0, 1)[:, None], self.kernels, stride=self.hop_length)  # [B*2, 2*F, N]
        real, imaginary = spectrum.unflatten(0, (-1, 2)).split(self.bins, dim=2)
        return real, imaginary


class _Resize(nn.Module):
    """Antialiased bilinear resizing as a matrix for each axis."""

    rows: Tensor
    columns: Tensor

    def __init__(self, rows: int, columns: int, size: int) -> None:
        super().__init__()
        self.register_buffer("rows", resize_matrix(rows, size))
        self.register_buffer("columns", resize_matrix(columns, size).T.contiguous())

    def forward(self, x: Float[Tensor, "b c f n"]) -> Float[Tensor, "b c s s"]:
        return self.rows @ (x @ self.columns)


def resize_matrix(length: int, size: int) -> Float[Tensor, "{size} {length}"]:
    """The matrix by which the front end's resizing takes an axis of ``length`` to ``size``."""
    identity = torch.eye(length, dtype=torch.float64)[None, None]
    interpolated = F.interpolate(identity, (size, length), mode="bilinear", align_corners=False, antialias=True)
    return interpolated[0, 0].float()
