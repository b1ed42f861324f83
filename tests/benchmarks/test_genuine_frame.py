"""The simulated robot against BatVision V2's: a genuine recording, and the simulation of its own place."""

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from benchmarks import genuine_frame
from echodepth.core.constants import SAMPLE_RATE
from echodepth.data.audio import read_wav
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.camera.render import depth_map


@pytest.fixture(scope="module")
def sample(real_data: Path) -> Path:
    folder = real_data / "batvision_v2_sample"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: it holds BatVision V2's recording, image and depth map number 47")
    return folder


@pytest.fixture(scope="module")
def genuine(sample: Path) -> Float[ndarray, "2 t"]:
    return read_wav(sample / "audio_47.wav")[0]


def test_levels_and_spectrum_of_the_direct_sound_are_those_of_the_genuine_recording(
    genuine: Float[ndarray, "2 t"],
) -> None:
    """With nothing between loudspeaker and ears, and KEMAR's ear canals, echoes were 5 to 10 dB too weak."""
    of_real, of_simulated = genuine_frame.energies(genuine), genuine_frame.mean_energies(Loudspeaker(), 6)
    levels, octaves = (10 * np.log10(b / a) for a, b in zip(of_real, of_simulated, strict=True))
    assert np.abs(levels).max() < 3, levels
    assert np.abs(octaves).max() < 4, octaves


def test_the_room_has_the_depth_map_of_the_frame(sample: Path) -> None:
    measured = np.load(sample / "depth_47.npy") / 1000
    rows, columns = (np.arange(96) * 2 + 1) * 720 // 192, (np.arange(96) * 2 + 1) * 1280 // 192
    real = measured[np.ix_(rows, columns)]
    simulated = depth_map(genuine_frame.frame_room(), genuine_frame.frame_pose(), 96)
    error = np.abs(simulated - real)[real > 0]
    assert np.median(error) < 0.05
    assert (error < 0.15).mean() > 0.7
    assert float(simulated[48, 48]) == pytest.approx(genuine_frame.WALL_DISTANCE)


def test_energies_of_a_recording_that_is_known() -> None:
    rng = np.random.default_rng(0)
    sound = 1e-5 * rng.standard_normal((2, 8820))
    start = 400
    time = np.arange(132) / SAMPLE_RATE
    sound[:, start : start + 132] += 0.5 * np.sin(2 * np.pi * 2000 * time)
    later = start + round(0.0065 * SAMPLE_RATE)
    sound[:, later : later + 132] += 0.25 * np.sin(2 * np.pi * 2000 * time)
    levels, octaves = genuine_frame.energies(sound)
    named = dict(zip(genuine_frame.WINDOWS, 10 * np.log10(levels), strict=True))
    # A quarter of the energy, spread over 5 ms in place of 3.
    assert named[(5, 10)] == pytest.approx(10 * np.log10(0.25 * 3 / 5), abs=0.2)
    assert named[(20, 50)] < -60
    assert octaves.argmax() == 3
    assert octaves.sum() == pytest.approx(1)
