"""The front end of audio networks: spectrograms of both ears, and on request binaural cues."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.core.device import float32_products
from echodepth.core.flags import PathsFromText, TrueOrFalse, plain, select
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.frontends.base import LARGEST_SIZE, MINIMUM_SIZE, FrontEnd
from echodepth.models.frontends.pulse_compression import EchoWindow, read_chirp
from echodepth.models.frontends.spectrum import FLOOR_DB, ExportableSpectrumTransform, Spectrum, SpectrumTransform

MAX_ILD_DB = 40.0
"""Interaural level difference that maps to 1. The largest of a head is below it (KEMAR: 30 dB at 10 kHz)."""
CUE_CHANNELS = 5
"""Channels of one ear at one resolution: level, interaural level difference, cosine and sine of phase, coherence."""
LONG_WINDOW_FACTOR = 4
"""Length of the second window, and of its hop, as a multiple of the first."""
CPU_BATCH = 4
"""Frames that a CPU transforms at a time. More of them leave its cache between one step and the next."""
RANGES = {"n_fft": (2, 4096), "win_length": (2, 1024), "hop_length": (4, 1024)}
"""Samples of transform, window and hop: beyond them a spectrum has gigabytes."""


@dataclass(frozen=True, kw_only=True)
class EchoConfig(PathsFromText):
    """Flags of the echo front end."""

    audio_bins: int | None = 32
    """Frequency bins of the spectrogram; None: --image_size, as in BatVision's code (constructor: None)."""
    audio_frames: int | None = 128
    """Time frames of the spectrogram; None: --image_size, as in BatVision's code (constructor: None)."""
    audio_range: float | None = 10.0
    """Use echoes from up to this many metres; None uses the whole waveform (constructor: None)."""
    pulse_compression: TrueOrFalse = True
    """Correlate sound with the emitted chirp (matched filter): finer in time, 18 dB less noise (constructor: none)."""
    chirp: Path | None = None
    """WAV file of the emitted chirp, for pulse compression. Default: BatVision's, 20 Hz to 20 kHz in 3 ms."""
    spectrogram: Literal["log", "magnitude"] = "log"
    """log: decibels on one fixed scale for all recordings. magnitude: linear, as in BatVision's code."""
    spectrogram_antialias: TrueOrFalse = True
    """Antialias the resizing of the spectrogram; BatVision's code does not."""
    binaural_cues: bool = False
    """Add interaural level difference, phase and coherence, and a second window four times as long, to each ear."""


