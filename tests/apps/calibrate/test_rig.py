"""The rig of a robot from its recordings: a hidden one recovered, and one genuine recording."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.calibrate import HIDDEN, Row, compare, read_found
from echodepth import cli
from echodepth.apps.calibrate import echoes, fit
from echodepth.apps.calibrate.reference import Reference
from echodepth.core.field_of_view import FieldOfView
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.rig import DEFAULT_RIG, Rig, read_rig
from tests.apps.calibrate.recordings import run


def test_a_hidden_rig_is_recovered_from_eight_recordings(
    hidden: Path, few_rooms: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten recordings, 96 rooms and tighter tolerances are in `python -m benchmarks.calibrate`."""
    monkeypatch.setattr(fit, "simulate_reference", lambda *_: few_rooms)
    monkeypatch.setattr(echoes, "_PASSES", 2)
    content = run(hidden, tmp_path / "rig.json")
    found = read_rig(tmp_path / "rig.json")
    rows = {row.parameter: row for row in compare(HIDDEN, read_found(tmp_path / "rig.json"))}

    def error(name: str) -> float:
        row: Row = rows[name]
        return abs(row.found - row.true)

    for name, tolerance in (("height, m", 0.015), ("pitch, degrees", 1.5), ("isolation, 500 Hz to 8 kHz, dB", 4.0)):
        assert error(name) < tolerance, rows[name]
    assert error("direct sound's level, dB full scale") < 1.5
    assert error("noise level, dB full scale") < 1.5
    assert error("onset, samples") < 12
    assert error("onset jitter, samples") < 10
    assert error("gain spread, dB") < 1
    assert np.median([error(name) for name in rows if name.startswith("noise, ")]) < 1.5
    direct = [error(name) for name in rows if name.startswith("direct sound, ")]
    assert max(direct) < 2.5
    assert np.median(direct) < 0.8
    body = np.array([each.direct_spectrum for each in (HIDDEN, found)])
    between = (body[:, 0] - body[:, 1])[:, 1:6]
    assert np.abs(between[0] - between[1]).max() < 3.5  # of eight rooms, some have more to the left
    assert np.abs(between[0] - between[1]).mean() < 2
    assert content["rig"]["emitter"] is None
    assert "metres forward, left and up" in content["reasons"]["emitter"]
    assert SimulateConfig(tmp_path, rig=tmp_path / "rig.json").robot.height == pytest.approx(0.62, abs=0.015)


def test_the_file_holds_no_path_and_says_what_was_measured(hidden: Path, quick: None, tmp_path: Path) -> None:
    content = run(hidden, tmp_path / "rig.json")
    assert set(content) == {"format", "rig", "standard_errors", "reasons", "measured", "version"}
    text = (tmp_path / "rig.json").read_text()
    assert not any(name in text for name in (str(hidden.parent), "hidden", "room_", "audio_", "rig.json"))
    measured = content["measured"]
    assert [measured[name] for name in ("recordings", "depth_maps", "rooms", "clipped_recordings")] == [8, 8, 8, 0]
    assert 0.2 < measured["decay_time_s"][3] < 3
    assert np.shape(measured["direct_sound_dbfs"]) == (2, 7)
    assert 0 < content["standard_errors"]["height"] < 0.01


def test_the_command_prints_every_field_and_what_is_not_known(
    hidden: Path, quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["calibrate", str(hidden), "--out", str(tmp_path / "own" / "rig.json"), "--count", "2"])
    printed = capsys.readouterr().out
    assert printed.startswith("2 recordings of 2 room(s), 2 depth maps, ")
    assert "camera's height, m                    0.6" in printed
    assert "gain spread, dB                       unknown: a spread takes 3 recordings, not 2\n" in printed
    assert "loudspeaker's place                   unknown: recordings do not tell where" in printed
    for title in ("isolation", "level, dB full scale", "microphones, dB, right", "noise spectrum", "decay time, s"):
        assert title in printed
    assert " Hz, sound decays by less than 15 dB to the noise\n" in printed


def test_reference_rooms_are_those_of_the_robot_and_its_depth_camera(
    hidden: Path, few_rooms: Reference, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing pixels shift the mean distance by some per cent, so that reference views have them too."""
    asked: list[tuple[Rig, int, FieldOfView, float]] = []

    def simulate(*arguments: Any) -> Reference:
        asked.append(arguments)
        return few_rooms

    monkeypatch.setattr(fit, "simulate_reference", simulate)
    for folder, missing in (("exact", 0), ("holes", 5)):
        (tmp_path / folder).mkdir()
        depth = np.load(hidden / "room_0" / "depth_0.npy")
        depth[:, :missing] = 0
        np.save(tmp_path / folder / "depth_0.npy", depth)
        (tmp_path / folder / "audio_0.wav").write_bytes((hidden / "room_0" / "audio_0.wav").read_bytes())
        run(tmp_path / folder, tmp_path / "rig.json", field_of_view=(60.0, 70.0), reference_rooms=9)
    assert [holes for *_, holes in asked] == [0.0, 1.0]
    rig, rooms, crop, _ = asked[0]
    assert rooms == 9
    assert crop.degrees == (60.0, 57.0)
    assert rig.height != DEFAULT_RIG.height
    assert rig.snr == pytest.approx(HIDDEN.snr, abs=3)


@pytest.fixture
def genuine(real_data: Path) -> Path:
    folder = real_data / "batvision_v2_sample"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: it holds BatVision V2's recording, image and depth map number 47")
    return folder


def test_one_genuine_recording_of_batvision(genuine: Path, quick: None, tmp_path: Path) -> None:
    content = run(genuine, tmp_path / "rig.json", field_of_view=(86.0, 57.0))
    rig = content["rig"]
    assert rig["height"] == pytest.approx(0.346, abs=0.01)
    assert abs(rig["pitch"]) < 1.5
    assert rig["direct_rms"] == pytest.approx(0.17, rel=0.2)
    assert rig["onset"] == pytest.approx(283, abs=12)
    assert rig["snr"] == pytest.approx(32, abs=4)
    assert content["measured"]["decay_time_s"][3] == pytest.approx(0.5, abs=0.12)
    assert rig["gain_spread"] is None
    assert rig["onset_jitter"] is None
