"""Models saved in format 1: two folders as they were written then, with the predictions they made then."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from echodepth.core.errors import CheckpointError
from echodepth.models.checkpoint import DepthModel, load_depth_model, read_checkpoint, save_model
from echodepth.models.format_1 import upgrade_run
from tests.models.golden import DATA, assert_golden, example_image, example_waveform


@pytest.fixture(params=["old_words", "old_rgb"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of format 1; ``old_words`` with full attention, with which its predictions are the same.

    It was saved with attention in a band, which is gone, but its gates had hardly opened.
    """
    return saved_with(request.param, "full", tmp_path)


def saved_with(name: str, attention: str, folder: Path) -> Path:
    """A copy of a folder of format 1, with another attention pattern where it has one."""
    copy = shutil.copytree(DATA / name, folder / name)
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace('"attention": "band"', f'"attention": "{attention}"'))
    return copy


def assert_predicts_as_recorded(model: DepthModel, folder: Path) -> None:
    raw = example_waveform() if model.input_key == "audio" else example_image(3)
    with torch.inference_mode():
        prediction = model.predict(raw)
    assert prediction.uncertainty is not None
    with np.load(folder / "prediction.npz") as recorded:
        assert_golden(prediction.depth[0, 0], recorded["depth"])
        assert_golden(prediction.uncertainty[0, 0], recorded["uncertainty"])


def as_checkpoint(folder: Path) -> dict[str, Any]:
    """The folder as a checkpoint of training, as format 1 wrote it."""
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    spec = {key: config[key] for key in ("network", "arguments", "front_end")}
    state = {f"model.network.{key}": tensor for key, tensor in weights.items()}
    return {"model_spec": spec, "run": config["run"], "model_state_dict": weights, "state_dict": state, "epoch": 2}


def test_a_folder_predicts_as_it_did(folder: Path, tmp_path: Path) -> None:
    model = load_depth_model(folder)
    assert_predicts_as_recorded(model, folder)
    save_model(model, tmp_path / "best")
    assert json.loads((tmp_path / "best" / "config.json").read_text())["format"] == 2
    again = load_depth_model(tmp_path / "best")
    assert (again.spec, again.run) == (model.spec, model.run)
    assert_predicts_as_recorded(again, folder)


def test_a_checkpoint_predicts_as_it_did(folder: Path, tmp_path: Path) -> None:
    torch.save(as_checkpoint(folder), tmp_path / "epoch_0002.pth")
    assert_predicts_as_recorded(load_depth_model(tmp_path / "epoch_0002.pth"), folder)
    state = read_checkpoint(tmp_path / "epoch_0002.pth")["state_dict"]
    assert "model.network.uncertainty_head.conv.weight" in state
    assert not any("scale_head" in key for key in state)


@pytest.mark.parametrize("pattern", ["band", "time", "pooled"])
def test_attention_of_a_removed_pattern_is_refused(pattern: str, tmp_path: Path) -> None:
    folder = saved_with("old_words", pattern, tmp_path)
    torch.save(as_checkpoint(folder), tmp_path / "epoch_0002.pth")
    for path in (folder, tmp_path / "epoch_0002.pth"):
        with pytest.raises(CheckpointError, match=f"{path.name} has {pattern} attention, .* with commit ba0a49b"):
            load_depth_model(path)


def test_every_renamed_word_is_read(tmp_path: Path) -> None:
    model = load_depth_model(saved_with("old_words", "full", tmp_path))
    assert model.spec.arguments["convolution"] == "factorized"
    assert model.spec.front_end == {
        **{"name": "echo", "image_size": 32, "spectrogram": "log", "binaural_cues": True},
        **{"n_fft": 512, "win_length": 64, "hop_length": 16, "spectrogram_antialias": True},
        **dict.fromkeys(("audio_bins", "audio_frames", "audio_range", "chirp")),
    }
    flags = model.run.flags
    renamed = {name: flags[name] for name in ("pseudo_labels", "shuffle_teacher", "binaural_cues", "convolution")}
    assert renamed == {
        **{"pseudo_labels": True, "shuffle_teacher": False, "binaural_cues": True, "convolution": "factorized"}
    }
    assert flags["feature_distance"] == "cosine"
    assert not {"fill_labels", "wrong_pairs", "cues", "attention"} & flags.keys()
    assert "depth_scale" not in model.run.data
    assert model.run.data["dataset"] == "simulated"
    assert (model.run.teacher, model.run.epoch) == ("old_rgb", 1)
    assert load_depth_model(DATA / "old_rgb").spec.front_end == {"name": "image", "image_size": 32}


def test_the_depth_unit_of_rgbd_frames_is_kept() -> None:
    run = {"data": {"dataset": "rgbd", "depth_scale": 1000.0}, "flags": {"feature_distance": "margin"}}
    assert upgrade_run(run) == {**run, "flags": {"feature_distance": "hinge"}}
    assert upgrade_run(upgrade_run(run)) == upgrade_run(run)


@pytest.mark.parametrize("kind", ["folder", "checkpoint"])
def test_a_later_format_is_refused(kind: str, tmp_path: Path) -> None:
    if kind == "folder":
        save_model(load_depth_model(DATA / "old_rgb"), tmp_path / "best")
        config = tmp_path / "best" / "config.json"
        config.write_text(config.read_text().replace('"format": 2', '"format": 3'))
    else:
        torch.save({**as_checkpoint(DATA / "old_rgb"), "format": 3}, tmp_path / "best")
    with pytest.raises(CheckpointError, match="has format 3; this version of echodepth reads 1 to 2"):
        load_depth_model(tmp_path / "best")
