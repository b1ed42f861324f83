"""A measured head: MIT's KEMAR manikin (Gardner and Martin 1994), 710 directions, made left-right symmetric.

The right ear hears from a direction what the left ear hears from the mirrored one, so that a mirrored scene swaps
the ears exactly. `scripts/make_kemar.py` makes the table.
"""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import resample

from echodepth.simulate.jit import jit

SAMPLE_RATE = 44100
"""Hz, of the measurements and of all recordings."""

_PHASES = 8  # an arrival is placed to an eighth of a sample: 2.8 microseconds


class HRTF(NamedTuple):
    """What the compiled loop needs.

    Attributes:
        taps: left ear's responses, delayed by 0 to 7 eighths of a sample.
        nearest: which response belongs to whole degrees of azimuth (counter-clockwise) and of elevation + 90.
        centre: tap at which a sound would reach the head's centre.
    """

    taps: Float[np.ndarray, "responses 8 k"]
    nearest: Int[np.ndarray, "360 181"]
    centre: float


@cache
def kemar() -> HRTF:
    """The manikin's table, read once."""
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


@jit
def _response(nearest: Int[np.ndarray, "360 181"], forward: float, left: float, up: float) -> int:
    azimuth = int(np.floor(np.degrees(np.arctan2(left, forward)) + 0.5)) % 360
    elevation = int(np.floor(np.degrees(np.arcsin(min(max(up, -1.0), 1.0))) + 90.5))
    return int(nearest[azimuth, elevation])


@jit
def convolve_hrir(
    head: HRTF,
    direction: Float[np.ndarray, "n 3"],
    samples: Float[np.ndarray, " n"],
    gain: Float[np.ndarray, "n bands"],
    ears: Float[np.ndarray, "2 bands t"],
) -> None:
    """Add what both ears hear of arriving sounds to their responses.

    Args:
        head: whose ears.
        direction: unit vectors to where the sounds come from: forward, left, up.
        samples: when they reach the head's centre, whole or not.
        gain: pressure there, per octave.
        ears: float32; left ear first. What falls outside is left out.
    """
    length, taps = ears.shape[2], head.taps.shape[2]
    for sound in range(direction.shape[0]):
        at = samples[sound] - head.centre
        start = int(np.floor(at))
        phase = int((at - start) * _PHASES + 0.5)
        if phase == _PHASES:
            start, phase = start + 1, 0
        if start + taps <= 0 or start >= length:
            continue
        low, high = max(0, -start), min(taps, length - start)
        for ear in range(2):
            side = 1.0 if ear == 0 else -1.0
            number = _response(head.nearest, direction[sound, 0], side * direction[sound, 1], direction[sound, 2])
            response = head.taps[number, phase, low:high]
            for band in range(ears.shape[1]):
                strength, heard = np.float32(gain[sound, band]), ears[ear, band, start + low : start + high]
                for tap in range(response.size):
                    heard[tap] += strength * response[tap]