@FRONT_ENDS.register
class EchoFrontEnd(FrontEnd):
    """Waveforms to spectrograms: the channels of the left ear, then those of the right ear.

    The short-time Fourier transform has BatVision's settings (arXiv 2303.07257): 512 bins over a Hann window of 64
    samples, 1.5 ms, every 16. ``magnitude`` without antialiasing is BatVision's input. ``log`` is the level in decibels
    on one fixed scale for all recordings and both ears. A scale per recording or per ear would erase the level, which
    depends on distance, and the interaural level difference, which depends on direction.

    With ``binaural_cues`` each ear also has the interaural differences of level and phase (as cosine and sine) and the
    interaural coherence. A second window, four times as long, adds all five channels again at a finer frequency and
    coarser time resolution. Swapped ears swap the channels, signs included.

    Args:
        image_size: side in pixels of the depth map.
        spectrogram: ``log`` or ``magnitude``.
        n_fft: bins of the transform.
        win_length: samples of the window.
        hop_length: samples between columns.
        binaural_cues: add the binaural cues and the second resolution.
        spectrogram_antialias: antialias the resizing. Models saved before this setting existed were trained with it.
        audio_bins: rows that the frequencies are resized to; None for ``image_size``.
        audio_frames: columns that the times are resized to; None for ``image_size``.
        audio_range: metres from within which echoes are used; None for the whole waveform.
        chirp: emitted chirp for pulse compression: ``linear`` is BatVision's, or samples at 44.1 kHz; None does none.

    Raises:
        ValueError: a setting is out of range, or ``binaural_cues`` is combined with ``magnitude``.
    """

    name = "echo"
    config: ClassVar[type] = EchoConfig
    modality = "audio"
    is_default = True

    def __init__(
        self,
        image_size: int = 256,
        spectrogram: str = "log",
        n_fft: int = 512,
        win_length: int = 64,
        hop_length: int = 16,
        binaural_cues: bool = False,
        spectrogram_antialias: bool = True,
        audio_bins: int | None = None,
        audio_frames: int | None = None,
        audio_range: float | None = None,
        chirp: str | Sequence[float] | None = None,
    ) -> None:
        super().__init__(image_size)
        for name, number in (("audio_bins", audio_bins), ("audio_frames", audio_frames)):
            if number is not None and not MINIMUM_SIZE <= number <= LARGEST_SIZE:
                raise ValueError(f"{name} must be {MINIMUM_SIZE} to {LARGEST_SIZE}, not {number}")
        for (name, (least, most)), number in zip(RANGES.items(), (n_fft, win_length, hop_length), strict=True):
            if not least <= number <= most:
                raise ValueError(f"{name} must be {least} to {most} samples, not {number}")
        if spectrogram not in ("log", "magnitude"):
            raise ValueError(f"spectrogram must be log or magnitude, not {spectrogram}")
        if binaural_cues and spectrogram != "log":
            raise ValueError("binaural_cues needs --spectrogram log: the cues include levels in decibels")
        self.spectrogram = spectrogram
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.binaural_cues = binaural_cues
        self.spectrogram_antialias = spectrogram_antialias
        self.audio_bins = audio_bins
        self.audio_frames = audio_frames
        self.audio_range = audio_range
        self.chirp = chirp if chirp is None or isinstance(chirp, str) else [float(sample) for sample in chirp]
        self.window = EchoWindow(audio_range, chirp)
        size = (audio_bins or image_size, audio_frames or image_size)
        factors = (1, LONG_WINDOW_FACTOR) if binaural_cues else (1,)
        transforms = [
            SpectrumTransform(n_fft, k * win_length, k * hop_length, size, spectrogram_antialias) for k in factors
        ]
        self.features = EchoFeatures(transforms, spectrogram, binaural_cues)

    @classmethod
    def from_config(cls, config: object, image_size: int) -> "EchoFrontEnd":
        """The front end of some flags. The samples of a chirp become settings: a model names no file to read."""
        flags = plain(select(config, cls.config))
        path, compress = flags.pop("chirp"), flags.pop("pulse_compression")
        if path is not None and not compress:
            raise ValueError("chirp is for pulse compression: omit it, or --pulse_compression False")
        chirp = None if not compress else "linear" if path is None else read_chirp(Path(path))
        return cls(image_size=image_size, chirp=chirp, **flags)

    @property
    def settings(self) -> dict[str, Any]:
        """All constructor arguments, as plain values."""
        names = (
            *("image_size", "spectrogram", "n_fft", "win_length", "hop_length", "binaural_cues"),
            *("spectrogram_antialias", "audio_bins", "audio_frames", "audio_range", "chirp"),
        )
        return {name: getattr(self, name) for name in names}

    @property
    def flags(self) -> dict[str, Any]:
        """As of every front end; the file of a chirp is not known, only its samples."""
        settings = self.settings
        flags = {"pulse_compression": settings.pop("chirp", None) is not None, "chirp": None, **settings}
        return {field.name: flags[field.name] for field in fields(self.config)}

    @property
    def network_arguments(self) -> dict[str, Any]:
        """Channels of one ear, as ``ear_channels``."""
        return {"ear_channels": 2 * CUE_CHANNELS if self.binaural_cues else 1}

    @property
    def input_channels(self) -> int:
        """Channels of both ears."""
        return 2 * int(self.network_arguments["ear_channels"])

    def forward(self, audio: Float[Tensor, "b ears t"]) -> Float[Tensor, "b c f n"]:
        """Spectrograms with low frequencies in the first row and the first echo in the first columns.

        Args:
            audio: full scale 1, left ear first, cut as in training.

        Raises:
            ValueError: ``audio`` does not have two channels.
        """
        if audio.ndim != 3 or audio.shape[1] != 2:
            raise ValueError(f"audio must be [B, 2, T] (left ear, right ear), not {list(audio.shape)}")
        # Single precision whatever the network's: bfloat16 and TF32 would round away echoes of -60 dB.
        with torch.autocast(audio.device.type, enabled=False), float32_products(tf32=False):
            batch = CPU_BATCH if audio.device.type == "cpu" else max(1, len(audio))
            features = torch.cat([self.features(self.window(part)) for part in audio.float().split(batch)])
        return features.to(audio.dtype)

    def exportable(self, samples: int) -> nn.Module:
        """The same features of waveforms of one length, without complex numbers and interpolation."""
        length = self.window.length(samples)
        transforms = [ExportableSpectrumTransform(transform, length) for transform in self.features.transforms]
        return nn.Sequential(self.window, EchoFeatures(transforms, self.spectrogram, self.binaural_cues))


