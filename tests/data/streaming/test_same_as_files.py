"""Shards give what the files give: samples bit by bit, locations, labels, and a run's scores."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echodepth import cli
from echodepth.data.dataset import open_dataset
from echodepth.data.label_subset import LabelSubset
from echodepth.data.opening import open_split
from echodepth.data.records import ALL_MODALITIES, SPLITS, Modality, Split
from echodepth.data.streaming.writer import shard
from tests.configs import shard_config
from tests.data.streaming.shards import as_file, names, settings
from tests.roots import write_rgbd_root, write_v1_root, write_v2_root
from tests.tiny import SECONDS


@pytest.mark.parametrize("kind", ["batvisionv1", "batvisionv2", "rgbd"])
def test_what_comes_out_is_what_the_files_give_bit_by_bit(kind: Any, tmp_path: Path) -> None:
    write: dict[str, Callable[[Path], Path]]
    write = {"batvisionv1": write_v1_root, "batvisionv2": write_v2_root, "rgbd": write_rgbd_root}
    write[kind](tmp_path / "files")
    data: dict[str, Any] = {"dataset": kind, "max_depth": 5.0} | ({"depth_scale": 4000.0} if kind == "rgbd" else {})
    shard(shard_config(data_dir=tmp_path / "files", out=tmp_path / "shards", workers=1, **data))
    modalities: tuple[Modality, ...] = ("image", "depth") if kind == "rgbd" else ALL_MODALITIES
    # Other settings than those that the shards were packed with; their units of depth are the shards' own.
    reading: dict[str, Any] = data | {"image_size": 24, "max_depth": 4.0, "audio_start": "zero", "audio_seconds": 0.05}
    for split in SPLITS:
        of_files = {
            sample["name"]: sample
            for sample in open_dataset(settings(tmp_path / "files", **reading), split, modalities)
        }
        own = {"depth_scale": 1.0} if kind == "rgbd" else {}
        streamed = as_file(tmp_path / "shards", split, modalities, **reading | own)
        assert len(streamed) == len(of_files)
        for sample in streamed:
            truth = of_files.pop(sample["name"])
            assert sample.keys() == truth.keys()
            for part in (*modalities, "valid"):
                assert torch.equal(sample[part], truth[part])  # type: ignore[literal-required]
        assert not of_files


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("flags", [{"locations": ("Attic",)}, {"leave_out": "Attic"}, {}])
def test_locations_are_those_of_the_files(root: Path, shards: Path, split: Split, flags: dict[str, Any]) -> None:
    assert sorted(names(shards, split, **flags)) == sorted(names(root, split, **flags))
    assert len(as_file(shards, split, **flags)) == len(names(root, split, **flags))


@pytest.mark.parametrize("keep_rest", [True, False])
def test_labels_are_those_of_the_files(root: Path, shards: Path, keep_rest: bool) -> None:
    of_both = []
    for place in (root, shards):
        frames = open_split(settings(place), "train", ("depth",), labels=LabelSubset(0.5, 3, keep_rest))
        of_both.append({sample["name"]: int(sample["valid"].sum()) for sample in frames})
        drawn = list(frames.draw_labelled(5, np.random.default_rng(0)))
        assert len(drawn) == 5
        assert all(sample["valid"].any() for sample in drawn)
    assert of_both[0] == of_both[1]
    assert len(of_both[0]) == (24 if keep_rest else 12)


@pytest.mark.slow
def test_a_run_from_shards_is_resumed_and_scored_as_from_files(
    v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seconds = ["--audio_seconds", str(SECONDS)]
    cli.main(["shard", "--data_dir", str(v2_root), "--out", "packed", "--workers", "1", "--shard_mb", "1", *seconds])
    tiny = "--image_size 32 --base_channels 2 --attention_levels 5 --batch_size 2 --num_workers 0 --device cpu"
    train = ["train", "binaural", "--data_dir", "packed", *seconds, *tiny.split(), "--scheduler", "none"]
    cli.main([*train, "--experiment_name", "whole", "--nb_epochs", "2", "--save_frequency", "1"])
    cli.main([*train, "--experiment_name", "parts", "--nb_epochs", "1", "--save_frequency", "1"])
    cli.main([*train, "--experiment_name", "parts", "--nb_epochs", "2", "--checkpoints", "1"])
    whole, modalities = (
        [line.split(",")[2:] for line in Path(f"logs/{name}/metrics.csv").read_text().splitlines()]
        for name in ("whole", "parts")
    )
    assert whole == modalities
    assert len(whole) == 3
    ways = {"shards": [], "files": ["--data_dir", str(v2_root)], "reader": ["--num_workers", "1"]}
    for way, flags in ways.items():
        cli.main(["evaluate", "--checkpoint", "whole", "--device", "cpu", "--out", way, *flags])
    shards, files, reader = (json.loads(Path(way, "evaluate_test_valid.json").read_text()) for way in ways)
    assert shards["counts"] == files["counts"]
    assert shards["counts"]["images"] == 6
    assert shards["metrics"] == reader["metrics"] == pytest.approx(files["metrics"])
    cli.main(["evaluate", "--checkpoint", "whole", "--device", "cpu", "--control", "mean_depth"])
