"""Measurements of one recording: onset, direct sound and early echoes per ear and octave, noise, decay times."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.signal import butter, get_window, sosfilt, sosfiltfilt

from echodepth.core.constants import SAMPLE_RATE
from echodepth.data.audio import find_onset
from echodepth.simulate.rig import NOISE_OCTAVES, RIG_OCTAVES

DIRECT_SAMPLES = 132
"""Duration of the chirp, 3 ms: the direct sound, before nearly all echoes."""
ECHO_SAMPLES = (220, 2205)
"""From 5 to 50 ms after the onset: the first echoes, which carry most of the energy of a room."""
_CLIPPED = 0.999
_HALF_OCTAVE = 2**0.5
_HIGH_PASS = butter(4, 125.0, "highpass", fs=SAMPLE_RATE, output="sos")  # rumble leaks into the octaves of 3 ms
_GUARD = 32  # samples before the onset that may hold its beginning
_SHORTEST_NOISE = 128  # samples
_TAIL = 4410  # samples: the last 0.1 s
_LEAST_PRODUCT = 1.5  # of bandwidth and duration: a shorter stretch does not resolve an octave
_BLOCK = 441  # samples, 10 ms: of the decay


@dataclass(frozen=True)
class Noise:
    """Mean square of the noise in one stretch of a recording.

    Attributes:
        power: per ear and octave of ``NOISE_OCTAVES``, full scale 1; NaN where the stretch is too short.
        products: bandwidth times duration of each octave: the independent values in its mean.
    """

    power: Float[np.ndarray, "2 10"]
    products: Float[np.ndarray, " 10"]


@dataclass(frozen=True)
class Sound:
    """Measurements of one recording; energies are per ear and octave of ``RIG_OCTAVES``, full scale 1.

    Attributes:
        onset: first sample of the direct sound.
        direct: mean square over the chirp's 3 ms.
        echo: mean square from 5 to 50 ms; NaN where the recording ends earlier.
        before: noise before the direct sound.
        after: noise, and what reverberation remains, in the last 0.1 s.
        decay: time in which the sound decays by 60 dB, seconds, per octave; NaN where the range does not suffice.
        clips: whether samples reach full scale.
    """

    onset: int
    direct: Float[np.ndarray, "2 7"]
    echo: Float[np.ndarray, "2 7"]
    before: Noise
    after: Noise
    decay: Float[np.ndarray, " 7"]
    clips: bool


def octave_power(sound: Float[np.ndarray, "2 t"], octaves: tuple[float, ...]) -> Float[np.ndarray, "2 o"]:
    """Mean square of each ear per octave, from the Fourier transform of the whole sound."""
    size = max(8192, sound.shape[1])
    energy = 2 * np.abs(np.fft.rfft(sound, size)) ** 2 / size
    frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    bands = [(frequency >= f / _HALF_OCTAVE) & (frequency < f * _HALF_OCTAVE) for f in octaves]
    return np.asarray(np.stack([energy[:, band].sum(axis=1) for band in bands], axis=1) / sound.shape[1])


def measure_sound(audio: Float[np.ndarray, "2 t"], onset: int | None = None, with_decay: bool = True) -> Sound:
    """Measure a recording at 44.1 kHz.

    Args:
        audio: the recording, left ear first.
        onset: of the direct sound, where it is known.
        with_decay: measure decay times, which takes most of the time; otherwise they are NaN.

    Raises:
        DataError: no direct sound is found.
    """
    onset = find_onset(audio) if onset is None else onset
    sound = sosfilt(_HIGH_PASS, audio.astype(np.float64), axis=1)[:, onset:]
    first, last = ECHO_SAMPLES
    unknown = np.full((2, len(RIG_OCTAVES)), np.nan)
    after = _noise(audio[:, max(onset + last, audio.shape[1] - _TAIL) :])
    return Sound(
        onset=onset,
        direct=octave_power(sound[:, :DIRECT_SAMPLES], RIG_OCTAVES),
        echo=octave_power(sound[:, first:last], RIG_OCTAVES) if sound.shape[1] >= last else unknown,
        before=_noise(audio[:, : max(0, onset - _GUARD)]),
        after=after,
        decay=_decay_times(audio[:, onset:], after) if with_decay else unknown[0],
        clips=bool(np.abs(audio).max() >= _CLIPPED),
    )


def _noise(stretch: Float[np.ndarray, "2 t"]) -> Noise:
    """Noise of a stretch, in the octaves that it resolves."""
    octaves, samples = np.array(NOISE_OCTAVES), stretch.shape[1]
    products = octaves * (_HALF_OCTAVE - 1 / _HALF_OCTAVE) * samples / SAMPLE_RATE
    is_resolved = products >= _LEAST_PRODUCT
    if samples < _SHORTEST_NOISE:
        return Noise(np.full((2, octaves.size), np.nan), np.zeros(octaves.size))
    sound = stretch.astype(np.float64) - stretch.mean(axis=1, keepdims=True)
    if not is_resolved[0]:  # lower octaves leak into those that are resolved
        sound = sosfilt(_rumble_filter(float(octaves[is_resolved][0])), sound, axis=1)
    window = get_window("hann", samples)
    power = octave_power(sound * (window / np.sqrt((window**2).mean())), NOISE_OCTAVES)
    return Noise(np.where(is_resolved, power, np.nan), np.where(is_resolved, products, 0.0))


@cache
def _rumble_filter(lowest: float) -> Float[np.ndarray, "s 6"]:
    return np.asarray(butter(4, 0.5 * lowest, "highpass", fs=SAMPLE_RATE, output="sos"))


@cache
def _octave_filter(octave: float) -> Float[np.ndarray, "s 6"]:
    edges = octave / _HALF_OCTAVE, min(octave * _HALF_OCTAVE, 0.49 * SAMPLE_RATE)
    return np.asarray(butter(3, edges, "bandpass", fs=SAMPLE_RATE, output="sos"))


def _decay_times(sound: Float[np.ndarray, "2 t"], noise: Noise) -> Float[np.ndarray, " 7"]:
    first = NOISE_OCTAVES.index(RIG_OCTAVES[0])
    return np.array(
        [
            decay_time(
                (sosfiltfilt(_octave_filter(octave), sound) ** 2).mean(axis=0), noise.power[:, first + index].mean()
            )
            for index, octave in enumerate(RIG_OCTAVES)
        ]
    )


def decay_time(energy: Float[np.ndarray, " t"], noise: float) -> float:
    """Time in which sound decays by 60 dB, by Schroeder's backward integration (ISO 3382-1).

    The integral begins 10 ms after the onset, when the direct sound is over, and ends where the energy falls to 5 dB
    above the noise; an exponential decay is assumed from there. The slope is that from -5 to -25 dB (T20), or from -5
    to -15 dB where the range is shorter.

    Args:
        energy: squared sound from the onset of the direct sound on.
        noise: mean square of the noise; NaN for none.

    Returns:
        Seconds; NaN where the range is less than 15 dB.
    """
    blocks = energy[_BLOCK : energy.size // _BLOCK * _BLOCK].reshape(-1, _BLOCK).mean(axis=1)
    floor = 0.0 if np.isnan(noise) else noise
    quiet = np.flatnonzero(blocks < 10**0.5 * floor)
    end = int(quiet[0]) if quiet.size else blocks.size
    blocks = np.maximum(blocks[:end] - floor, 1e-20)
    if end < 4:
        return float("nan")
    slope = np.polyfit(np.arange(end), np.log(blocks), 1)[0]
    if slope >= 0:
        return float("nan")
    remainder = blocks[-3:].mean() * np.exp(slope) / (1 - np.exp(slope))
    integral = np.cumsum(blocks[::-1])[::-1] + remainder
    level = 10 * np.log10(integral / integral[0])
    for lowest in (-25.0, -15.0):
        used = np.flatnonzero((level <= -5) & (level >= lowest))
        if level[-1] <= lowest and used.size >= 3:
            return float(-60 / np.polyfit(used, level[used], 1)[0] * _BLOCK / SAMPLE_RATE)
    return float("nan")
