"""Few labels: whole rooms keep their depth, the others are left out or taught by the teacher alone."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.config import DataConfig
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


def test_a_tenth_of_the_rooms_keeps_its_labels() -> None:
    assert len(LabelSubset(0.1).rooms(records(40))) == 4
    assert len(LabelSubset(0.01).rooms(records(40))) == 1
    assert len(LabelSubset(1.0).rooms(records(40))) == 40


def test_a_smaller_share_is_part_of_a_larger_one_and_the_seed_decides_which() -> None:
    few, more = LabelSubset(0.1).rooms(records(40)), LabelSubset(0.3).rooms(records(40))
    assert few < more
    assert few != LabelSubset(0.1, seed=1).rooms(records(40))


def test_the_order_of_the_list_does_not_matter() -> None:
    assert LabelSubset(0.2).rooms(records(40)) == LabelSubset(0.2).rooms(records(40)[::-1])


def test_without_a_teacher_the_rest_goes_and_with_one_it_stays() -> None:
    assert len(LabelSubset(0.25).select(records(8))) == 2 * 3
    assert len(LabelSubset(0.25, keep_rest=True).select(records(8))) == 8 * 3


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
    (unlabelled,) = {"Attic", "Cellar"} - LabelSubset(0.5).rooms(listed)
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


@pytest.mark.parametrize("fraction", [0.0, 1.1, float("nan")])
def test_a_senseless_share_is_named(fraction: float, v2_root: Path) -> None:
    with pytest.raises(ConfigError, match=r"--label_fraction must be above 0 and up to 1"):
        train.train(train_config("rgb", data_dir=v2_root, label_fraction=fraction))
