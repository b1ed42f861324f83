"""A genuine BatVision V2 recording against the simulation of its own place: levels over time, and the direct sound.

    python -m benchmarks.genuine_frame ../shared/data/batvision_v2_sample/audio_47.wav

The recording was made 1.33 m in front of a wall. The room below has what its depth map and image show: that wall, a
radiator, two tables and three chairs. What they do not show (the other walls, the ceiling) is assumed; its absorption
gives the decay of the recording at 1 kHz. Single simulations differ by 1.5 to 2 dB, since the signs of scattered sound
are random, so that levels are means over 24 of them.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from echodepth.core.constants import SAMPLE_RATE
from echodepth.data.audio import find_onset, read_wav
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import propagate
from echodepth.simulate.acoustics.recording import record
from echodepth.simulate.acoustics.scattering import draw_patches
from echodepth.simulate.rig import DEFAULT_RIG
from echodepth.simulate.rooms.materials import (
    CEILINGS,
    CHAIR,
    FLOORS,
    GLASS,
    OCTAVES,
    RADIATOR,
    WALLS,
    WOODS,
    Material,
    Vector,
)
from echodepth.simulate.rooms.scene import Block, Pose, Room

WALL_DISTANCE = 1.33
"""Median of the depth map's middle, metres."""
SIZE = (7.0, 5.0, 3.2)  # metres; the robot's distance to the other walls is assumed
SIMULATIONS = 24
WINDOWS = ((2, 5), (5, 10), (7, 10), (10, 20), (20, 50))  # milliseconds after the onset
_DIRECT_MS = 3.0  # duration of the chirp


def frame_pose() -> Pose:
    """The robot in the room, facing the wall."""
    return Pose((SIZE[0] - WALL_DISTANCE, SIZE[1] / 2, DEFAULT_RIG.height), 0.0)


def _box(near: Vector, far: Vector, material: Material, yaw: float = 0.0) -> Block:
    """A block between two corners, in metres forward of the robot, to its left, and above the floor."""
    x, y, _ = frame_pose().position
    centre = [(low + high) / 2 for low, high in zip(near, far, strict=True)]
    half = tuple(abs(high - low) / 2 for low, high in zip(near, far, strict=True))
    return Block((x + centre[0], y + centre[1], centre[2]), (half[0], half[1], half[2]), yaw, (material,) * 6)


def frame_room() -> Room:
    """The place of the recording."""
    panelling, plaster, parquet, tiles, wood = WALLS[4], WALLS[2], FLOORS[0], CEILINGS[1], WOODS[0]
    half = (SIZE[0] / 2, SIZE[1] / 2, SIZE[2] / 2)
    shell = Block(half, half, 0.0, (plaster, panelling, plaster, plaster, parquet, tiles))
    chairs = (
        (_box((0.55, 0.45, 0.42), (0.95, 0.95, 0.46), CHAIR),),
        (
            _box((0.78, -0.29, 0.42), (0.82, -0.13, 0.71), CHAIR),
            _box((0.75, -0.45, 0.38), (1.05, -0.18, 0.42), CHAIR),
        ),
        (
            _box((0.43, -0.42, 0.44), (0.45, -0.18, 0.80), CHAIR, -math.pi / 4),
            _box((0.45, -0.75, 0.38), (0.85, -0.32, 0.42), CHAIR),
        ),
    )
    tables = (
        (
            _box((0.20, 0.38, 0.68), (1.00, 2.00, 0.71), wood),
            _box((0.93, 0.48, 0.02), (0.98, 0.53, 0.68), wood),
        ),
        (_box((0.60, -1.90, 0.68), (1.32, -0.30, 0.71), wood),),
    )
    radiator = (_box((1.03, 0.32, 0.06), (1.27, 1.90, 0.70), RADIATOR),)
    window = (_box((1.30, 0.02, 0.90), (1.33, 1.50, 2.60), GLASS),)
    return Room("office", shell, (*chairs, *tables, radiator, window), ((3.0, 2.5, 3.0),))


def simulated(loudspeaker: Loudspeaker, seed: int) -> Float[np.ndarray, "2 t"]:
    """One recording in the room."""
    rng, room = np.random.default_rng(seed), frame_room()
    arrivals = propagate(room, draw_patches(room, rng), frame_pose(), loudspeaker, rng)
    return record(arrivals, rng)


def energies(recording: Float[np.ndarray, "2 t"]) -> tuple[Float[np.ndarray, " w"], Float[np.ndarray, " o"]]:
    """Mean square in each of ``WINDOWS`` relative to the direct sound's, and the direct sound's share per octave.

    The direct sound is the first 3 ms, the duration of the chirp. The octaves are 250 Hz to 16 kHz.
    """
    sound = recording[:, find_onset(recording) :]

    def cut(start: float, end: float) -> Float[np.ndarray, "2 t"]:
        return sound[:, round(start * SAMPLE_RATE / 1000) : round(end * SAMPLE_RATE / 1000)]

    direct = cut(0, _DIRECT_MS)
    levels = np.array([(cut(*window) ** 2).mean() / (direct**2).mean() for window in WINDOWS])
    power = (np.abs(np.fft.rfft(direct, 8192)) ** 2).sum(axis=0)
    frequency = np.fft.rfftfreq(8192, 1 / SAMPLE_RATE)
    octaves = np.array(
        [power[(frequency >= f / math.sqrt(2)) & (frequency < f * math.sqrt(2))].sum() for f in OCTAVES[1:]]
    )
    return levels, octaves / octaves.sum()


def mean_energies(loudspeaker: Loudspeaker, count: int = SIMULATIONS) -> tuple[np.ndarray, np.ndarray]:
    """`energies` of the room, averaged over simulations."""
    pairs = [energies(simulated(loudspeaker, seed)) for seed in range(count)]
    levels, octaves = (np.mean(values, axis=0) for values in zip(*pairs, strict=True))
    return levels, octaves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path, help="audio_47.wav of BatVision V2's sample")
    recording, _ = read_wav(parser.parse_args().recording)
    rig = Loudspeaker()
    columns = {
        "genuine": energies(recording),
        "simulated": mean_energies(rig),
        "without isolation": mean_energies(replace(rig, isolation=0.0)),
    }
    titles = ["| | " + " | ".join(columns) + " | difference |", "|---|" + "---|" * (len(columns) + 1)]
    print("\n".join(titles))
    names = ([f"{a}-{b} ms, dB" for a, b in WINDOWS], [f"{f:g} Hz, dB" for f in OCTAVES[1:]])
    for part, rows in enumerate(names):
        values = 10 * np.log10([pair[part] for pair in columns.values()])
        for name, row in zip(rows, values.T, strict=True):
            cells = " | ".join(f"{value:.1f}" for value in row)
            print(f"| {name} | {cells} | {row[1] - row[0]:+.1f} |")


if __name__ == "__main__":
    main()
