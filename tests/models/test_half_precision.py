"""Models whose weights are stored in float16: rounded once, computed with in float32, their error stated."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.inference.config import ExportConfig
from echodepth.inference.export import difference, export, trial_inputs
from echodepth.inference.predictor import Predictor
from echodepth.models import hub
from echodepth.models.checkpoint import DepthModel, load_depth_model, save_model
from echodepth.models.run_record import RunRecord
from tests.tiny import save_tiny


@pytest.fixture
def light(tmp_path: Path, v2_root: Path) -> DepthModel:
    """A model whose depth depends on its weights: an untrained head gives nearly one depth everywhere."""
    model = save_tiny(tmp_path / "ears", v2_root, network="light", uncertainty=True)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_model(model, tmp_path / "ears" / "best")
    return model


def test_an_exported_folder_is_half_as_large_and_states_its_error(
    light: DepthModel, tmp_path: Path, v2_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "echodepth")
    config = ExportConfig(str(tmp_path / "ears" / "best"), "safetensors", "fp16", tmp_path / "out", data_dir=v2_root)
    for _ in range(2):  # a second time replaces the first
        folder = export(config)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["ears_fp16"]
    full, half = (load_file(path / "model.safetensors") for path in (tmp_path / "ears" / "best", folder))
    assert full.keys() == half.keys()
    for name, tensor in full.items():  # biases and the vectors of norms stay as they are
        assert half[name].dtype == (torch.float16 if tensor.ndim > 1 else tensor.dtype)
        assert torch.allclose(half[name].double(), tensor.double(), rtol=2**-11, atol=2**-25), name
    sizes = [sum(tensor.nbytes for tensor in weights.values() if tensor.ndim > 1) for weights in (full, half)]
    assert sizes[0] == 2 * sizes[1]
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1  # the weights were readable by their owner alone
    again = load_depth_model(folder)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    assert again.spec == light.spec
    assert again.run == replace(light.run, dtype="float16", dtype_error=again.run.dtype_error)
    assert again.run.dtype_error is not None
    assert 0 < difference(again, light, trial_inputs(light)) <= again.run.dtype_error < 0.05
    stated = f"stored in float16, which changes depth by at most {again.run.dtype_error:.2g} m"
    assert stated in (folder / "README.md").read_text()
    assert "depth changes by at most" in caplog.text


def test_a_loaded_model_keeps_its_format(light: DepthModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published as it was stored; written in float32 again, it is the same model in twice the space."""
    light.run = replace(light.run, dtype="float16")
    save_model(light, tmp_path / "half")
    monkeypatch.setattr(hub, "publish", lambda folder, *_: folder.rename(tmp_path / "hub") and "address")
    Predictor.from_pretrained(tmp_path / "half", "cpu").push_to_hub("me/half")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "hub" / file).read_bytes() == (tmp_path / "half" / file).read_bytes()
    full = export(ExportConfig(str(tmp_path / "half"), "safetensors", "fp32", tmp_path))
    assert load_depth_model(full).run.dtype is None
    assert difference(load_depth_model(full), load_depth_model(tmp_path / "half"), trial_inputs(light)) == 0
    assert {each.dtype for each in load_file(full / "model.safetensors").values()} == {torch.float32, torch.int64}


def test_what_float16_cannot_hold_is_refused(light: DepthModel, tmp_path: Path) -> None:
    light.run = replace(light.run, dtype="float16")
    with torch.no_grad():
        light.network.head.conv.weight.fill_(7e4)
    with pytest.raises(CheckpointError, match=r"head\.conv\.weight has numbers above 65504, the largest of float16"):
        save_model(light, tmp_path / "half")
    assert not (tmp_path / "half").exists()


def test_flags_that_a_folder_has_no_use_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="--precision int8 is made for --format onnx or openvino, not for safetensors"
    ):
        export(ExportConfig("ears", "safetensors", "int8"))
    with pytest.raises(ConfigError, match="--format safetensors holds weights alone"):
        export(ExportConfig("ears", "safetensors", mirror_average=True))


@pytest.mark.parametrize(
    ("entry", "value"),
    [("dtype", "float8"), ("dtype_error", "small"), ("tests", {"rooms": 1}), ("tests", {"a": {"b": "c"}})],
)
def test_a_record_with_other_entries_is_refused(entry: str, value: object, light: DepthModel, tmp_path: Path) -> None:
    path = tmp_path / "ears" / "best" / "config.json"
    config = json.loads(path.read_text())
    config["run"][entry] = value
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=entry):
        load_depth_model(tmp_path / "ears")


def test_the_card_shows_the_figures_of_each_test_set(light: DepthModel, tmp_path: Path) -> None:
    tests = {"unseen rooms": {"rmse": 1.25, "delta1": 0.5}, "another rig": {"rmse": 2.0}}
    light.run = replace(light.run, tests=tests)
    save_model(light, tmp_path / "best")
    card = (tmp_path / "best" / "README.md").read_text()
    assert (
        "| metric | unseen rooms | another rig |\n| --- | --- | --- |\n| rmse | 1.25 | 2 |\n| delta1 | 0.5 |  |" in card
    )
    assert load_depth_model(tmp_path / "best").run.tests == tests
    assert RunRecord().tests == {}


def test_weights_of_float16_without_a_record_are_read_too(light: DepthModel, tmp_path: Path) -> None:
    """The file itself states its format, and so do those of other programs."""
    path = tmp_path / "ears" / "best" / "model.safetensors"
    # As another program writes it, which knows no digests.
    config = json.loads((path.parent / "config.json").read_text())
    del config["seal"]
    (path.parent / "config.json").write_text(json.dumps(config))
    save_file({name: each.half() if each.is_floating_point() else each for name, each in load_file(path).items()}, path)
    assert difference(load_depth_model(tmp_path / "ears"), light, trial_inputs(light)) < 0.05
