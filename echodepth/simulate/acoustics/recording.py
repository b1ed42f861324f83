"""Binaural recording of a chirp from the sounds that arrive at the head.

arrivals -> impulse responses per ear and octave band -> sum over the bands, chirp, loudspeaker -> gain, onset, noise
"""

from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Complex, Float
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import butter, sosfilt

from echodepth.core.chirp import batvision_chirp
from echodepth.core.constants import SAMPLE_RATE, V2_RECORDING_SAMPLES
from echodepth.simulate.acoustics.hrtf import convolve_hrir, diffuse_field_power, kemar
from echodepth.simulate.acoustics.propagation import Arrivals
from echodepth.simulate.rig import DEFAULT_RIG, NOISE_OCTAVES, RIG_OCTAVES, Octaves, Rig
from echodepth.simulate.rooms.materials import OCTAVES

_PASSBAND = (70.0, 20e3)  # Hz: range of the JBL Flip 4 (its data sheet), with slopes of 12 dB per octave
_THIRD_OCTAVE = 2 ** (1 / 6)  # from a band's centre to its edge
_EQUALISED = (100.0, 17e3)  # Hz: range in which KEMAR was measured well; the values at its ends hold beyond
_MOUNT_JITTER = np.radians(1.0)  # standard deviation of the head's rotation against the camera, assumed
_LONGEST_SIGNAL = 512
_RIGS = 8  # whose responses are kept: a set may have a robot a room
_FFT_SIZE = next_fast_len(V2_RECORDING_SAMPLES + _LONGEST_SIGNAL, real=True)  # no circular wrap-around


@cache
def _octave_weights() -> Float[np.ndarray, "bands f"]:
    """Weight of each octave band at each frequency: linear in log frequency between the centres, with a sum of 1."""
    frequency = rfftfreq(_FFT_SIZE, 1 / SAMPLE_RATE)
    position = np.interp(np.log2(np.maximum(frequency, 1.0)), np.log2(OCTAVES), np.arange(len(OCTAVES)))
    distance = np.abs(position - np.arange(len(OCTAVES))[:, None])
    weights: np.ndarray = np.maximum(0, 1 - distance).astype(np.float32)
    return weights


def _rig_levels(levels: Octaves) -> Float[np.ndarray, " f"]:
    """Levels per octave of ``RIG_OCTAVES`` in decibels, at each frequency: linear in log frequency."""
    frequency = rfftfreq(_FFT_SIZE, 1 / SAMPLE_RATE)
    interpolated: np.ndarray = np.interp(np.log2(np.maximum(frequency, 1.0)), np.log2(RIG_OCTAVES), levels)
    return interpolated