class EchoFeatures(nn.Module):
    """Spectrograms or binaural cues from the spectra of one or two resolutions.

    Args:
        transforms: one for each resolution.
        spectrogram: ``log`` or ``magnitude``.
        binaural_cues: compute the binaural cues at every resolution.
    """

    def __init__(self, transforms: Sequence[SpectrumTransform], spectrogram: str, binaural_cues: bool) -> None:
        super().__init__()
        self.resolutions = nn.ModuleList(transforms)
        self.spectrogram = spectrogram
        self.binaural_cues = binaural_cues

    @property
    def transforms(self) -> list[SpectrumTransform]:
        """The transforms, by resolution."""
        return [module for module in self.resolutions if isinstance(module, SpectrumTransform)]

    def forward(self, audio: Float[Tensor, "b 2 t"]) -> Float[Tensor, "b c f n"]:
        """The channels of the left ear, then those of the right ear."""
        if self.binaural_cues:
            ears = [binaural_cues(transform(audio), transform) for transform in self.transforms]
            return torch.cat(ears, dim=2).flatten(1, 2)  # [B, 2 * 2 * CUE_CHANNELS, S, S]
        (transform,) = self.transforms
        if self.spectrogram == "log":
            return level(transform(audio), transform)
        resized = transform.resize(transform.magnitude(*transform(audio).unbind(2)))
        return resized * (transform.win_length / 4 / transform.gain)


def level(spectrum: Spectrum, transform: SpectrumTransform) -> Float[Tensor, "b 2 h w"]:
    """Level in decibels, from ``FLOOR_DB`` at 0 to full scale at 1, resized.

    The map to 0..1 follows the resizing, which is linear and leaves fewer numbers.
    """
    floor = 10 ** (FLOOR_DB / 20) * transform.gain
    logarithm = transform.resize(torch.log10(transform.magnitude(*spectrum.unbind(2)) + floor))
    full_scale = 1 + 20 / FLOOR_DB * math.log10(transform.gain)
    return full_scale - logarithm * (20 / FLOOR_DB)


def binaural_cues(spectrum: Spectrum, transform: SpectrumTransform) -> Float[Tensor, "b 2 cues h w"]:
    """Level of each ear, and its differences from the other ear: level, phase (cosine, sine) and coherence.

    The differences of level and phase are those of duplex theory (Rayleigh 1907). Coherence, by which listeners
    separate direct sound from reverberation (Faller and Merimaa, JASA 116, 2004), is the averaged cross-spectrum over
    the root of both averaged powers. It is 1 where one wave reaches both ears, and near 0 where many mix.

    Args:
        spectrum: of both ears; a full-scale sine has the magnitude ``transform.gain``.
        transform: computed the spectrum, and resizes.
    """
    levels = level(spectrum, transform)
    ild = ((levels - levels.flip(1)) * (-FLOOR_DB / MAX_ILD_DB)).clamp(-1, 1)
    (left, left_i), (right, right_i) = (ear.unbind(1) for ear in spectrum.unbind(1))
    # The cross-spectrum, left times the conjugate of right, and both powers.
    products = torch.stack(
        [
            left * right + left_i * right_i,
            left_i * right - left * right_i,
            left.square() + left_i.square(),
            right.square() + right_i.square(),
        ],
        dim=1,
    )
    # The coherence of a single bin is always 1: neighbours are averaged, by resizing and after it.
    averaged = F.avg_pool2d(transform.resize(products), 3, stride=1, padding=1, count_include_pad=False)
    real, imaginary, left_power, right_power = averaged.unbind(1)
    silence = 10 ** (FLOOR_DB / 10) * transform.gain**2
    cross = transform.magnitude(real, imaginary)
    cosine, sine = real / (cross + silence), imaginary / (cross + silence)
    coherence = cross / (torch.sqrt(left_power * right_power) + silence)
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
