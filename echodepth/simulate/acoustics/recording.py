"""From sounds that reach the head to the recording of a chirp.

arrivals -> an impulse response per ear and octave -> octaves joined, chirp, loudspeaker -> gain, onset, noise
"""

from functools import cache

import numpy as np
from jaxtyping import Complex, Float
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import butter, chirp, sosfilt

from echodepth.simulate.acoustics.hrtf import SAMPLE_RATE, convolve_hrir, kemar
from echodepth.simulate.acoustics.propagation import Arrivals
from echodepth.simulate.rooms.materials import OCTAVES

FRAMES = 20000
"""Samples of a recording, as in BatVision V2."""
ONSET = 282
"""Sample at which the direct sound begins, give or take the jitter; measured on a genuine V2 recording."""

_CHIRP_SECONDS = 3e-3  # BatVision: linear, 20 Hz to 20 kHz
_LOUDSPEAKER = (70.0, 20e3)  # Hz: the JBL Flip 4's range by its data sheet; a slope of 12 dB per octave on either side
_DIRECT_RMS = 0.17  # of full scale, over both ears' first 3 ms, as in a genuine V2 recording
_LEVEL = 0.215  # brings the direct sound of the default rig there
_GAIN_JITTER = 0.5  # dB, standard deviation: a battery's charge and a volume button's step, assumed
_ONSET_JITTER = 4.0  # samples, either way: the recording is cut by the computer's clock, assumed
_MOUNT_JITTER = np.radians(1.0)  # standard deviation of the head's turn against the camera, assumed
_BACKGROUND = {31.5: -51.0, 63.0: -61.0, 125.0: -65.0, 4000.0: -65.0, 8000.0: -73.0, 16000.0: -75.0}
"""Level of each octave, dB against full scale; only the differences count."""
_LONGEST_SIGNAL = 512
_TRANSFORM = next_fast_len(FRAMES + _LONGEST_SIGNAL, real=True)  # signal and response do not wrap into the start


@cache
def _octave_weights() -> Float[np.ndarray, "bands f"]:
    """Each octave's share at each frequency: linear in log frequency between their centres, together 1."""
    frequency = rfftfreq(_TRANSFORM, 1 / SAMPLE_RATE)
    place = np.interp(np.log2(np.maximum(frequency, 1.0)), np.log2(OCTAVES), np.arange(len(OCTAVES)))
    shares: np.ndarray = np.maximum(0, 1 - np.abs(place - np.arange(len(OCTAVES))[:, None])).astype(np.float32)
    return shares


