"""Few labels: whole rooms keep their depth, the others are left out or taught by the teacher alone."""

import csv
import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.config import DataConfig
from echodepth.data.datamodule import DepthDataModule
from echodepth.data.dataset import open_dataset
from echodepth.data.label_subset import LabelSubset
from echodepth.data.records import Record
from echodepth.models.checkpoint import DepthModel, save_model
from echodepth.models.run_record import RunRecord
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.writer import simulate
from echodepth.training import train
from echodepth.training.compose import train_config
from tests.roots import v2


def records(rooms: int, poses: int = 3) -> list[Record]:
    return [
        Record(f"{room}_{pose}", "hall", f"room {room:02d}", None, (), None, "list, line 1")
        for room in range(rooms)
        for pose in range(poses)
    ]


def labelled(subset: LabelSubset, listed: list[Record]) -> list[str]:
    """Names of the records that keep their labels."""
    chosen = subset.labelled(listed)
    return [record.name for record in listed if chosen is None or record in chosen]


def rooms_of(names: list[str]) -> set[str]:
    return {name.partition("_")[0] for name in names}


def test_a_tenth_of_the_rooms_keeps_its_labels() -> None:
    names = labelled(LabelSubset(0.1), records(40))
    assert (len(names), len(rooms_of(names))) == (12, 4)
    assert len(labelled(LabelSubset(1.0), records(40))) == 120
    # 2.8 rooms: three whole ones come near enough.
    names = labelled(LabelSubset(0.1), records(28))
    assert (len(names), len(rooms_of(names))) == (9, 3)


@pytest.mark.parametrize(
    ("fraction", "rooms", "poses", "frames", "of_rooms"),
    [
        (0.1, 1, 50, 5, 1),  # a tenth of one room was all of it
        (0.1, 2, 10, 2, 1),
        (0.7, 3, 10, 20, 2),  # two whole rooms, 0.67
        (0.8, 2, 10, 16, 2),
        (0.01, 40, 3, 1, 1),
        (0.001, 1, 2, 1, 1),
        (0.5, 1, 1, 1, 1),
    ],
)
def test_where_whole_rooms_do_not_make_up_the_share_frames_do(
    fraction: float, rooms: int, poses: int, frames: int, of_rooms: int
) -> None:
    names = labelled(LabelSubset(fraction), records(rooms, poses))
    assert (len(names), len(rooms_of(names))) == (frames, of_rooms)


def test_a_large_room_among_small_ones_is_counted_by_its_frames() -> None:
    """A tenth of eleven rooms is one of them; if that is the large one, it has nine tenths of the frames."""
    listed = records(1, 90) + [replace(each, name=f"small {each.name}") for each in records(11, 1)[1:]]
    for seed in range(20):
        assert len(labelled(LabelSubset(0.1, seed), listed)) in range(8, 13)


@pytest.mark.parametrize("poses", [3, 40])
def test_a_smaller_share_is_part_of_a_larger_one_and_the_seed_decides_which(poses: int) -> None:
    listed = records(5, poses) + records(9, 1)[5:]
    shares = [set(labelled(LabelSubset(fraction), listed)) for fraction in np.linspace(0.01, 1.0, 60)]
    assert all(few <= more for few, more in pairwise(shares))
    assert labelled(LabelSubset(0.1), records(40)) != labelled(LabelSubset(0.1, seed=1), records(40))
    assert labelled(LabelSubset(0.1), records(1, 40)) != labelled(LabelSubset(0.1, seed=1), records(1, 40))


def test_the_order_of_the_list_does_not_matter() -> None:
    for listed in (records(40), records(1, 40)):
        assert sorted(labelled(LabelSubset(0.2), listed)) == sorted(labelled(LabelSubset(0.2), listed[::-1]))


def test_without_a_teacher_the_rest_goes_and_with_one_it_stays() -> None:
    for subset, expected in ((LabelSubset(0.25), 2 * 3), (LabelSubset(0.25, keep_rest=True), 8 * 3)):
        assert len(subset.select(records(8), subset.labelled(records(8)))) == expected


def test_shards_are_labelled_by_whole_rooms_or_not_at_all() -> None:
    chosen = LabelSubset(0.25).labelled_rooms(dict.fromkeys("abcd", 10), "shards")
    assert chosen is not None
    assert (len(chosen.rooms), chosen.frames) == (1, frozenset())
    with pytest.raises(
        ConfigError, match=r"no whole rooms of shards come within 10% of 0\.1 of its 40 frames in 1 room"
    ):
        LabelSubset(0.1).labelled_rooms({"a": 40}, "shards")


