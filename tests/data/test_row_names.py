"""Rows are named by all that tells them apart, and everything that finds rows by their names gets the right ones."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from echodepth.core.errors import DataError
from echodepth.data.cache.prepared import AudioCacheFormat, write_prepared
from echodepth.data.config import DataConfig
from echodepth.data.dataset import list_split, open_dataset
from echodepth.data.opening import open_records
from echodepth.data.records import ALL_MODALITIES, Modality
from echodepth.data.row_names import place, row_name
from echodepth.evaluation.compare import build_comparison
from echodepth.evaluation.config import CompareConfig, ScoringConfig
from echodepth.models.checkpoint import load_depth_model
from tests.roots import v1, v2, write_rgbd_root, write_v1_root, write_v2_root
from tests.tiny import constant, save_tiny


def add_files(root: Path, source: str, target: str, metres: float | None = None) -> None:
    """Copy a file below a root; a depth map becomes one of a single distance."""
    (root / target).parent.mkdir(parents=True, exist_ok=True)
    if metres is None:
        shutil.copyfile(root / source, root / target)
    else:
        np.save(root / target, np.full((24, 40), 1000 * metres, np.uint16))


def write_table(table: Path, rows: list[tuple[str, str, str]]) -> None:
    """A table whose rows are the paths of sound, image and depth map below the root."""
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"{kind} {what}" for kind in ("audio", "camera", "depth") for what in ("path", "file name")])
        for row in rows:
            writer.writerow([part for path in row for part in (f"{path.rpartition('/')[0]}/", path.rpartition("/")[2])])


def two_sessions(root: Path) -> Path:
    """A room recorded on two days, each counted from 0: the wall is at 2 m on Monday and at 6 m on Tuesday."""
    write_v2_root(root, ("Kitchen",), rows=2)
    rows = []
    for day, metres in (("monday", 2.0), ("tuesday", 6.0)):
        for number in range(2):
            paths = [f"Kitchen/{day}/{kind}/{kind}_{number}" for kind in ("audio", "camera", "depth")]
            names = tuple(path + end for path, end in zip(paths, (".wav", ".jpeg", ".npy"), strict=True))
            for name, kind in zip(names, ("audio", "camera", "depth"), strict=True):
                source = f"Kitchen/{kind}/{kind}_{number}{Path(name).suffix}"
                add_files(root, source, name, metres if kind == "depth" else None)
            rows.append(names)
    for split in ("train", "val", "test"):
        write_table(root / f"Kitchen/{split}.csv", rows)  # type: ignore[arg-type]
    return root


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    return v2(two_sessions(tmp_path / "set"))


SESSIONS = {"Kitchen/monday/0": 2.0, "Kitchen/monday/1": 2.0, "Kitchen/tuesday/0": 6.0, "Kitchen/tuesday/1": 6.0}


@pytest.mark.parametrize("modalities", [("depth",), ("audio",), ("image",), ALL_MODALITIES])
def test_two_days_with_the_same_numbers_are_four_rows(sessions: DataConfig, modalities: tuple[Modality, ...]) -> None:
    records, _ = list_split(sessions, "train", modalities)
    assert [record.name for record in records] == list(SESSIONS)


def test_a_prepared_row_has_its_own_data(sessions: DataConfig) -> None:
    """Rows of one name once shared one row of the arrays."""
    write_prepared(sessions, "train", AudioCacheFormat())
    prepared = open_records(sessions, "train", prepared=(AudioCacheFormat(),))
    assert not prepared.decoder.needs_workers
    for stored, original in zip(prepared, open_dataset(sessions, "train"), strict=True):
        assert stored["depth"].max() == SESSIONS[str(stored["name"])]
        assert (stored["audio"] == original["audio"]).all()
        assert (stored["image"] == original["image"]).all()


def test_arrays_that_were_prepared_under_other_names_are_not_read(
    sessions: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("echodepth.data.batvision_csv.row_name", lambda base, files, location: f"{base}_old")
        write_prepared(sessions, "train", AudioCacheFormat())
    opened = open_records(sessions, "train", prepared=(AudioCacheFormat(),))
    assert opened.decoder.needs_workers
    assert len(opened) == 4


def test_a_comparison_scores_each_row_against_its_own_depth(sessions: DataConfig, tmp_path: Path) -> None:
    """A model that says 4 m is 2 m wrong in every row; rows of one name once gave other figures."""
    root = sessions.root
    save_tiny(tmp_path / "ears", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "echodepth.evaluation.compare.load_depth_model",
            lambda run, device: constant(load_depth_model(run, device), 4.0),
        )
        config = CompareConfig(
            runs=(str(tmp_path / "ears"),), pictures=4, scoring=ScoringConfig(data_dir=root, device="cpu")
        )
        comparison = build_comparison(config)
    row = next(row for row in comparison.rows if row.evaluation.control == "none")
    assert row.means["rmse"] == pytest.approx(2.0, abs=1e-5)
    assert sorted(comparison.frames) == sorted(SESSIONS)
    for name, predictions in comparison.predictions.items():
        (prediction,) = predictions.values()
        assert prediction.ground_truth.max() == SESSIONS[name]


def test_several_chirps_over_one_depth_map_are_rows_of_their_own(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Kitchen",), rows=1)
    rows = [("Kitchen/audio/audio_0.wav", "Kitchen/camera/camera_0.jpeg", "Kitchen/depth/depth_0.npy")]
    for name in ("audio_0_b.wav", "evening/audio_0.wav"):
        add_files(root, "Kitchen/audio/audio_0.wav", f"Kitchen/audio/{name}")
        rows.append((f"Kitchen/audio/{name}", *rows[0][1:]))
    add_files(root, "Kitchen/camera/camera_0.jpeg", "Kitchen/camera/dark.jpeg")
    rows.append((rows[0][0], "Kitchen/camera/dark.jpeg", rows[0][2]))
    write_table(root / "Kitchen/train.csv", rows)
    expected = ["Kitchen/0", "Kitchen/0+audio_0_b", "Kitchen/0+audio-evening-audio_0", "Kitchen/0+image_dark"]
    for modalities in (("audio",), ("image", "depth"), ALL_MODALITIES):
        assert [record.name for record in list_split(v2(root), "train", modalities)[0]] == expected


def test_chirps_of_one_pose_in_batvision_v1(tmp_path: Path) -> None:
    root = write_v1_root(tmp_path, days=("2019",), rows=1)
    for ear in ("left", "right"):
        shutil.copyfile(root / f"2019/{ear}_0.npy", root / f"2019/{ear}_9.npy")
    table = root / "train.csv"
    line = table.read_text().splitlines()[1]
    table.write_text(table.read_text() + line.replace("left_0", "left_9").replace("right_0", "right_9") + "\n")
    names = [record.name for record in list_split(v1(root), "train", ("audio", "depth"))[0]]
    assert names == ["2019/depth_0.npy", "2019/depth_0.npy+audio_9+audio_9"]


def test_two_images_with_one_depth_map_in_an_rgbd_list(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path / "tum")
    lines = (root / "assoc.txt").read_text().splitlines()
    lines[2] = "0.15 rgb/001.png 0.12 depth/000.png"
    (root / "assoc.txt").write_text("\n".join(lines) + "\n")
    config = DataConfig("rgbd", root)
    names = [record.name for record in list_split(config, "train", ("image", "depth"))[0]]
    assert names[:3] == ["depth/000.png+rgb-image_000", "depth/000.png+rgb-image_001", "depth/002.png"]


def test_a_row_that_is_listed_twice_is_named_with_both_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_v2_root(tmp_path, ("Attic",))
    table = root / "Attic/train.csv"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    expected = rf"{table}, line 2 and {table}, line 4: both rows are Attic/0, as .*delete one of them.*--skip_bad"
    with pytest.raises(DataError, match=expected):
        open_dataset(v2(root), "train")
    assert [record.name for record in open_dataset(v2(root, skip_bad=True), "train").records] == ["Attic/0", "Attic/1"]
    assert "1 rows with the name of an earlier row are left out" in caplog.text


KITCHEN = ("Kitchen/audio/audio_0.wav", "Kitchen/camera/camera_0.jpeg", "Kitchen/depth/depth_0.npy")
COLLISIONS: tuple[tuple[Modality, str, str], ...] = (
    ("depth", "Kitchen/depth/depth_0.npy", "Kitchen/depth/0.npy"),
    ("depth", "Kitchen/depth/depth_0.npy", "depth/depth_0.npy"),
    ("depth", "Kitchen/depth/depth_0.npy", "Kitchen/depth_0.npz"),
    ("audio", "Kitchen/a/b/1.wav", "Kitchen/a-b/1.wav"),
    ("audio", "Kitchen/audio/audio_1.wav", "Kitchen/audio/audio_1.flac"),
    ("image", "Kitchen/camera/camera_1.png", "Kitchen/camera/camera_1.jpg"),
)


@pytest.mark.parametrize(("modality", "first", "second"), COLLISIONS)
def test_files_whose_names_collide_are_named(modality: Modality, first: str, second: str, tmp_path: Path) -> None:
    """They were called the same files, with the advice to delete a row."""
    root = write_v2_root(tmp_path, ("Kitchen",), rows=1)
    place = ("audio", "image", "depth").index(modality)
    rows = [(*KITCHEN[:place], name, *KITCHEN[place + 1 :]) for name in (first, second)]
    write_table(root / "Kitchen/train.csv", rows)  # type: ignore[arg-type]
    expected = (
        rf"line 2 and .*line 3: both rows are Kitchen/0.*, though .* is {root}/{first} .* {root}/{second}: .*rename"
    )
    with pytest.raises(DataError, match=expected):
        list_split(v2(root), "train", ALL_MODALITIES)
    other: Modality = "image" if modality == "depth" else "depth"
    read = {"image": "image", "depth": "depth map"}[other]
    with pytest.raises(DataError, match=rf"both rows are .*, as they list the same {read}: .*if those differ"):
        list_split(v2(root), "train", (other,))


def test_the_ear_that_differs_is_named(tmp_path: Path) -> None:
    root = write_v1_root(tmp_path, days=("2019",), rows=1)
    table = root / "train.csv"
    line = table.read_text().splitlines()[1]
    table.write_text(table.read_text() + line.replace("right_0.npy", "right_0.NPY") + "\n")
    with pytest.raises(DataError, match=r"recording of one is \S*right_0\.npy and that of the other \S*right_0\.NPY:"):
        list_split(v1(root), "train", ("audio", "depth"))


def test_an_rgbd_pair_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path / "tum")
    table = root / "assoc.txt"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    with pytest.raises(DataError, match=r"assoc\.txt, line 2 and .*assoc\.txt, line 22: both rows are depth/000\.png"):
        open_dataset(DataConfig("rgbd", root, image_size=32), "train", ("image", "depth"))


@pytest.mark.parametrize(
    ("path", "modality", "expected"),
    [
        ("Kitchen/depth/depth_7.npy", "depth", ("", "7")),
        ("./Kitchen//monday/audio/audio_7.5.wav", "audio", ("monday", "7.5")),
        ("Kitchen/Kitchen/depth_depth_7.npy", "depth", ("Kitchen", "depth_7")),
        ("day/audio/left/left_3.npy", "audio", ("day", "3")),
        ("Kitchen/rgb/3", "image", ("rgb", "3")),
    ],
)
def test_folders_and_prefixes_of_a_kind_tell_nothing_apart(
    path: str, modality: Modality, expected: tuple[str, str]
) -> None:
    assert place(path, modality, "Kitchen") == expected


def test_a_cell_that_is_not_read_cannot_lead_a_name_elsewhere() -> None:
    name = row_name("Kitchen/0", (("depth", "Kitchen/depth/depth_0.npy"), ("audio", "../..\\x/\n1.wav")), "Kitchen")
    assert name == "Kitchen/0+..-..-x-audio_-1"
