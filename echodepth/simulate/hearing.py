"""What two ears on a spherical head make of the arriving sounds, and the recording of a chirp.

arrivals at the head's centre -> an impulse response per ear -> chirp, gain, onset, noise -> recording
"""

from functools import cache

import numpy as np
from jaxtyping import Complex, Float
from scipy.signal import butter, chirp, sosfilt

from echodepth.simulate.acoustics import Arrivals, Patches, Rig, arrivals, image_sources, length
from echodepth.simulate.scene import Pose, Room, column, rotate

SAMPLE_RATE = 44100
"""Hz."""
FRAMES = 20000
"""Samples of a recording, as in BatVision V2."""
ONSET = 282
"""Sample at which the direct sound begins, give or take the jitter; measured on a genuine V2 recording."""

_CHIRP_SECONDS = 3e-3
_LEVEL = 0.36  # brings the direct sound to _DIRECT_RMS
_DIRECT_RMS = 0.17  # of full scale, as in a genuine V2 recording
_GAIN_JITTER = 0.5  # dB, standard deviation
_ONSET_JITTER = 4.0  # samples, either way
_TRANSFORM = 32768  # samples: holds a recording and the chirp's tail without wrapping around
_TAPS = 64  # of the windowed sinc that places an arrival between samples


def at_ear(
    sounds: Arrivals, pose: Pose, rig: Rig, side: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Bring sounds from the head's centre to an ear.

    The way is the shortest one around the sphere: straight to an ear that sees the source, else along the tangent
    and then the surface; far away this is Woodworth's formula (1938).

    Args:
        sounds: what arrives.
        pose: where the head is.
        rig: how large it is.
        side: 1 is the left ear, -1 the right.

    Returns:
        Delay since emission in seconds; gain at low frequency; alpha, the factor on that gain at high frequency,
        by the spherical-head model of Brown and Duda (IEEE Trans. Speech Audio Process. 6(5), 1998):
        2 facing the source, 0.1 at 150 degrees from it.
    """
    offset = sounds.source - column(pose.position)
    distance, radius = length(offset), rig.head_radius
    left = rotate(column((0.0, float(side), 0.0)), pose.yaw)
    angle = np.arccos(np.clip((offset * left).sum(axis=0) / distance, -1, 1))
    horizon = np.arccos(np.minimum(radius / distance, 1))
    straight = np.sqrt(distance**2 + radius**2 - 2 * distance * radius * np.cos(np.minimum(angle, horizon)))
    way = straight + radius * np.maximum(angle - horizon, 0)
    alpha = 1.05 + 0.95 * np.cos(angle * 180 / 150)
    return (sounds.before + way) / rig.speed_of_sound, sounds.gain * distance / way, alpha


def impulse_responses(sounds: Arrivals, pose: Pose, rig: Rig, lead: float = 0.0) -> Float[np.ndarray, "2 t"]:
    """Pressure at the left and right ear after a unit impulse from the loudspeaker.

    Args:
        sounds: what arrives at the head's centre.
        pose: where the head is.
        rig: head and air.
        lead: samples, whole or not, before the impulse is sent.

    Returns:
        ``FRAMES`` samples at ``SAMPLE_RATE`` for each ear, limited to the audible band by the sampling alone.
    """
    return np.fft.irfft(_ear_spectra(sounds, pose, rig, lead), _TRANSFORM)[:, :FRAMES]


def _ear_spectra(sounds: Arrivals, pose: Pose, rig: Rig, lead: float) -> Complex[np.ndarray, "2 f"]:
    # Brown and Duda's filter (1 + alpha s) / (1 + s), s = j w a / 2c, is linear in alpha: two pulse trains per ear
    # and two fixed filters serve all directions.
    s = 1j * np.pi * np.fft.rfftfreq(_TRANSFORM, 1 / SAMPLE_RATE) * rig.head_radius / rig.speed_of_sound
    spectra = []
    for side in (1, -1):
        delay, gain, alpha = at_ear(sounds, pose, rig, side)
        low, high = np.fft.rfft(_pulses(delay * SAMPLE_RATE + lead, np.stack([gain, gain * alpha])))
        spectra.append((low + s * high) / (1 + s))
    return np.stack(spectra)


def _pulses(at: Float[np.ndarray, " n"], gains: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k t"]:
    """Sums of band-limited unit pulses at fractional samples, each a sinc under a Hann window."""
    first = np.floor(at).astype(np.int64) - _TAPS // 2 + 1
    index = first[:, None] + np.arange(_TAPS)
    behind = index - at[:, None]
    pulse = np.sinc(behind) * np.cos(np.pi * behind / _TAPS) ** 2
    inside = (index >= 0) & (index < _TRANSFORM)
    where = index[inside]
    return np.stack([np.bincount(where, (gain[:, None] * pulse)[inside], minlength=_TRANSFORM) for gain in gains])


@cache
def _voice() -> Complex[np.ndarray, " f"]:
    """Spectrum of the chirp as the loudspeaker plays it: 20 Hz to 20 kHz in 3 ms, through 100 Hz to 18 kHz."""
    time = np.arange(int(_CHIRP_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    signal = np.zeros(4096)
    signal[: time.size] = chirp(time, 20, _CHIRP_SECONDS, 20e3, phi=90)
    loudspeaker = butter(2, (100, 18e3), "bandpass", fs=SAMPLE_RATE, output="sos")
    return np.fft.rfft(sosfilt(loudspeaker, signal), _TRANSFORM)


def _background(rng: np.random.Generator) -> Float[np.ndarray, "2 t"]:
    """Pink noise from 20 Hz up, independent at the ears, of RMS 1."""
    frequency = np.fft.rfftfreq(_TRANSFORM, 1 / SAMPLE_RATE)
    shape = np.where(frequency < 20, 0, 1 / np.sqrt(np.maximum(frequency, 20)))
    noise = np.fft.irfft(np.fft.rfft(rng.normal(size=(2, _TRANSFORM))) * shape)[:, :FRAMES]
    scaled: np.ndarray = noise / np.sqrt((noise**2).mean())
    return scaled


def record(
    room: Room, patches: Patches, pose: Pose, rng: np.random.Generator, snr: float = 35.0, rig: Rig | None = None
) -> Float[np.ndarray, "2 t"]:
    """Play the chirp and record what both ears hear.

    Args:
        room: where.
        patches: the room's scattering points.
        pose: of the robot.
        rng: draws gain (0.5 dB), onset (4 samples either way) and background.
        snr: direct sound over background in dB; infinite for silence.
        rig: loudspeaker, head and air; the default one when None.

    Returns:
        ``FRAMES`` samples per ear, left first, within full scale 1; louder samples clip, as in a recorder.
    """
    rig = rig or Rig()
    gain = _LEVEL * 10 ** (rng.normal(0, _GAIN_JITTER) / 20)
    direct = image_sources(room, pose, rig, order=0)
    lead = ONSET - at_ear(direct, pose, rig, 1)[0][0] * SAMPLE_RATE + rng.uniform(-_ONSET_JITTER, _ONSET_JITTER)
    spectra = _ear_spectra(arrivals(room, patches, pose, rig), pose, rig, lead)
    echo = np.fft.irfft(spectra * _voice(), _TRANSFORM)[:, :FRAMES]
    noise = _DIRECT_RMS * 10 ** (-snr / 20) * _background(rng)
    return np.clip(gain * echo + noise, -1, 1)