def test_one_line_says_what_is_labelled_and_validation_has_its_own_share(
    v2_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = DepthDataModule(
        v2(v2_root), ("audio", "depth"), labels=LabelSubset(0.2, keep_rest=True), val_labels=LabelSubset(0.5)
    )
    with caplog.at_level("INFO", logger="echodepth"):
        data.setup("fit")
    assert (len(data.train_set), len(data.val_set), len(data.test_set)) == (6, 2, 6)
    assert [bool(sample["valid"].any()) for sample in data.train_set].count(True) == 1
    assert [record.message for record in caplog.records] == [
        "train: ground truth of 1 of 6 frames (16.7%) in 1 of 2 rooms is used, 1 of them in a room of which the rest "
        "is not",
        "val: ground truth of 2 of 4 frames (50.0%) in 1 of 2 rooms is used",
    ]


@pytest.mark.slow
def test_a_simulated_room_is_a_room_and_a_batvision_location_is_one(tmp_path: Path, v2_root: Path) -> None:
    root = simulate(SimulateConfig(tmp_path / "rooms", rooms=4, poses=2, image_size=16, workers=1))
    simulated = open_dataset(DataConfig("simulated", root, image_size=16), "train", ("depth",))
    assert len({record.room for record in simulated.records}) == len(simulated) // 2
    recorded = open_dataset(v2(v2_root), "train", ("depth",))
    assert {record.room for record in recorded.records} == {"Attic", "Cellar"}


def without_half_the_depth(v2_root: Path, folder: Path) -> tuple[Path, str]:
    """A copy of the root in which the location that the draw leaves unlabelled has no depth files for training."""
    root = folder / "half"
    shutil.copytree(v2_root, root)
    listed = open_dataset(v2(root), "train", ("depth",)).records
    chosen = LabelSubset(0.5).labelled(listed)
    assert chosen is not None
    (unlabelled,) = {"Attic", "Cellar"} - chosen.rooms
    for record in listed:
        if record.room == unlabelled and record.depth is not None:
            record.depth.unlink()
    return root, unlabelled


def test_depth_that_counts_as_unknown_is_never_read(v2_root: Path, tmp_path: Path) -> None:
    root, unlabelled = without_half_the_depth(v2_root, tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        open_dataset(v2(root), "train", ("audio", "depth"))
    dataset = open_dataset(v2(root), "train", ("audio", "depth"), labels=LabelSubset(0.5, keep_rest=True))
    assert len(dataset) == 6
    for sample in (dataset[index] for index in range(6)):
        assert sample["valid"].any() == (not sample["name"].startswith(unlabelled))
        assert sample["valid"].shape == sample["depth"].shape == (1, 32, 32)
        assert sample["depth"][~sample["valid"]].abs().sum() == 0


@pytest.mark.slow
def test_a_teacher_teaches_where_nothing_was_measured(
    v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = without_half_the_depth(v2_root, tmp_path)
    monkeypatch.chdir(tmp_path)
    tiny: dict[str, Any] = {
        **{"data_dir": root, "image_size": 32, "base_channels": 4, "batch_size": 1},
        **{"num_workers": 0, "nb_epochs": 1, "device": "cpu", "label_fraction": 0.5},
    }
    save_model(
        DepthModel(train.model_spec(train_config("rgb", **tiny)), RunRecord(kind="rgb")), Path("checkpoints/rgb/best")
    )
    train.train(train_config("binaural", **tiny, experiment_name="alone"))
    train.train(train_config("distill", **tiny, experiment_name="taught", teacher="rgb"))
    frames, skipped = {}, {}
    for name in ("alone", "taught"):
        frames[name] = json.loads(Path(f"logs/{name}/config.json").read_text())["facts"]["training_frames"]
        with Path(f"logs/{name}/metrics.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        skipped[name] = float(row["train/skipped_batches"])
    assert frames == {"alone": 3, "taught": 6}
    assert skipped == {"alone": 0, "taught": 0}
    assert float(row["train/kd"]) > 0


@pytest.mark.parametrize(
    ("fraction", "message"),
    [
        (0.0, "must be above 0 and up to 1"),
        (1.1, "must be above 0 and up to 1"),
        (float("nan"), "is nan, where a finite"),
    ],
)
def test_a_senseless_share_is_named(fraction: float, message: str, v2_root: Path) -> None:
    for flag in ("label_fraction", "val_label_fraction"):
        with pytest.raises(ConfigError, match=f"--{flag} {message}"):
            train.train(train_config("rgb", data_dir=v2_root, **{flag: fraction}))
