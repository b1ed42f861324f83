"""Draw a genuine BatVision V2 recording beside simulated ones: spectrograms, and how the energy decays.

    python examples/real_and_simulated.py RECORDING.wav SIMULATED_ROOT

RECORDING.wav is one of V2's audio files, SIMULATED_ROOT a set made by `echodepth simulate`. The picture is written to
results/real_and_simulated.png; the figures of the genuine recording, and of all simulated ones, are printed.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.signal import butter, sosfiltfilt, stft

from echodepth.core.atomic_io import atomic_write
from echodepth.data.audio import find_onset, read_wav

SHOWN = 0.1  # seconds after the direct sound
TARGET = Path("results") / "real_and_simulated.png"


def decay(sound: np.ndarray, rate: int) -> np.ndarray:
    """Level of each ear's 2 ms, against that of the direct sound's first 3 ms, in decibels."""
    width = rate // 500
    blocks = sound[:, : sound.shape[1] // width * width].reshape(2, -1, width)
    direct = (sound[:, : int(0.003 * rate)] ** 2).mean()
    return np.asarray(10 * np.log10((blocks**2).mean(axis=2) / direct + 1e-12))


def figures(sound: np.ndarray, rate: int) -> dict[str, float]:
    """What tells rooms apart, over both ears, against the direct sound's first 3 ms.

    Args:
        sound: [2, t], from the direct sound's onset.
        rate: samples per second.
    """
    direct, early = ((sound[:, int(a * rate) : int(b * rate)] ** 2).mean() for a, b in ((0, 0.003), (0.005, 0.02)))
    octave = sosfiltfilt(butter(3, (707, 1414), "bandpass", fs=rate, output="sos"), sound)
    width = rate // 100
    whole, one_octave = (
        (each[:, : each.shape[1] // width * width].reshape(2, -1, width) ** 2).mean(axis=(0, 2)) + 1e-15
        for each in (sound, octave)
    )
    faint = np.flatnonzero(whole < direct / 1000)
    slope, _ = np.polyfit(np.arange(2, 16) / 100, 10 * np.log10(one_octave[2:16]), 1)
    return {
        "level from 5 to 20 ms, dB": 10 * np.log10(early / direct),
        "time until 10 ms are 30 dB down, s": faint[0] / 100 if faint.size else np.inf,
        "time for 60 dB at 1 kHz, from 20 to 160 ms, s": -60 / slope,
    }


def from_onset(path: Path) -> tuple[np.ndarray, int]:
    """A recording from its direct sound on, and its rate."""
    sound, rate = read_wav(path)
    return sound[:, find_onset(sound) :], rate


def main() -> None:
    """Read, draw and write."""
    genuine, root = Path(sys.argv[1]), Path(sys.argv[2])
    simulated = sorted(root.glob("*/audio/*.wav"))
    chosen = {"genuine": genuine} | {
        f"simulated: {path.stem}": path for path in simulated[:: max(1, len(simulated) // 3)][:3]
    }
    figure = Figure(figsize=(4.2 * len(chosen), 9), layout="constrained")
    axes = figure.subplots(3, len(chosen), sharey="row")
    for column, (name, path) in zip(axes.T, chosen.items(), strict=True):
        sound, rate = from_onset(path)
        for cell, ear, side in zip(column[:2], sound, ("left", "right"), strict=True):
            frequency, time, spectrum = stft(ear[: int(SHOWN * rate)], rate, nperseg=256, noverlap=224)
            level = 20 * np.log10(np.abs(spectrum) + 1e-7)
            cell.pcolormesh(1000 * time, frequency / 1000, level, vmin=-100, vmax=-30, rasterized=True)
            cell.set(title=f"{name}, {side} ear", xlabel="after the direct sound (ms)", ylabel="kHz")
        levels = decay(sound, rate)
        for ear, side in zip(levels, ("left", "right"), strict=True):
            column[2].plot(2 * np.arange(ear.size), ear, label=side, linewidth=1)
        column[2].set(xlim=(0, 380), ylim=(-60, 5), xlabel="after the direct sound (ms)", ylabel="level (dB)")
        column[2].legend()
    with atomic_write(TARGET) as unfinished:
        figure.savefig(unfinished, format="png", dpi=80)
    print(f"written to {TARGET}")
    of_all = [figures(*from_onset(path)) for path in simulated]
    for name, value in figures(*from_onset(genuine)).items():
        low, *middle, high = np.quantile(
            [each[name] for each in of_all], (0.05, 0.25, 0.5, 0.75, 0.95), method="nearest"
        )
        quartiles = ", ".join(f"{quantile:.2f}" for quantile in middle)
        print(f"{name}: genuine {value:.2f}; simulated {quartiles} (quartiles), {low:.2f} to {high:.2f} (nine in ten)")


if __name__ == "__main__":
    main()
