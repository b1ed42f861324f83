"""Head-related transfer functions (HRTFs) of MIT's KEMAR manikin (Gardner and Martin 1994) in 710 directions.

The left ear's responses are used for both ears: the right ear receives from a direction what the left ear receives from
the mirrored one, so that a mirrored scene swaps the ears exactly. `scripts/make_kemar.py` makes the table.
"""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import resample

from echodepth.core.constants import SAMPLE_RATE
from echodepth.simulate.jit import jit

_WEIGHTED_ELEVATIONS = np.cos(np.radians(np.arange(-90, 91)))  # solid angle of each whole degree of elevation
_PHASES = 8  # arrival times are rounded to an eighth of a sample: 2.8 microseconds


class HRTF(NamedTuple):
    """Head-related impulse responses (HRIRs) and the index of the nearest one for each direction.

    Attributes:
        taps: responses of the left ear, delayed by 0 to 7 eighths of a sample.
        nearest: index of the response for whole degrees of azimuth (counter-clockwise) and of elevation + 90.
        centre: tap at which a sound would arrive at the head's centre.
    """

    taps: Float[np.ndarray, "responses 8 k"]
    nearest: Int[np.ndarray, "360 181"]
    centre: float


@cache
def kemar() -> HRTF:
    """Read KEMAR's table, once.

    Raises:
        ValueError: the table has another sample rate.
    """
    with np.load(str(files("echodepth.simulate.acoustics") / "kemar.npz")) as table:
        if int(table["rate"]) != SAMPLE_RATE:
            raise ValueError(f"kemar.npz is at {table['rate']} Hz, recordings are at {SAMPLE_RATE}")
        responses = table["responses"] * float(table["scale"])
        directions, centre = table["directions"].astype(np.float64), float(table["centre"])
    padded = np.pad(responses, ((0, 0), (1, 2)))
    fine = resample(padded, _PHASES * padded.shape[1], axis=1)
    delayed = [np.roll(fine, phase, axis=1)[:, ::_PHASES] for phase in range(_PHASES)]
    azimuth, elevation = np.meshgrid(np.radians(np.arange(360)), np.radians(np.arange(-90, 91)), indexing="ij")
    grid = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    )
    nearest = (grid.reshape(-1, 3) @ directions.T).argmax(axis=1).reshape(360, 181)
    return HRTF(np.ascontiguousarray(np.stack(delayed, axis=1), dtype=np.float32), nearest, centre + 1)


def diffuse_field_power(hrtf: HRTF, fft_size: int) -> Float[np.ndarray, " f"]:
    """Mean power response over all directions of the sphere, at the frequencies of a real FFT of ``fft_size``."""
    weights = np.bincount(hrtf.nearest.ravel(), np.tile(_WEIGHTED_ELEVATIONS, 360), hrtf.taps.shape[0])
    power = np.abs(np.fft.rfft(hrtf.taps[:, 0].astype(np.float64), fft_size)) ** 2
    mean: np.ndarray = weights @ power / weights.sum()
    return mean


@jit
def _nearest_response(nearest: Int[np.ndarray, "360 181"], forward: float, left: float, up: float) -> int:
    azimuth = int(np.floor(np.degrees(np.arctan2(left, forward)) + 0.5)) % 360
    elevation = int(np.floor(np.degrees(np.arcsin(min(max(up, -1.0), 1.0))) + 90.5))
    return int(nearest[azimuth, elevation])


@jit
def convolve_hrir(
    hrtf: HRTF,
    direction: Float[np.ndarray, "n 3"],
    arrival: Float[np.ndarray, " n"],
    gain: Float[np.ndarray, "n bands"],
    responses: Float[np.ndarray, "2 bands t"],
) -> None:
    """Add arriving sounds, each convolved with the HRIR of its direction, to the impulse responses of both ears.

    Args:
        hrtf: HRIRs of the left ear.
        direction: unit vectors towards the incoming sound: forward, left, up.
        arrival: arrival times at the head's centre, fractional samples.
        gain: pressure at the head's centre per octave band.
        responses: output, float32, left ear first. Samples outside its range are dropped.
    """
    length, taps = responses.shape[2], hrtf.taps.shape[2]
    for sound in range(direction.shape[0]):
        onset = arrival[sound] - hrtf.centre
        start = int(np.floor(onset))
        phase = int((onset - start) * _PHASES + 0.5)
        if phase == _PHASES:
            start, phase = start + 1, 0
        if start + taps <= 0 or start >= length:
            continue
        low, high = max(0, -start), min(taps, length - start)
        for ear in range(2):
            side = 1.0 if ear == 0 else -1.0
            forward, left, up = direction[sound, 0], direction[sound, 1], direction[sound, 2]
            index = _nearest_response(hrtf.nearest, forward, side * left, up)
            hrir = hrtf.taps[index, phase, low:high]
            for band in range(responses.shape[1]):
                pressure, output = np.float32(gain[sound, band]), responses[ear, band, start + low : start + high]
                for tap in range(hrir.size):
                    output[tap] += pressure * hrir[tap]
