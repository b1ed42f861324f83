"""Recordings and flags as they come: tables of latencies, unfit files, and datasets."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from echodepth.apps.calibrate.config import CalibrateConfig
from echodepth.apps.calibrate.recordings import open_source
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import BATVISION_V2
from tests.apps.calibrate.recordings import run


def test_the_latency_is_that_of_the_table_of_record(hidden: Path, quick: None, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "audio_0.wav").write_bytes((hidden / "room_0" / "audio_0.wav").read_bytes())
    assert "recordings.csv" in run(folder, tmp_path / "rig.json")["reasons"]["emission_to_direct_sound_ms"]
    with (folder / "recordings.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["index", "latency ms"], ["0", "104.0"], ["1", "100.0"], ["2", "101.5"]])
    assert run(folder, tmp_path / "rig.json")["measured"]["emission_to_direct_sound_ms"] == 101.5
    (folder / "recordings.csv").write_text("index\n3\n")
    with pytest.raises(DataError, match=r"recordings\.csv is no table of `echodepth record` \(KeyError"):
        run(folder, tmp_path / "rig.json")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"count": 0}, "--count must be at least 1"),
        ({"reference_rooms": 2}, "--reference_rooms must be at least 8"),
        ({"field_of_view": (0.0, 57.0)}, "--field_of_view: a field of view of 0 x 57 degrees: give two angles"),
        ({"dataset": "lidar"}, "lidar"),
    ],
)
def test_a_flag_out_of_range_is_refused(flags: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, tmp_path / "rig.json", **flags)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder: give the root of a dataset, or a folder of WAV files"):
        run(tmp_path / "nowhere", tmp_path / "rig.json")
    with pytest.raises(DataError, match="has neither WAV files nor the lists of a dataset"):
        run(tmp_path, tmp_path / "rig.json")
    soundfile.write(tmp_path / "mono.wav", np.ones(9000), 44100)
    with pytest.raises(DataError, match=r"none of 1 recordings can be used; the first: mono: .* has 1 channel"):
        run(tmp_path, tmp_path / "rig.json")
    assert not (tmp_path / "rig.json").exists()


def test_a_recording_that_cannot_be_used_is_left_out(
    hidden: Path, quick: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "audio_1.wav").write_bytes((hidden / "room_1" / "audio_1.wav").read_bytes())
    soundfile.write(folder / "audio_2.wav", np.random.default_rng(0).normal(0, 1e-3, (20_000, 2)), 44100)
    (folder / "audio_10.wav").write_bytes(b"no sound")
    content = run(folder, tmp_path / "rig.json")
    assert content["measured"]["recordings"] == 1
    assert "left out: audio_2: no direct sound found" in caplog.text
    assert "left out: audio_10: " in caplog.text


def test_datasets_are_opened_by_their_readers(v2_root: Path, tmp_path: Path) -> None:
    source = open_source(CalibrateConfig(v2_root))
    assert source.camera == BATVISION_V2
    assert all(record.audio and record.depth for record in source.records)
    assert len(source.records) == len([*v2_root.rglob("*.wav")])
