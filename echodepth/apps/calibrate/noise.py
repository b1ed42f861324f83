"""Background noise of recordings: its level and spectrum."""

import numpy as np
from jaxtyping import Float
from scipy.fft import rfftfreq
from scipy.special import ndtri

from echodepth.apps.calibrate.estimates import LEAST_FOR_SPREAD
from echodepth.apps.calibrate.sound import Noise, Sound
from echodepth.core.constants import SAMPLE_RATE
from echodepth.simulate.acoustics.recording import noise_amplitude
from echodepth.simulate.rig import DEFAULT_RIG, NOISE_OCTAVES

_LEAST_VALUES = 1.0  # independent values of one ear in a mean over all recordings
_ONE_VALUE = 4.34  # dB: standard deviation of the level of a mean of one value
_QUIETEST = 3.0  # recordings whose mean is as accurate as the least of ten
_WIDER = 1.5  # spread over that of noise alone from which reverberation or other sounds are in it
_SILENCE = 1e-15  # a millionth of a 24-bit step
_PASSES = 8


def noise_power(sounds: list[Sound]) -> Float[np.ndarray, "2 10"]:
    """Mean square of the noise per ear and octave of ``NOISE_OCTAVES``; NaN where it cannot be measured.

    The stretches before the direct sound and at the end of the recordings are averaged, where they agree; otherwise
    the quieter one counts, since the noise is in both and other sounds are not.
    """
    (before, weight), (after, other) = (
        _combine([getattr(sound, name) for sound in sounds]) for name in ("before", "after")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.abs(10 * np.log10(before / after))
        agree = difference < 2 * _ONE_VALUE * np.sqrt(1 / weight + 1 / other)
        mean = (weight * before + other * after) / (weight + other)
    power = np.where(agree, mean, np.fmin(before, after))
    return np.where(power > _SILENCE, power, np.nan)


def _combine(noises: list[Noise]) -> tuple[Float[np.ndarray, "2 10"], Float[np.ndarray, " 10"]]:
    """The noise in several recordings, and the number of independent values of each ear that it is the mean of.

    It is their mean; where they differ more than noise does, it is the noise of which the quietest is the least.
    """
    power = np.stack([noise.power for noise in noises])
    # A Hann window leaves half of the independent values.
    values = np.stack([noise.products for noise in noises]).sum(axis=0) / 2
    counted = np.isfinite(power).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.where(np.isfinite(power), 10 * np.log10(power), 0.0)
        expected = _ONE_VALUE / np.sqrt(np.maximum(values / np.maximum(counted[0], 1), 0.5))
        mean = np.nansum(power, axis=0) / counted
        # The least of several normal values lies below their mean (Blom 1958).
        least = -ndtri((1 - 0.375) / (np.maximum(counted, 1) + 0.25))
        quiet = 10 ** ((level.min(axis=0) + least * expected) / 10)
        is_wide = (level.std(axis=0) > _WIDER * expected) & (counted >= LEAST_FOR_SPREAD) & (quiet < mean)
    result = np.where((counted > 0) & (values >= _LEAST_VALUES), np.where(is_wide, quiet, mean), np.nan)
    single = values / np.maximum(counted[0], 1)
    return result, np.where(is_wide.any(axis=0), np.minimum(_QUIETEST * single, values), values)


def fit_noise(power: Float[np.ndarray, " 10"]) -> tuple[Float[np.ndarray, " 10"], float]:
    """A rig's spectrum of noise that gives the measured octaves, and the RMS of the whole noise.

    Args:
        power: mean square per octave of ``NOISE_OCTAVES``; NaN where it is not known, but not everywhere.

    Returns:
        Levels with the mean of the default rig's where they are known and NaN elsewhere, and the RMS, full scale 1.
    """
    default = np.array(DEFAULT_RIG.noise_spectrum)
    is_known = np.isfinite(power)
    target = 10 * np.log10(np.where(is_known, power, 1.0))
    levels = default.copy()
    for _ in range(_PASSES):
        modelled, _ = _octaves(levels)
        levels = np.where(is_known, levels + target - 10 * np.log10(modelled), levels)
        levels = np.where(is_known, levels - (levels - default)[is_known].mean(), default)
    modelled, total = _octaves(levels)
    rms = float(np.sqrt(total * power[is_known].sum() / modelled[is_known].sum()))
    return np.where(is_known, levels, np.nan), rms


def _octaves(levels: Float[np.ndarray, " 10"]) -> tuple[Float[np.ndarray, " 10"], float]:
    """Power of the simulator's noise in each octave, and over all frequencies, on one scale."""
    amplitude = noise_amplitude(tuple(levels.tolist())).astype(np.float64) ** 2
    frequency = rfftfreq(2 * (amplitude.size - 1), 1 / SAMPLE_RATE)
    octaves = [amplitude[(frequency >= f / 2**0.5) & (frequency < f * 2**0.5)].sum() for f in NOISE_OCTAVES]
    return np.array(octaves), float(amplitude.sum())
