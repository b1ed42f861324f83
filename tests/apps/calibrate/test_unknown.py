"""What recordings cannot tell is null, with a reason."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echodepth.simulate.acoustics.recording import background_noise
from echodepth.simulate.rig import DEFAULT_RIG, read_rig
from tests.apps.calibrate.recordings import run, write_recordings
from tests.roots import write_rgbd_root


def test_recordings_without_depth_tell_neither_height_nor_pitch(quick: None, tmp_path: Path) -> None:
    folder = write_recordings(tmp_path / "wav", DEFAULT_RIG, 3, depth=False)
    content = run(folder, tmp_path / "rig.json")
    assert content["rig"]["height"] is None
    assert content["reasons"]["pitch"] == "there are no depth maps"
    assert content["rig"]["isolation"] is not None
    assert content["measured"]["views_described"] == 0


def test_depth_without_a_camera_tells_no_height(hidden: Path, quick: None, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    for name in ("audio_0.wav", "depth_0.npy"):
        (tmp_path / "one" / name).write_bytes((hidden / "room_0" / name).read_bytes())
    content = run(tmp_path / "one", tmp_path / "rig.json")
    assert content["reasons"]["height"].endswith("is not known: give --field_of_view, or camera.json")
    known = run(tmp_path / "one", tmp_path / "rig.json", field_of_view=(86.0, 57.0))
    assert known["rig"]["height"] == pytest.approx(0.62, abs=0.025)
    assert known["standard_errors"]["height"] is None


def test_a_dataset_without_sound_tells_height_and_pitch_alone(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path / "rgbd")
    content = run(root, tmp_path / "rig.json", field_of_view=(90.0, 60.0))
    assert set(content["reasons"].values()) >= {"the dataset has no sound"}
    assert content["rig"]["isolation"] is None
    assert content["measured"]["recordings"] == 0
    assert read_rig(tmp_path / "rig.json").isolation == DEFAULT_RIG.isolation


def test_echoes_below_the_noise_leave_microphones_and_body_untold_apart(quick: None, tmp_path: Path) -> None:
    loud = (-120.0,) * 9 + (0.0,)
    folder = write_recordings(tmp_path / "wav", replace(DEFAULT_RIG, snr=20.0, noise_spectrum=loud), 3)
    content = run(folder, tmp_path / "rig.json")
    spectrum = content["rig"]["direct_spectrum"]
    assert spectrum[0][6] is None
    assert spectrum[0][3] is not None
    assert "at 16000 Hz, echoes are no 3 dB above the noise" in content["reasons"]["direct_spectrum"]


def test_a_value_that_the_simulator_cannot_take_is_null(quick: None, tmp_path: Path) -> None:
    folder = tmp_path / "late"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        audio = background_noise(rng)[:, :16_000]
        audio[:, 9000:9132] += np.sin(np.arange(132))
        soundfile.write(folder / f"{number}.wav", 0.5 * audio.T, 44100)
    content = run(folder, tmp_path / "rig.json")
    assert content["rig"]["onset"] is None
    assert "is outside the simulator's range, 0 to 4410 samples" in content["reasons"]["onset"]


def test_silence_around_the_sound_is_not_taken_for_noise(quick: None, tmp_path: Path) -> None:
    folder = tmp_path / "gated"
    folder.mkdir()
    audio = np.zeros((20_000, 2))
    audio[400:532] = 0.5 * np.sin(np.arange(132))[:, None]
    soundfile.write(folder / "1.wav", audio, 44100)
    content = run(folder, tmp_path / "rig.json")
    assert content["rig"]["snr"] is None
    assert content["reasons"]["snr"].startswith("there is no noise: digital silence")
    assert content["rig"]["isolation"] is None  # there are no echoes either
