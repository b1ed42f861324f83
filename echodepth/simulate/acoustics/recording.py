"""Binaural recording of a chirp from the sounds that arrive at the head.

arrivals -> impulse responses per ear and octave band -> sum over the bands, chirp, loudspeaker -> gain, onset, noise
"""

from functools import cache

import numpy as np
from jaxtyping import Complex, Float
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import butter, sosfilt

from echodepth.core.chirp import batvision_chirp
from echodepth.core.constants import SAMPLE_RATE, V2_ONSET, V2_RECORDING_SAMPLES
from echodepth.simulate.acoustics.hrtf import convolve_hrir, diffuse_field_power, kemar
from echodepth.simulate.acoustics.propagation import Arrivals
from echodepth.simulate.rooms.materials import OCTAVES

_PASSBAND = (70.0, 20e3)  # Hz: range of the JBL Flip 4 (its data sheet), with slopes of 12 dB per octave
_MICROPHONES = {250.0: -4.0, 500.0: -5.0, 1000.0: -3.0, 2000.0: -1.5, 4000.0: 10.0, 8000.0: 6.0, 16000.0: -5.5}
"""Diffuse-field response of the ears' microphones with the loudspeaker, dB per octave: chosen so that the echoes of the
genuine recording's place, from 5 to 50 ms, have its octave spectrum (`python -m benchmarks.genuine_frame`)."""
_THIRD_OCTAVE = 2 ** (1 / 6)  # from a band's centre to its edge
_EQUALISED = (100.0, 17e3)  # Hz: range in which KEMAR was measured well; the values at its ends hold beyond
_DIRECT_RMS = 0.17  # of full scale, over both ears' first 3 ms, as in a real V2 recording
_GAIN_JITTER = 0.5  # dB, standard deviation: charge of the battery and steps of the volume control, assumed
_ONSET_JITTER = 4.0  # samples, either way: the computer's clock starts the recording, assumed
_MOUNT_JITTER = np.radians(1.0)  # standard deviation of the head's rotation against the camera, assumed
_BACKGROUND = {31.5: -51.0, 63.0: -61.0, 125.0: -65.0, 4000.0: -65.0, 8000.0: -73.0, 16000.0: -75.0}
"""Noise level per octave band, dB relative to full scale; only the differences matter."""
_LONGEST_SIGNAL = 512
_FFT_SIZE = next_fast_len(V2_RECORDING_SAMPLES + _LONGEST_SIGNAL, real=True)  # no circular wrap-around


@cache
def _octave_weights() -> Float[np.ndarray, "bands f"]:
    """Weight of each octave band at each frequency: linear in log frequency between the centres, with a sum of 1."""
    frequency = rfftfreq(_FFT_SIZE, 1 / SAMPLE_RATE)
    position = np.interp(np.log2(np.maximum(frequency, 1.0)), np.log2(OCTAVES), np.arange(len(OCTAVES)))
    distance = np.abs(position - np.arange(len(OCTAVES))[:, None])
    weights: np.ndarray = np.maximum(0, 1 - distance).astype(np.float32)
    return weights


