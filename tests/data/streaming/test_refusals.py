"""What shards do not hold, and what cannot be done with them, is refused with the way out."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from echodepth import cli
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.demo.examples import find_examples
from echodepth.core.errors import ConfigError, DataError, EchodepthError
from echodepth.data.opening import open_split
from echodepth.data.streaming.index import INDEX
from echodepth.data.streaming.writer import shard
from echodepth.inference.predictor import Predictor
from tests.configs import shard_config
from tests.data.streaming.shards import as_file, settings
from tests.roots import write_rgbd_root
from tests.tiny import save_tiny


@pytest.mark.parametrize(
    ("flags", "error", "message"),
    [
        ({"dataset": "rgbd"}, ConfigError, "holds shards of batvisionv2: give --dataset batvisionv2"),
        ({"skip_bad": True}, ConfigError, "pack them again with `echodepth shard --skip_bad`"),
        ({"locations": ("Moon",)}, DataError, "no location Moon in .*; known: Attic, Salle_Chevalier"),
        ({"leave_out": "Moon"}, DataError, "no location Moon in"),
        ({"image_size": 0}, ConfigError, "image_size is 0"),
        (
            {"data_dir": "s4://bucket/rooms"},
            DataError,
            "s4://bucket/rooms/index.json cannot be read: Protocol not known",
        ),
    ],
)
def test_what_cannot_be_read_is_said(
    shards: Path, flags: dict[str, Any], error: type[EchodepthError], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_split(
            settings(**{"place": shards, **{("place" if k == "data_dir" else k): v for k, v in flags.items()}}), "train"
        )


def test_an_index_of_another_kind_or_version_is_refused(spoilt: Path) -> None:
    index = json.loads((spoilt / INDEX).read_text())
    del index["seal"]
    (spoilt / INDEX).write_text(json.dumps(index | {"version": 9}))
    with pytest.raises(DataError, match="has version 9, and this program reads version 1"):
        as_file(spoilt)
    (spoilt / INDEX).write_text(json.dumps(index)[:200])
    with pytest.raises(DataError, match=r"index\.json is no index of shards"):
        as_file(spoilt)
    del index["splits"]["test"]
    (spoilt / INDEX).write_text(json.dumps(index))
    with pytest.raises(
        DataError, match=r"has no shards of test, only of .*: pack them with `echodepth shard --splits test`"
    ):
        as_file(spoilt, "test")


def test_a_part_that_was_not_packed_is_missed_by_name(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path / "files")
    out = shard(shard_config(dataset="rgbd", data_dir=root, out=tmp_path / "shards", workers=1))
    with pytest.raises(DataError, match=r"the shards of rgbd in .* have no audio"):
        as_file(out, modalities=("audio", "depth"), dataset="rgbd")
    with pytest.raises(ConfigError, match="--dataset rgbd has no locations"):
        as_file(out, dataset="rgbd", locations=("here",))


@pytest.mark.parametrize("words", ["prepare", "shard --out again", "evaluate --checkpoint a --control shuffled_audio"])
def test_what_takes_frames_out_of_order_says_what_to_do(
    shards: Path, tmp_path: Path, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "checkpoints/a", shards)
    for command in (words.split(), ["compare", "a"]):
        with pytest.raises(SystemExit) as stop:
            cli.main([*command, "--data_dir", str(shards)])
        assert stop.value.code == cli.USER_ERROR
        said = capsys.readouterr().err
        assert "read sequentially" in said
        assert "give --data_dir a folder" in said


def test_a_page_for_a_model_from_shards_has_no_examples(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "a", tmp_path, data_dir="s3://bucket/rooms")
    assert find_examples(DemoConfig("a"), [Predictor(model)]) == []


def test_without_webdataset_the_extra_is_named(
    root: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ConfigError, match=r"webdataset, which is not installed: pip install 'echodepth\[stream\]'"):
        as_file(shards)
    with pytest.raises(ConfigError, match=r"pip install 'echodepth\[stream\]'"):
        shard(shard_config(data_dir=root, out=tmp_path / "out"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"shard_mb": 0}, "--shard_mb must be at least 1"),
        ({"workers": 0}, "--workers must be at least 1"),
        ({"leave_out": "Attic"}, "--leave_out: pack all locations"),
        (
            {"data_dir": "https://somewhere/rooms"},
            "https://somewhere/rooms holds shards, which are read",
        ),
    ],
)
def test_senseless_flags_are_refused(root: Path, tmp_path: Path, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shard(shard_config(**{"data_dir": root, "out": tmp_path / "out", **flags}))