def batvision_chirp() -> Float[np.ndarray, "132"]:
    """What BatVision's loudspeaker is given: 3 ms from 20 Hz to 20 kHz, linear, full scale 1, at ``SAMPLE_RATE``."""
    time = np.arange(round(_CHIRP_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    swept: np.ndarray = chirp(time, 20, _CHIRP_SECONDS, 20e3, phi=90)
    return swept


def _played(signal: Float[np.ndarray, " n"]) -> Complex[np.ndarray, " f"]:
    """Spectrum of a signal as the loudspeaker plays it."""
    if signal.size > _LONGEST_SIGNAL:
        raise ValueError(f"signal has {signal.size} samples: more than {_LONGEST_SIGNAL} would wrap into the start")
    padded = np.zeros(_LONGEST_SIGNAL)
    padded[: signal.size] = signal
    loudspeaker = butter(2, _LOUDSPEAKER, "bandpass", fs=SAMPLE_RATE, output="sos")
    return np.asarray(rfft(sosfilt(loudspeaker, padded), _TRANSFORM))


@cache
def _voice() -> Complex[np.ndarray, " f"]:
    """Spectrum of the chirp as the loudspeaker plays it."""
    return _played(batvision_chirp())


def _ear_spectra(arrivals: Arrivals, speed_of_sound: float, lead: float) -> Complex[np.ndarray, "2 f"]:
    ears = np.zeros((2, len(OCTAVES), _TRANSFORM), dtype=np.float32)
    samples = arrivals.way / speed_of_sound * SAMPLE_RATE + lead
    convolve_hrir(kemar(), arrivals.direction, samples, arrivals.gain, ears)
    spectra: np.ndarray = (rfft(ears) * _octave_weights()).sum(axis=1)
    return spectra


def impulse_responses(arrivals: Arrivals, speed_of_sound: float = 343.0, lead: float = 0.0) -> Float[np.ndarray, "2 t"]:
    """Pressure at the left and right ear after a unit impulse from the loudspeaker.

    Args:
        arrivals: what reaches the head's centre.
        speed_of_sound: m/s.
        lead: samples, whole or not, before the impulse is sent.

    Returns:
        ``FRAMES`` samples at ``SAMPLE_RATE`` for each ear.
    """
    return np.asarray(irfft(_ear_spectra(arrivals, speed_of_sound, lead), _TRANSFORM)[:, :FRAMES])


@cache
def _background_shape() -> Float[np.ndarray, " f"]:
    """Amplitude of the background at each frequency, from a genuine V2 recording's last 0.14 s: pink, with a rumble."""
    frequency = rfftfreq(_TRANSFORM, 1 / SAMPLE_RATE)
    level = np.interp(np.log2(np.maximum(frequency, 1)), np.log2([*_BACKGROUND]), [*_BACKGROUND.values()])
    shape: np.ndarray = np.where(frequency < 20, 0, 10 ** (level / 20) / np.sqrt(np.maximum(frequency, 20)))
    return shape.astype(np.float32)


def _background(rng: np.random.Generator) -> Float[np.ndarray, "2 t"]:
    """Noise, independent at the ears, of RMS 1."""
    shape = _background_shape()
    white = rng.standard_normal((2, shape.size, 2), dtype=np.float32)
    noise = irfft((white[..., 0] + 1j * white[..., 1]) * shape, _TRANSFORM)[:, :FRAMES]
    scaled: np.ndarray = noise / np.sqrt((noise**2).mean())
    return scaled


def _turned(arrivals: Arrivals, angle: float) -> Arrivals:
    """What a head hears that is turned to the left by an angle in radians."""
    forward, left, up = arrivals.direction.T
    cosine, sine = np.cos(angle), np.sin(angle)
    direction = np.stack([cosine * forward + sine * left, cosine * left - sine * forward, up], axis=1)
    return Arrivals(direction, arrivals.way, arrivals.gain)


def background(rng: np.random.Generator, snr: float) -> Float[np.ndarray, "2 t"]:
    """``FRAMES`` samples of the noise in a recording whose chirp at full volume is ``snr`` dB above it."""
    noise: np.ndarray = _DIRECT_RMS * 10 ** (-snr / 20) * _background(rng)
    return noise


def hear(arrivals: Arrivals, signal: Float[np.ndarray, " n"], speed_of_sound: float = 343.0) -> np.ndarray:
    """What the ears hear of any short signal, without gain jitter, noise or clipping.

    Args:
        arrivals: what reaches the head's centre, the direct sound first.
        signal: what the loudspeaker is given, at most 512 samples, full scale 1.
        speed_of_sound: m/s.

    Returns:
        [2, ``FRAMES``], left ear first; the direct sound begins at ``ONSET``.

    Raises:
        ValueError: the signal is too long.
    """
    lead = ONSET - float(arrivals.way[0]) / speed_of_sound * SAMPLE_RATE
    spectra = _ear_spectra(arrivals, speed_of_sound, lead) * _played(signal)
    heard: np.ndarray = _LEVEL * irfft(spectra, _TRANSFORM)[:, :FRAMES]
    return heard


def record(
    arrivals: Arrivals, rng: np.random.Generator, snr: float = 32.0, speed_of_sound: float = 343.0
) -> Float[np.ndarray, "2 t"]:
    """Play the chirp and record what both ears hear.

    Args:
        arrivals: what reaches the head's centre, the direct sound first.
        rng: draws gain (0.5 dB), onset (4 samples either way), the head's turn against the camera (1 degree) and the
            background.
        snr: direct sound over background in dB; infinite for silence.
        speed_of_sound: m/s.

    Returns:
        ``FRAMES`` samples per ear, left first, within full scale 1; louder samples clip, as in a recorder.
    """
    gain = _LEVEL * 10 ** (rng.normal(0, _GAIN_JITTER) / 20)
    lead = ONSET - arrivals.way[0] / speed_of_sound * SAMPLE_RATE + rng.uniform(-_ONSET_JITTER, _ONSET_JITTER)
    heard = _turned(arrivals, float(rng.normal(0, _MOUNT_JITTER)))
    echo = irfft(_ear_spectra(heard, speed_of_sound, float(lead)) * _voice(), _TRANSFORM)[:, :FRAMES]
    recorded: np.ndarray = np.clip(gain * echo + background(rng, snr), -1, 1)
    return recorded