@cache
def _microphone_response() -> Complex[np.ndarray, " f"]:
    """Response that turns KEMAR's ears into those of the robot, at minimum phase.

    KEMAR's microphones sit at the eardrum, behind the resonance of the ear canal, and were measured with a loudspeaker
    of their own. Diffuse-field equalisation in third octaves removes both; then follows the robot's own response.
    """
    frequency = rfftfreq(_FFT_SIZE, 1 / SAMPLE_RATE)
    power = np.cumsum(diffuse_field_power(kemar(), _FFT_SIZE))
    centre = np.clip(frequency, *_EQUALISED)
    low, high = (np.interp(centre * edge, frequency, power) for edge in (1 / _THIRD_OCTAVE, _THIRD_OCTAVE))
    equalised = -10 * np.log10((high - low) / centre)
    robot = np.interp(np.log2(np.maximum(frequency, 1.0)), np.log2([*_MICROPHONES]), [*_MICROPHONES.values()])
    # The real cepstrum of a magnitude, folded to positive times, is that of the minimum-phase response.
    cepstrum = irfft((equalised - equalised.mean() + robot) * np.log(10) / 20, _FFT_SIZE)
    cepstrum[1 : _FFT_SIZE // 2] *= 2
    cepstrum[_FFT_SIZE // 2 + 1 :] = 0
    return np.asarray(np.exp(rfft(cepstrum, _FFT_SIZE)))


def _emitted_spectrum(signal: Float[np.ndarray, " n"]) -> Complex[np.ndarray, " f"]:
    """Spectrum of a signal after the loudspeaker's band-pass filter and the response of the microphones."""
    if signal.size > _LONGEST_SIGNAL:
        raise ValueError(f"signal has {signal.size} samples: at most {_LONGEST_SIGNAL} fit without wrap-around")
    padded = np.zeros(_LONGEST_SIGNAL)
    padded[: signal.size] = signal
    bandpass = butter(2, _PASSBAND, "bandpass", fs=SAMPLE_RATE, output="sos")
    spectrum: np.ndarray = rfft(sosfilt(bandpass, padded), _FFT_SIZE) * _microphone_response()
    return spectrum


@cache
def _chirp_spectrum() -> Complex[np.ndarray, " f"]:
    return _emitted_spectrum(batvision_chirp())


def _transfer_functions(arrivals: Arrivals, speed_of_sound: float, delay: float) -> Complex[np.ndarray, "2 f"]:
    """Binaural room transfer functions, for a loudspeaker that is driven after ``delay`` samples."""
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


@cache
def _noise_spectrum() -> Float[np.ndarray, " f"]:
    """Amplitude of the background noise at each frequency, from the last 0.14 s of a real V2 recording.

    The noise is pink, with a rumble at low frequency.
    """
    frequency = rfftfreq(_FFT_SIZE, 1 / SAMPLE_RATE)
    level = np.interp(np.log2(np.maximum(frequency, 1)), np.log2([*_BACKGROUND]), [*_BACKGROUND.values()])
    amplitude: np.ndarray = np.where(frequency < 20, 0, 10 ** (level / 20) / np.sqrt(np.maximum(frequency, 20)))
    return amplitude.astype(np.float32)


def background_noise(rng: np.random.Generator, snr: float) -> Float[np.ndarray, "2 t"]:
    """Background noise of a recording, independent at the ears.

    Args:
        rng: random generator.
        snr: level of the direct sound of a full-scale chirp over the noise, dB.

    Returns:
        ``V2_RECORDING_SAMPLES`` samples per ear, full scale 1.
    """
    amplitude = _noise_spectrum()
    white = rng.standard_normal((2, amplitude.size, 2), dtype=np.float32)
    noise = _to_waveform((white[..., 0] + 1j * white[..., 1]) * amplitude)
    scaled: np.ndarray = _DIRECT_RMS * 10 ** (-snr / 20) * (noise / np.sqrt((noise**2).mean()))
    return scaled


def _rotate_head(arrivals: Arrivals, angle: float) -> Arrivals:
    """Arrivals in the frame of a head that is rotated to the left by an angle in radians."""
    forward, left, up = arrivals.direction.T
    cosine, sine = np.cos(angle), np.sin(angle)
    direction = np.stack([cosine * forward + sine * left, cosine * left - sine * forward, up], axis=1)
    return Arrivals(direction, arrivals.path_length, arrivals.gain)


def _onset_delay(arrivals: Arrivals, speed_of_sound: float) -> float:
    """Samples before the loudspeaker emits, so that the direct sound begins at ``V2_ONSET``."""
    return V2_ONSET - float(arrivals.path_length[0]) / speed_of_sound * SAMPLE_RATE


@cache
def _direct_rms(direction: tuple[float, ...], gain: tuple[float, ...]) -> float:
    """RMS of the direct sound of a chirp over both ears and the chirp's duration, before the recorder's gain."""
    direct = Arrivals(np.array([direction]), np.zeros(1), np.array([gain]))
    waveforms = _to_waveform(_transfer_functions(direct, 343.0, float(V2_ONSET)) * _chirp_spectrum())
    return float(np.sqrt((waveforms**2).sum() / (2 * batvision_chirp().size)))


def _recording_gain(arrivals: Arrivals) -> float:
    """Gain of the recorder: that at which the direct sound has the RMS of a real recording, whatever its isolation."""
    # Rounded, because the direct sound is the same in all poses but for the last digits.
    direction, gain = (tuple(np.round(values[0], 6).tolist()) for values in (arrivals.direction, arrivals.gain))
    rms = _direct_rms(direction, gain)
    return _DIRECT_RMS / rms if rms > 0 else 1.0


def receive(arrivals: Arrivals, signal: Float[np.ndarray, " n"], speed_of_sound: float = 343.0) -> np.ndarray:
    """Waveforms at both ears for any short signal, without gain jitter, noise or clipping.

    Args:
        arrivals: sounds at the head's centre, the direct sound first.
        signal: input of the loudspeaker, at most 512 samples, full scale 1.
        speed_of_sound: m/s.

    Returns:
        [2, ``V2_RECORDING_SAMPLES``], left ear first; the direct sound begins at ``V2_ONSET``.

    Raises:
        ValueError: the signal is too long.
    """
    delay = _onset_delay(arrivals, speed_of_sound)
    spectra = _transfer_functions(arrivals, speed_of_sound, delay) * _emitted_spectrum(signal)
    waveforms: np.ndarray = _recording_gain(arrivals) * _to_waveform(spectra)
    return waveforms


def record(
    arrivals: Arrivals, rng: np.random.Generator, snr: float = 32.0, speed_of_sound: float = 343.0
) -> Float[np.ndarray, "2 t"]:
    """Simulate the recording of one chirp.

    Args:
        arrivals: sounds at the head's centre, the direct sound first.
        rng: draws the gain (0.5 dB), the onset (4 samples either way), the head's rotation against the camera
            (1 degree) and the background noise.
        snr: direct sound over background noise, dB; infinite for no noise.
        speed_of_sound: m/s.

    Returns:
        ``V2_RECORDING_SAMPLES`` samples per ear, left first, full scale 1; louder samples clip, as in a recorder.
    """
    gain = _recording_gain(arrivals) * 10 ** (rng.normal(0, _GAIN_JITTER) / 20)
    delay = _onset_delay(arrivals, speed_of_sound) + rng.uniform(-_ONSET_JITTER, _ONSET_JITTER)
    rotated = _rotate_head(arrivals, float(rng.normal(0, _MOUNT_JITTER)))
    echoes = _to_waveform(_transfer_functions(rotated, speed_of_sound, float(delay)) * _chirp_spectrum())
    recording: np.ndarray = np.clip(gain * echoes + background_noise(rng, snr), -1, 1)
    return recording
