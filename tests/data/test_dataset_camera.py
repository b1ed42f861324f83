"""The camera of a dataset: its own, that of ``camera.json``, or that of a flag; and in the record of a run."""

import json
import shutil
from pathlib import Path

import pytest

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.data.camera_file import CAMERA_FILE
from echodepth.data.config import DataConfig
from echodepth.data.opening import dataset_camera
from echodepth.data.streaming.index import ShardIndex
from echodepth.data.streaming.writer import shard
from echodepth.training.compose import train_config
from echodepth.training.train import new_model
from tests.configs import shard_config

V2 = FieldOfView(86.0, 57.0)
TUM = {"fx": 525.0, "fy": 525.0, "width": 640, "height": 480}


@pytest.mark.parametrize(
    ("dataset", "camera"), [("batvisionv2", V2), ("simulated", V2), ("batvisionv1", None), ("rgbd", None)]
)
def test_each_dataset_has_its_camera(dataset: str, camera: FieldOfView | None, tmp_path: Path) -> None:
    config = DataConfig(dataset, tmp_path)
    assert dataset_camera(config) == camera
    (tmp_path / CAMERA_FILE).write_text('{"field_of_view_degrees": [70, 45.5]}')
    if dataset != "simulated":  # its settings file says which camera it simulated
        assert dataset_camera(config) == FieldOfView(70.0, 45.5)
    assert dataset_camera(config, (90.0, 60.0)) == FieldOfView(90.0, 60.0)


def test_focal_lengths_give_the_angles(tmp_path: Path) -> None:
    (tmp_path / CAMERA_FILE).write_text(json.dumps(TUM))
    camera = dataset_camera(DataConfig("rgbd", tmp_path))
    assert camera is not None
    assert camera.degrees == pytest.approx((62.73, 49.13), abs=0.01)


def test_a_simulated_set_says_which_camera_it_has(tmp_path: Path) -> None:
    (tmp_path / "simulation.json").write_text('{"conventions": {"field_of_view_degrees": [70, 50]}}')
    assert dataset_camera(DataConfig("simulated", tmp_path)) == FieldOfView(70.0, 50.0)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"fx": 1, "fy": 1, "width": 640}', '{"fx": 0, "fy": 1, "width": 6, "height": 4}']
    + [f'{{"field_of_view_degrees": {angles}}}' for angles in ("86", "[86]", "[86, 180]", '["a", 57]')],
)
def test_a_file_that_is_no_camera_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / CAMERA_FILE).write_text(content)
    with pytest.raises(DataError, match=r"camera\.json is no camera .*: write .*field_of_view_degrees"):
        dataset_camera(DataConfig("batvisionv2", tmp_path))


def test_shards_keep_the_camera_of_their_dataset(v2_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "own"
    shutil.copytree(v2_root, root)
    (root / CAMERA_FILE).write_text('{"field_of_view_degrees": [70, 45.5]}')
    shard(shard_config(data_dir=root, out=tmp_path / "shards", workers=1, splits=("val",)))
    assert dataset_camera(DataConfig(data_dir=tmp_path / "shards")) == FieldOfView(70.0, 45.5)
    # An index from before it held a camera.
    index = json.loads((tmp_path / "shards" / "index.json").read_text())
    del index["field_of_view_degrees"], index["seal"]
    assert ShardIndex.from_json(json.dumps(index), "index.json").field_of_view is None


def test_a_run_records_the_camera_of_its_data(v2_root: Path, tmp_path: Path) -> None:
    flags = {"data_dir": v2_root, "image_size": 32, "base_channels": 2}
    assert new_model(train_config("rgb", **flags)).run.field_of_view == V2
    given = new_model(train_config("rgb", **flags, field_of_view=(70.0, 45.0))).run
    assert given.field_of_view == FieldOfView(70.0, 45.0)
    assert "field_of_view" not in {**given.flags, **given.data}  # it does not change the weights
    with pytest.raises(ConfigError, match="--field_of_view: a field of view of 70 x 190 degrees: give two angles"):
        new_model(train_config("rgb", **flags, field_of_view=(70.0, 190.0)))
