"""Make echodepth/simulate/acoustics/kemar.npz from the SOFA file of MIT's KEMAR measurements.

The SOFA file is /usr/share/libmysofa/MIT_KEMAR_normal_pinna.sofa of Debian's package libmysofa1. Reading it requires
h5py (pip install h5py), which is no dependency of echodepth:

    python scripts/make_kemar.py MIT_KEMAR_normal_pinna.sofa

The measurements are free to use with a citation: B. Gardner and K. Martin, HRTF Measurements of a KEMAR Dummy-Head
Microphone, MIT Media Lab Perceptual Computing Technical Report 280, 1994.
"""

import sys
from pathlib import Path

import h5py
import numpy as np
from scipy.optimize import least_squares

CITATION = (
    "B. Gardner and K. Martin, HRTF Measurements of a KEMAR Dummy-Head Microphone, "
    "MIT Media Lab Perceptual Computing Technical Report 280, 1994"
)
TARGET = Path(__file__).parent.parent / "echodepth" / "simulate" / "acoustics" / "kemar.npz"
SPEED_OF_SOUND = 343.0
FIRST, TAPS, FADE = 20, 120, 16  # all responses are at -49 dB before tap 28 and at about -35 dB after tap 136
ONSET_LEVEL = 0.15  # share of a response's peak that defines its onset


def onsets(responses: np.ndarray) -> np.ndarray:
    """Fractional samples at which responses first reach ``ONSET_LEVEL`` of their peak."""
    grid = np.arange(0, responses.shape[1] - 1, 0.05)
    fine = np.stack([np.interp(grid, np.arange(responses.shape[1]), np.abs(one)) for one in responses])
    found: np.ndarray = grid[(fine > ONSET_LEVEL * fine.max(axis=1, keepdims=True)).argmax(axis=1)]
    return found


def main() -> None:
    """Read the responses, fit a sphere to their delays, and write the table."""
    with h5py.File(sys.argv[1]) as file:
        responses, positions = file["Data.IR"][:, 0, :], file["SourcePosition"][:]  # receiver 0 is the left ear
        rate = float(file["Data.SamplingRate"][0])
    azimuth, elevation = np.radians(positions[:, 0]), np.radians(positions[:, 1])
    directions = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=1
    )
    is_horizontal = elevation == 0

    # Woodworth (1938): at an angle t off the ear's axis, sound arrives early by a cos(t) / c on the near side of the
    # head, and late by a (t - pi/2) / c on the far side.
    angle = np.arccos(np.clip(directions[is_horizontal, 1], -1, 1))
    delay = np.where(angle < np.pi / 2, -np.cos(angle), angle - np.pi / 2)
    measured = onsets(responses[is_horizontal])

    def residual(sphere: np.ndarray) -> np.ndarray:
        centre, radius = sphere
        error: np.ndarray = centre + radius / SPEED_OF_SOUND * rate * delay - measured
        return error

    fit = least_squares(residual, (48.0, 0.09), loss="soft_l1")
    centre, radius = fit.x

    spectrum = np.abs(np.fft.rfft(responses[is_horizontal]))
    frequency = np.fft.rfftfreq(responses.shape[1], 1 / rate)
    level = spectrum[:, (frequency > 500) & (frequency < 2000)].mean()
    cut = responses[:, FIRST : FIRST + TAPS] / level
    cut[:, -FADE:] *= np.cos(np.linspace(0, np.pi / 2, FADE)) ** 2
    scale = np.abs(cut).max() / 32767
    np.savez_compressed(
        TARGET,
        responses=np.round(cut / scale).astype(np.int16),
        scale=scale,
        directions=directions.astype(np.float32),
        centre=centre - FIRST,
        radius=radius,
        rate=rate,
        citation=CITATION,
    )
    print(f"centre {centre - FIRST:.2f} samples, radius {100 * radius:.2f} cm, residual {np.abs(fit.fun).mean():.2f}")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