def _minimum_phase(levels: Float[np.ndarray, " f"]) -> Complex[np.ndarray, " f"]:
    """Minimum-phase response of levels in decibels."""
    # The real cepstrum of a magnitude, folded to positive times, is that of the minimum-phase response.
    cepstrum = irfft(levels * np.log(10) / 20, _FFT_SIZE)
    cepstrum[1 : _FFT_SIZE // 2] *= 2
    cepstrum[_FFT_SIZE // 2 + 1 :] = 0
    return np.asarray(np.exp(rfft(cepstrum, _FFT_SIZE)))


@lru_cache(_RIGS)
def _microphone_response(levels: Octaves) -> Complex[np.ndarray, " f"]:
    """Response that turns one of KEMAR's ears into one of the robot, at minimum phase.

    KEMAR's microphones sit at the eardrum, behind the resonance of the ear canal, and were measured with a loudspeaker
    of their own. Diffuse-field equalisation in third octaves removes both; then follows the robot's own response.

    Args:
        levels: response of the robot's ear per octave of ``RIG_OCTAVES``, dB.
    """
    frequency = rfftfreq(_FFT_SIZE, 1 / SAMPLE_RATE)
    power = np.cumsum(diffuse_field_power(kemar(), _FFT_SIZE))
    centre = np.clip(frequency, *_EQUALISED)
    low, high = (np.interp(centre * edge, frequency, power) for edge in (1 / _THIRD_OCTAVE, _THIRD_OCTAVE))
    equalised = -10 * np.log10((high - low) / centre)
    return _minimum_phase(equalised - equalised.mean() + _rig_levels(levels))


@lru_cache(_RIGS)
def _direct_response(rig: Rig) -> Complex[np.ndarray, "2 f"] | None:
    """Response of the direct sound at each ear beyond isolation and microphones; None if it is flat."""
    if not any(map(any, rig.direct_spectrum)):
        return None
    return np.stack([_minimum_phase(_rig_levels(levels)) for levels in rig.direct_spectrum])


def _emitted_spectrum(signal: Float[np.ndarray, " n"], rig: Rig) -> Complex[np.ndarray, "2 f"]:
    """Spectrum of a signal after the loudspeaker's band-pass filter and the response of each microphone."""
    if signal.size > _LONGEST_SIGNAL:
        raise ValueError(f"signal has {signal.size} samples: at most {_LONGEST_SIGNAL} fit without wrap-around")
    padded = np.zeros(_LONGEST_SIGNAL)
    padded[: signal.size] = signal
    bandpass = butter(2, _PASSBAND, "bandpass", fs=SAMPLE_RATE, output="sos")
    spectrum = rfft(sosfilt(bandpass, padded), _FFT_SIZE)
    return np.stack([spectrum * _microphone_response(levels) for levels in rig.microphones])


@lru_cache(_RIGS)
def _chirp_spectrum(rig: Rig) -> Complex[np.ndarray, "2 f"]:
    return _emitted_spectrum(batvision_chirp(), rig)


def _transfer_functions(
    arrivals: Arrivals, speed_of_sound: float, delay: float, rig: Rig = DEFAULT_RIG
) -> Complex[np.ndarray, "2 f"]:
    """Binaural room transfer functions before the microphones; the loudspeaker is driven after ``delay`` samples."""
    spectra = _summed_spectra(arrivals, speed_of_sound, delay)
    response = _direct_response(rig)
    if response is not None and arrivals.through_body is not None:
        spectra += (response - 1) * _summed_spectra(arrivals.only(arrivals.through_body), speed_of_sound, delay)
    return spectra


def _summed_spectra(arrivals: Arrivals, speed_of_sound: float, delay: float) -> Complex[np.ndarray, "2 f"]:
    responses = np.zeros((2, len(OCTAVES), _FFT_SIZE), dtype=np.float32)
    arrival = arrivals.path_length / speed_of_sound * SAMPLE_RATE + delay
    convolve_hrir(kemar(), arrivals.direction, arrival, arrivals.gain, responses)
    spectra: np.ndarray = (rfft(responses) * _octave_weights()).sum(axis=1)
    return spectra


def impulse_responses(
    arrivals: Arrivals, speed_of_sound: float = 343.0, delay: float = 0.0
) -> Float[np.ndarray, "2 t"]:
    """Binaural room impulse responses (BRIRs).

    Args:
        arrivals: sounds at the head's centre.
        speed_of_sound: m/s.
        delay: fractional samples before the loudspeaker emits the impulse.

    Returns:
        Pressure at the left and right ear, ``V2_RECORDING_SAMPLES`` samples at ``SAMPLE_RATE``.
    """
    return _to_waveform(_transfer_functions(arrivals, speed_of_sound, delay))


def _to_waveform(spectra: Complex[np.ndarray, "2 f"]) -> Float[np.ndarray, "2 t"]:
    return np.asarray(irfft(spectra, _FFT_SIZE)[:, :V2_RECORDING_SAMPLES])


@lru_cache(_RIGS)
def noise_amplitude(levels: Octaves) -> Float[np.ndarray, " f"]:
    """Amplitude of background noise at each frequency of the FFT, none below 20 Hz.

    Args:
        levels: dB per octave of ``NOISE_OCTAVES``, linear in log frequency between their centres. The default rig's,
            from the last 0.14 s of a real V2 recording, is pink noise with a rumble at low frequency.
    """
    frequency = rfftfreq(_FFT_SIZE, 1 / SAMPLE_RATE)
    level = np.interp(np.log2(np.maximum(frequency, 1)), np.log2(NOISE_OCTAVES), levels)
    amplitude: np.ndarray = np.where(frequency < 20, 0, 10 ** (level / 20) / np.sqrt(np.maximum(frequency, 20)))
    return amplitude.astype(np.float32)


def background_noise(rng: np.random.Generator, rig: Rig = DEFAULT_RIG) -> Float[np.ndarray, "2 t"]:
    """Background noise of a recording, independent at the ears.

    Args:
        rng: random generator.
        rig: level of the direct sound, and of the noise below it.

    Returns:
        ``V2_RECORDING_SAMPLES`` samples per ear, full scale 1.
    """
    amplitude = noise_amplitude(rig.noise_spectrum)
    white = rng.standard_normal((2, amplitude.size, 2), dtype=np.float32)
    noise = _to_waveform((white[..., 0] + 1j * white[..., 1]) * amplitude)
    scaled: np.ndarray = rig.direct_rms * 10 ** (-rig.snr / 20) * (noise / np.sqrt((noise**2).mean()))
    return scaled


def _rotate_head(arrivals: Arrivals, angle: float) -> Arrivals:
    """Arrivals in the frame of a head that is rotated to the left by an angle in radians."""
    forward, left, up = arrivals.direction.T
    cosine, sine = np.cos(angle), np.sin(angle)
    direction = np.stack([cosine * forward + sine * left, cosine * left - sine * forward, up], axis=1)
    return replace(arrivals, direction=direction)


def _onset_delay(arrivals: Arrivals, speed_of_sound: float, rig: Rig) -> float:
    """Samples before the loudspeaker emits, so that the direct sound begins at the rig's onset."""
    return rig.onset - float(arrivals.path_length[0]) / speed_of_sound * SAMPLE_RATE


@lru_cache(_RIGS)
def _direct_rms(direction: tuple[float, ...], gain: tuple[float, ...], rig: Rig) -> float:
    """RMS of the direct sound of a chirp over both ears and the chirp's duration, before the recorder's gain."""
    direct = Arrivals(np.array([direction]), np.zeros(1), np.array([gain]), np.ones(1, bool))
    spectra = _transfer_functions(direct, 343.0, float(DEFAULT_RIG.onset), rig) * _chirp_spectrum(rig)
    return float(np.sqrt((_to_waveform(spectra) ** 2).sum() / (2 * batvision_chirp().size)))


def _recording_gain(arrivals: Arrivals, rig: Rig) -> float:
    """Gain of the recorder: that at which the direct sound has the rig's RMS, whatever its isolation."""
    # Rounded, because the direct sound is the same in all poses but for the last digits.
    direction, gain = (tuple(np.round(values[0], 6).tolist()) for values in (arrivals.direction, arrivals.gain))
    rms = _direct_rms(direction, gain, rig)
    return rig.direct_rms / rms if rms > 0 else 1.0


def receive(arrivals: Arrivals, signal: Float[np.ndarray, " n"], speed_of_sound: float = 343.0) -> np.ndarray:
    """Waveforms at both ears of the default rig for any short signal, without gain jitter, noise or clipping.

    Args:
        arrivals: sounds at the head's centre, the direct sound first.
        signal: input of the loudspeaker, at most 512 samples, full scale 1.
        speed_of_sound: m/s.

    Returns:
        [2, ``V2_RECORDING_SAMPLES``], left ear first; the direct sound begins at ``V2_ONSET``.

    Raises:
        ValueError: the signal is too long.
    """
    delay = _onset_delay(arrivals, speed_of_sound, DEFAULT_RIG)
    spectra = _transfer_functions(arrivals, speed_of_sound, delay) * _emitted_spectrum(signal, DEFAULT_RIG)
    waveforms: np.ndarray = _recording_gain(arrivals, DEFAULT_RIG) * _to_waveform(spectra)
    return waveforms


def record(
    arrivals: Arrivals, rng: np.random.Generator, rig: Rig = DEFAULT_RIG, speed_of_sound: float = 343.0
) -> Float[np.ndarray, "2 t"]:
    """Simulate the recording of one chirp.

    Args:
        arrivals: sounds at the head's centre, the direct sound first.
        rng: draws the gain, the onset, the head's rotation against the camera (1 degree) and the background noise.
        rig: microphones, recorder and noise. Isolation and the loudspeaker's place are in the arrivals.
        speed_of_sound: m/s.

    Returns:
        ``V2_RECORDING_SAMPLES`` samples per ear, left first, full scale 1; louder samples clip, as in a recorder.
    """
    gain = _recording_gain(arrivals, rig) * 10 ** (rng.normal(0, rig.gain_spread) / 20)
    delay = _onset_delay(arrivals, speed_of_sound, rig) + rng.uniform(-rig.onset_jitter, rig.onset_jitter)
    rotated = _rotate_head(arrivals, float(rng.normal(0, _MOUNT_JITTER)))
    echoes = _to_waveform(_transfer_functions(rotated, speed_of_sound, float(delay), rig) * _chirp_spectrum(rig))
    recording: np.ndarray = np.clip(gain * echoes + background_noise(rng, rig), -1, 1)
    return recording
