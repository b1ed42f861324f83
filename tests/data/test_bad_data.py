"""Bad data: every message names the file, the line and the way out, and skip_bad leaves the row out."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from torch.utils.data import DataLoader

from echodepth.core.errors import ConfigError, DataError, plain_message
from echodepth.data.dataset import open_dataset
from tests.roots import v1, v2, write_v2_root


def test_a_missing_root_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"BatVision V2 not found in .*absent: download.*HYLZNL, or use simulated rooms with --dataset simulated",
    ):
        open_dataset(v2(tmp_path / "absent"), "train")
    with pytest.raises(DataError, match=r"BatVision V1 not found in .*absent: download it from https"):
        open_dataset(v1(tmp_path / "absent"), "train")


def test_a_location_given_as_root_is_told_the_layout(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path)
    with pytest.raises(DataError, match=r"no train\.csv in .*Attic: BatVision V2 is laid out as ROOT/<location>"):
        open_dataset(v2(root / "Attic"), "train")
    with pytest.raises(DataError, match=r"BatVision V1 is laid out as ROOT/train\.csv beside dated folders"):
        open_dataset(v1(root), "train")


def test_a_missing_column_and_an_empty_cell_are_named(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",))
    table = root / "Attic/train.csv"
    good = table.read_text()
    table.write_text(good.replace("audio file name", "wav"))
    with pytest.raises(DataError, match=r"train\.csv has no column 'audio file name'; it has: time, .*wav"):
        open_dataset(v2(root), "train")
    table.write_text(good.replace("depth_1.npy", " "))
    with pytest.raises(DataError, match=r"train\.csv, line 3: column 'depth file name' is empty"):
        open_dataset(v2(root), "train")
    table.write_text(good.replace(",depth_1.npy", ""))
    with pytest.raises(DataError, match=r"train\.csv, line 3: column 'depth file name' is empty"):
        open_dataset(v2(root), "train")


def test_a_split_without_rows_and_a_table_that_is_none_are_errors(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",))
    table = root / "Attic/train.csv"
    table.write_text(table.read_text().splitlines()[0])
    with pytest.raises(DataError, match=r"the train split of .* is empty"):
        open_dataset(v2(root), "train")
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"train\.csv, line 1: the text is not UTF-16: save"):
        open_dataset(v2(root), "train")


def test_a_missing_file_stops_at_once_with_its_row(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",))
    (root / "Attic/audio/audio_1.wav").unlink()
    message = r"Attic/train\.csv, line 3: .*audio_1\.wav does not exist: complete .*--skip_bad"
    with pytest.raises(DataError, match=message):
        open_dataset(v2(root), "train")
    (root / "Attic/depth/depth_1.npy").unlink()
    with pytest.raises(DataError, match=r"does not exist \(and 1 more files are missing\)"):
        open_dataset(v2(root), "train")


def spoil(root: Path, how: str) -> None:
    """Spoils row 1 (line 3 of train.csv) of Attic."""
    audio, depth = root / "Attic/audio/audio_1.wav", root / "Attic/depth/depth_1.npy"
    match how:
        case "truncated wav":
            audio.write_bytes(audio.read_bytes()[:20_000])
        case "48 kHz":
            soundfile.write(audio, soundfile.read(audio)[0], 48000)
        case "silence":
            soundfile.write(audio, np.zeros((20_000, 2)), 44100)
        case "corrupt npy":
            depth.write_bytes(depth.read_bytes()[:1000])
        case "all invalid":
            np.save(depth, np.zeros((72, 128), np.uint16))
        case "metres":
            np.save(depth, np.full((72, 128), 2.5, np.float32))
        case "three channels":
            np.save(depth, np.zeros((72, 128, 3), np.uint16))
        case "corrupt jpeg":
            camera = root / "Attic/camera/camera_1.jpeg"
            camera.write_bytes(camera.read_bytes()[:400])


SPOILT = {
    "truncated wav": r"audio_1\.wav has \d+ samples, but the cut runs from \d+ to \d+",
    "48 kHz": r"audio_1\.wav was recorded at 48000 Hz: resample the dataset to 44100 Hz",
    "silence": r"audio_1\.wav: no direct sound found.*--audio_start zero",
    "corrupt npy": r"depth_1\.npy cannot be read as a NumPy array",
    "all invalid": r"depth_1\.npy has no valid depth at 32x32",
    "metres": r"depth_1\.npy has a median depth of 2\.5 mm, which no room has: .*is it in metres",
    "three channels": r"depth_1\.npy holds uint16 of shape \(72, 128, 3\): a depth map is a 2-D array",
    "corrupt jpeg": r"camera_1\.jpeg cannot be",
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_bad_row_names_its_line_and_file(tmp_path: Path, how: str) -> None:
    root = write_v2_root(tmp_path, ("Attic",))
    spoil(root, how)
    dataset = open_dataset(v2(root), "train")
    assert dataset[0]["name"] == "Attic/0"
    with pytest.raises(DataError, match=rf"^\S*Attic/train\.csv, line 3: .*{SPOILT[how]}"):
        dataset[1]


def test_a_bad_row_in_a_loaders_worker_keeps_its_plain_message(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",))
    spoil(root, "48 kHz")
    dataset = open_dataset(v2(root), "train")
    with pytest.raises(DataError) as alone:
        dataset[1]
    with pytest.raises(DataError) as wrapped:
        list(DataLoader(dataset, batch_size=2, num_workers=1))
    assert "Traceback" in str(wrapped.value)
    assert plain_message(wrapped.value) == str(alone.value)


def test_skip_bad_leaves_bad_rows_out_and_lists_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_v2_root(tmp_path, ("Attic",), rows=4)
    spoil(root, "corrupt npy")
    (root / "Attic/camera/camera_2.jpeg").unlink()
    with caplog.at_level(logging.WARNING, "echodepth.data.dataset"):
        dataset = open_dataset(v2(root, skip_bad=True), "train")
    assert [dataset[index]["name"] for index in range(len(dataset))] == ["Attic/0", "Attic/3"]
    assert len(dataset.bad_rows) == 2
    assert "line 3" in dataset.bad_rows[0]
    assert "depth_1.npy" in dataset.bad_rows[0]
    assert "line 4" in dataset.bad_rows[1]
    assert "camera_2.jpeg" in dataset.bad_rows[1]
    assert "2 of 4 rows are left out" in caplog.text
    assert "depth_1.npy" in caplog.text


def test_skip_bad_with_nothing_good_is_an_error(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",), rows=1)
    (root / "Attic/audio/audio_0.wav").write_text("nothing")
    with pytest.raises(DataError, match=r"none of 1 rows can be used; the first: .*audio_0\.wav"):
        open_dataset(v2(root, skip_bad=True), "train")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"image_size": 0}, "image_size is 0"),
        ({"max_depth": -1.0}, r"max_depth is -1\.0"),
        ({"audio_start": -5}, "audio_start is -5"),
        ({"audio_seconds": 0.0}, r"audio_seconds is 0\.0"),
    ],
)
def test_senseless_settings_are_refused(tmp_path: Path, flags: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_dataset(v2(write_v2_root(tmp_path, ("Attic",), rows=1), **flags), "train")
