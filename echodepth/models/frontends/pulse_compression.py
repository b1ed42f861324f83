"""Cutting echoes at a range, and compressing the chirp in them to a pulse."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.core.chirp import batvision_chirp
from echodepth.core.constants import SAMPLE_RATE, SPEED_OF_SOUND
from echodepth.core.errors import DataError

LONGEST_CHIRP = 4410
"""Samples of the longest chirp: 0.1 s, far beyond a ping whose echoes must not reach the microphones during it."""


class EchoWindow(nn.Module):
    """The part of a recording that holds echoes from up to a range, after pulse compression.

    Pulse compression is correlation with the emitted chirp (matched filter, Turin 1960), which for BatVision's chirp
    turns 3 ms, or half a metre, into 0.05 ms and raises an echo over white noise by 18 dB. The chirp has unit energy,
    so that white noise keeps its level. An echo stays at its onset.

    Args:
        audio_range: metres; None keeps the whole recording. A shorter recording is continued with silence.
        chirp: samples of the emitted chirp at 44.1 kHz, or ``linear`` for BatVision's; None does not compress.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, audio_range: float | None, chirp: str | Sequence[float] | None) -> None:
        super().__init__()
        if audio_range is not None and not 0.1 <= audio_range <= 1000:
            raise ValueError(f"audio_range must be 0.1 to 1000 metres, not {audio_range}")
        self.samples = None if audio_range is None else round(2 * audio_range / SPEED_OF_SOUND * SAMPLE_RATE)
        samples = None if chirp is None else _checked(chirp)
        kernel = None if samples is None else torch.from_numpy(samples / np.linalg.norm(samples)).float()[None, None]
        # Not a buffer, which would follow the network to another precision.
        self._kernels = {} if kernel is None else {torch.device("cpu"): kernel}

    def forward(self, audio: Float[Tensor, "b ears t"]) -> Float[Tensor, "b ears t2"]:
        """The cut and compressed waveforms."""
        length = self.length(audio.shape[-1])
        if not self._kernels:
            return _fitted(audio, length)
        kernel = self._kernel_on(audio.device)
        whole = _fitted(audio, length + kernel.shape[-1] - 1)
        compressed: Tensor = F.conv1d(whole.flatten(0, 1)[:, None], kernel).view(*audio.shape[:2], -1)
        return compressed

    def _kernel_on(self, device: torch.device) -> Tensor:
        if device not in self._kernels:
            # An inference tensor could not take part in training later.
            with torch.inference_mode(False):
                self._kernels[device] = self._kernels[torch.device("cpu")].to(device)
        return self._kernels[device]

    def length(self, samples: int) -> int:
        """Samples of the output for a recording of this length."""
        return samples if self.samples is None else self.samples


def _fitted(audio: Float[Tensor, "b ears t"], length: int) -> Float[Tensor, "b ears {length}"]:
    missing = length - audio.shape[-1]
    return F.pad(audio, (0, missing)) if missing > 0 else audio[..., :length]


def _checked(chirp: str | Sequence[float]) -> Float[np.ndarray, " t"]:
    if isinstance(chirp, str):
        if chirp != "linear":
            raise ValueError(f"chirp must be linear or samples, not {chirp}")
        return batvision_chirp()
    samples = np.asarray(chirp, dtype=np.float64)
    if samples.ndim != 1 or not 2 <= samples.size <= LONGEST_CHIRP:
        raise ValueError(f"chirp must have 2 to {LONGEST_CHIRP} samples (0.1 s), not {list(samples.shape)}")
    if not np.isfinite(samples).all() or not samples.any():
        raise ValueError("chirp has samples that are not finite, or all are zero")
    return samples


def read_chirp(path: Path) -> list[float]:
    """Samples of the chirp in a WAV file; of several channels the first.

    Raises:
        DataError: the file cannot be read, or has another sample rate.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True, frames=LONGEST_CHIRP + 1)
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(f"--chirp {path} cannot be read as audio: {error}") from error
    if rate != SAMPLE_RATE:
        raise DataError(f"--chirp {path} has {rate} Hz: resample it to {SAMPLE_RATE} Hz")
    return [round(float(sample), 6) for sample in samples[:, 0]]
