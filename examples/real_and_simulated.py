"""Plot a genuine BatVision V2 recording beside simulated ones: spectrograms and energy decay.

    python examples/real_and_simulated.py RECORDING.wav SIMULATED_ROOT

RECORDING.wav is one of V2's audio files, SIMULATED_ROOT a set of `echodepth simulate`. The script writes the plot to
results/real_and_simulated.png, and prints statistics of the genuine recording and of all simulated ones.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.signal import butter, sosfiltfilt, stft

from echodepth.core.atomic_io import atomic_write
from echodepth.data.audio import find_onset, read_wav

PLOT_SECONDS = 0.1  # after the direct sound
TARGET = Path("results") / "real_and_simulated.png"


def decay(sound: np.ndarray, rate: int) -> np.ndarray:
    """Level of each ear in blocks of 2 ms, relative to the first 3 ms of the direct sound, in decibels."""
    width = rate // 500
    blocks = sound[:, : sound.shape[1] // width * width].reshape(2, -1, width)
    direct = (sound[:, : int(0.003 * rate)] ** 2).mean()
    return np.asarray(10 * np.log10((blocks**2).mean(axis=2) / direct + 1e-12))


def statistics(sound: np.ndarray, rate: int) -> dict[str, float]:
    """Level and decay statistics of a room, over both ears, relative to the first 3 ms of the direct sound.

    Args:
        sound: [2, t], from the direct sound's onset.
        rate: samples per second.
    """
    direct, early = ((sound[:, int(a * rate) : int(b * rate)] ** 2).mean() for a, b in ((0, 0.003), (0.005, 0.02)))
    octave = sosfiltfilt(butter(3, (707, 1414), "bandpass", fs=rate, output="sos"), sound)
    width = rate // 100
    broadband, octave_energy = (
        (signal[:, : signal.shape[1] // width * width].reshape(2, -1, width) ** 2).mean(axis=(0, 2)) + 1e-15
        for signal in (sound, octave)
    )
    below = np.flatnonzero(broadband < direct / 1000)
    slope, _ = np.polyfit(np.arange(2, 16) / 100, 10 * np.log10(octave_energy[2:16]), 1)
    return {
        "level from 5 to 20 ms, dB": 10 * np.log10(early / direct),
        "time until 10 ms are 30 dB down, s": below[0] / 100 if below.size else np.inf,
        "time for 60 dB at 1 kHz, from 20 to 160 ms, s": -60 / slope,
    }


def from_onset(path: Path) -> tuple[np.ndarray, int]:
    """Read a recording from the onset of its direct sound on, and its sample rate."""
    sound, rate = read_wav(path)
    return sound[:, find_onset(sound) :], rate


def main() -> None:
    """Plot the recordings and print their statistics."""
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
            frequency, time, spectrum = stft(ear[: int(PLOT_SECONDS * rate)], rate, nperseg=256, noverlap=224)
            level = 20 * np.log10(np.abs(spectrum) + 1e-7)
            cell.pcolormesh(1000 * time, frequency / 1000, level, vmin=-100, vmax=-30, rasterized=True)
            cell.set(title=f"{name}, {side} ear", xlabel="after the direct sound (ms)", ylabel="kHz")
        levels = decay(sound, rate)
        for ear, side in zip(levels, ("left", "right"), strict=True):
            column[2].plot(2 * np.arange(ear.size), ear, label=side, linewidth=1)
        column[2].set(xlim=(0, 380), ylim=(-60, 5), xlabel="after the direct sound (ms)", ylabel="level (dB)")
        column[2].legend()
    with atomic_write(TARGET) as temporary:
        figure.savefig(temporary, format="png", dpi=80)
    print(f"written to {TARGET}")
    simulated_statistics = [statistics(*from_onset(path)) for path in simulated]
    for name, value in statistics(*from_onset(genuine)).items():
        values = [each[name] for each in simulated_statistics]
        low, *quartiles, high = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95), method="nearest")
        listed = ", ".join(f"{quartile:.2f}" for quartile in quartiles)
        print(f"{name}: genuine {value:.2f}; simulated {listed} (quartiles), {low:.2f} to {high:.2f} (nine in ten)")


if __name__ == "__main__":
    main()
