"""BatVision's two formats: which rows a split has, and what a sample holds."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echodepth.core.errors import DataError
from echodepth.data.config import DataConfig
from echodepth.data.dataset import DepthDataset, mean_depth_map, open_dataset
from echodepth.data.records import Split
from tests.roots import v1, v2, v2_row, write_real_v2_root, write_v1_root, write_v2_root


def names(dataset: DepthDataset) -> list[str]:
    return [record.name for record in dataset.records]


# --- which rows ---


def test_all_locations_are_read_in_order(tmp_path: Path) -> None:
    dataset = open_dataset(v2(write_v2_root(tmp_path, ("Salle_Chevalier", "Attic"))), "val")
    assert names(dataset) == ["Attic/2", "Attic/3", "Salle_Chevalier/2", "Salle_Chevalier/3"]
    assert [record.location for record in dataset.records] == ["Attic"] * 2 + ["Salle_Chevalier"] * 2


def test_chosen_locations_alone_are_read(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("A", "B", "C"))
    assert names(open_dataset(v2(root, locations=("C", "A")), "train")) == ["A/0", "A/1", "C/0", "C/1"]


def test_the_location_left_out_is_tested_whole_and_never_trained_on(tmp_path: Path) -> None:
    config = v2(write_v2_root(tmp_path, ("A", "B", "C"), rows=1), leave_out="B")
    splits: dict[Split, list[str]] = {"train": ["A/0", "C/0"], "val": ["A/1", "C/1"], "test": ["B/0", "B/1", "B/2"]}
    for split, expected in splits.items():
        assert names(open_dataset(config, split)) == expected


def test_a_location_left_out_may_have_no_test_rows_of_its_own(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("A", "B"), rows=1, splits=("train",))
    assert names(open_dataset(v2(root, leave_out="B"), "test")) == ["B/0"]


@pytest.mark.parametrize("flags", [{"locations": ("Attic", "Cave")}, {"leave_out": "Cave"}])
def test_an_unknown_location_is_answered_with_those_there_are(tmp_path: Path, flags: dict[str, object]) -> None:
    root = write_v2_root(tmp_path)
    with pytest.raises(DataError, match=r"no location Cave in .*; known: Attic, Salle_Chevalier"):
        open_dataset(v2(root, **flags), "train")


def test_v1_rows_belong_to_their_dated_folder(tmp_path: Path) -> None:
    root = write_v1_root(tmp_path, rows=1)
    train = open_dataset(v1(root), "train")
    assert names(train) == ["2019-04-01/depth_0.npy", "2019-04-02/depth_0.npy"]
    assert [record.location for record in train.records] == ["2019-04-01", "2019-04-02"]
    held_out = open_dataset(v1(root, leave_out="2019-04-02"), "test")
    assert names(held_out) == [f"2019-04-02/depth_{number}.npy" for number in range(3)]
    assert names(open_dataset(v1(root, locations=("2019-04-02",)), "val")) == ["2019-04-02/depth_1.npy"]


def test_a_spreadsheets_mark_spaces_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",))
    table = root / "Attic" / "train.csv"
    text = table.read_text().replace(",audio path", ",  audio path ").replace("\n", "\r\n") + "\r\n"
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert names(open_dataset(v2(root), "train")) == ["Attic/0", "Attic/1"]


def test_a_row_may_stand_in_any_column_order(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",), rows=1)
    cells = v2_row("Attic", 0).split(",")
    header = (root / "Attic/train.csv").read_text().splitlines()[0].split(",")
    (root / "Attic/train.csv").write_text(f"{','.join(reversed(header))}\n{','.join(reversed(cells))}\n")
    assert {*open_dataset(v2(root), "train")[0]} == {"name", "room", "image", "audio", "depth", "valid"}


# --- what a sample holds ---


def test_the_real_instance_is_read_as_it_was_recorded(tmp_path: Path, real_data: Path) -> None:
    sample = open_dataset(DataConfig(data_dir=write_real_v2_root(tmp_path, real_data)), "test")[0]
    assert sample["name"] == "Attic/47"
    assert sample["image"].shape == (3, 256, 256)
    assert 0 <= float(sample["image"].min()) < 0.1 < 0.9 < float(sample["image"].max()) <= 1
    assert sample["depth"].shape == sample["valid"].shape == (1, 256, 256)
    assert 0.35 < float(sample["depth"][sample["valid"]].min()) < 0.4
    assert 15 < float(sample["depth"].max()) < 15.72
    assert float((~sample["valid"]).float().mean()) == pytest.approx(0.217, abs=5e-3)
    assert torch.equal(sample["valid"], sample["depth"] > 0)
    # The cut begins at the chirp's first samples (282 +- 5): quiet at once, loud within a millisecond.
    assert sample["audio"].shape == (2, 7782)
    assert float(sample["audio"][:, 0].abs().max()) < 0.1
    assert float(sample["audio"][:, :44].abs().max()) > 0.4
    assert sample["audio"].dtype == sample["image"].dtype == sample["depth"].dtype == torch.float32


def test_v2_depth_is_metres_and_clipped(tmp_path: Path) -> None:
    dataset = open_dataset(v2(write_v2_root(tmp_path, ("Attic",)), max_depth=2.5), "train")
    sample = dataset[0]  # 2 m at the left, 3 m at the right
    assert float(sample["depth"][0, -1, 0]) == pytest.approx(2.0, abs=0.03)
    assert float(sample["depth"].max()) == 2.5
    assert bool(sample["valid"][0, -1].all())
    assert not bool(sample["valid"].all())


def test_v1_takes_nan_infinity_and_negatives_for_invalid(tmp_path: Path) -> None:
    sample = open_dataset(v1(write_v1_root(tmp_path)), "train")[0]
    # The corner of 24 x 16 broken pixels out of 72 x 128 is a third of the rows and an eighth of the columns.
    corner = sample["valid"][0, -10:, -4:]
    assert not corner.any()
    assert bool(sample["valid"][0, -10:, :-4].any(dim=0).all())
    assert bool(torch.isfinite(sample["depth"]).all())
    assert float(sample["depth"].min()) == 0
    assert sample["audio"].shape == (2, 3112)
    assert float(sample["audio"].abs().max()) == pytest.approx(0.5, abs=0.02)


def test_the_echo_comes_when_its_distance_says(tmp_path: Path) -> None:
    audio = open_dataset(v2(write_v2_root(tmp_path, ("Attic",), rows=1)), "train", ("audio",))[0]["audio"].numpy()
    wall = round(2 * 2.0 / 340 * 44100)  # 2 m away
    heard = [int(np.argmax(np.abs(ear[400:]) > 0.05)) + 400 for ear in audio]
    assert heard[0] == pytest.approx(wall, abs=10)
    assert heard[1] - heard[0] == pytest.approx(20, abs=2)  # the ears' time difference survives the cut


@pytest.mark.parametrize(("start", "first"), [("zero", 0), (100, 100)])
def test_the_cuts_flags_reach_the_audio(tmp_path: Path, start: object, first: int) -> None:
    root = write_v2_root(tmp_path, ("Attic",), rows=1)
    config = v2(root, audio_start=start, audio_seconds=0.1)
    audio = open_dataset(config, "train", ("audio",))[0]["audio"]
    whole, _ = soundfile.read(root / "Attic/audio/audio_0.wav", dtype="float32")
    assert torch.equal(audio, torch.from_numpy(whole.T[:, first : first + 4410].copy()))


def test_files_of_unwanted_parts_need_not_exist(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",), rows=1)
    full = open_dataset(v2(root), "train")[0]
    for path in [*(root / "Attic/camera").iterdir(), *(root / "Attic/depth").iterdir()]:
        path.unlink()
    sample = open_dataset(v2(root), "train", ("audio",))[0]
    assert {*sample} == {"name", "room", "audio"}
    assert sample["name"] == full["name"]
    assert torch.equal(sample["audio"], full["audio"])
    table = root / "Attic/train.csv"
    table.write_text("audio path,audio file name\nAttic/audio/,audio_0.wav\n")
    assert open_dataset(v2(root), "train", ("audio",))[0]["name"] == full["name"]


def test_the_official_protocols_resize_is_asked_for_by_name(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",), rows=1)
    nearest = open_dataset(v2(root, image_size=50), "train", ("depth",))[0]
    bilinear = open_dataset(v2(root, image_size=50), "train", ("depth",), "bilinear")[0]
    assert float(nearest["depth"][nearest["valid"]].min()) >= 2.0
    assert 0 < float(bilinear["depth"][bilinear["valid"]].min()) < 1.9  # 2 m mixed with the hole's 0


def test_the_mean_depth_map_is_the_mean_of_what_is_valid(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",), rows=2)
    for number, millimetres in ((0, [[1000, 0], [3000, 0]]), (1, [[2000, 4000], [5000, 0]])):
        np.save(root / f"Attic/depth/depth_{number}.npy", np.array(millimetres, np.uint16))
    (root / "Attic/audio/audio_0.wav").unlink()
    mean = mean_depth_map(open_dataset(v2(root, image_size=2), "train", ("depth",)))
    assert mean.tolist() == [[[1.5, 4.0], [4.0, 3.0]]]  # never valid: (1 + 3 + 2 + 4 + 5) / 5
