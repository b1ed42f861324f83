"""One flipped bit in a model once gave other weights, and no message."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from echodepth.core.errors import CheckpointError
from echodepth.core.integrity import seal_file
from echodepth.models.checkpoint import load_depth_model, read_checkpoint
from tests.damage import BROKEN, damaged, flip, refusal, require_refused, restored
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Path:
    """A saved model; tests restore what they damage."""
    home = tmp_path_factory.mktemp("models") / "ears"
    save_tiny(home, v2_root)
    return home / "best"


def checkpoint(folder: Path, path: Path) -> Path:
    model = load_depth_model(folder)
    parts = {"model_spec": vars(model.spec), "run": model.run.to_plain(), "format": 2}
    torch.save({**parts, "model_state_dict": model.network.state_dict()}, path)
    return path


def test_damaged_weights_are_refused(folder: Path) -> None:
    sound = torch.randn(1, 2, 882)
    before = load_depth_model(folder)(sound)
    assert require_refused(folder / "model.safetensors", lambda: load_depth_model(folder), 40) == 40 + len(BROKEN)
    assert torch.equal(load_depth_model(folder)(sound), before)


def test_a_damaged_checkpoint_is_refused(folder: Path, tmp_path: Path) -> None:
    path = checkpoint(folder, tmp_path / "epoch_0002.pth")
    seal_file(path)
    before = read_checkpoint(path)["model_state_dict"]
    assert require_refused(path, lambda: read_checkpoint(path), 40) == 40 + len(BROKEN)
    after = read_checkpoint(path)["model_state_dict"]
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_damage_to_the_description_of_a_network_is_refused_and_to_its_record_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The record of the training may be edited; network, arguments and front end belong to the weights."""
    path, whole = folder / "config.json", load_depth_model(folder)
    with restored(path) as data:
        start_of_record = data.index(b'"run"')
        for kind, spoilt in damaged(data, 60):
            path.write_bytes(spoilt)
            caplog.clear()
            try:
                model = load_depth_model(folder)
            except CheckpointError as error:
                assert "best" in str(error)  # noqa: PT017
                continue
            assert kind.startswith("bit")
            assert int(kind.split()[1]) // 8 > start_of_record
            assert model.spec == whole.spec
            assert "the record of the training was edited, or is damaged" in caplog.text
    assert load_depth_model(folder).spec == whole.spec


def test_weights_are_those_that_the_config_was_saved_with(folder: Path, tmp_path: Path) -> None:
    """Files of two models, each of them whole."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    weights = load_file(copy / "model.safetensors")
    weights["head.conv.bias"] = weights["head.conv.bias"] + 1
    save_file(weights, copy / "model.safetensors")
    message = refusal(lambda: load_depth_model(copy))
    assert message == (
        f"{copy}/model.safetensors is damaged, its contents differ from their sha256: copy the model again from where "
        "it came, or train it again"
    )


def test_an_edited_config_says_how_to_keep_the_edit(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    config["arguments"]["max_depth"] = 20.0
    (copy / "config.json").write_text(json.dumps(config))
    assert "if the change is yours, delete its entry 'seal'" in refusal(lambda: load_depth_model(copy))
    del config["seal"]
    (copy / "config.json").write_text(json.dumps(config))
    assert load_depth_model(copy).max_depth == 20.0


def test_a_model_of_another_program_is_read_with_a_warning(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    for part in (config, config["run"]):
        del part["seal"]
    (copy / "config.json").write_text(json.dumps(config))
    sound = torch.randn(1, 2, 882)
    assert torch.equal(load_depth_model(copy)(sound), load_depth_model(folder)(sound))
    assert torch.equal(load_depth_model(copy)(sound), load_depth_model(folder)(sound))
    assert caplog.text.count("model.safetensors holds no sha256") == 1


def test_a_checkpoint_of_another_program_has_the_checksums_of_its_archive(folder: Path, tmp_path: Path) -> None:
    path = checkpoint(folder, tmp_path / "other.pth")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name.endswith(("data/0", "data.pkl"))}
    assert len(parts) == 2
    with restored(path) as data:
        for name, content in parts.items():
            at = data.index(content) + len(content) // 2
            path.write_bytes(flip(data, 8 * at))
            message = refusal(lambda: load_depth_model(path))
            assert message.startswith(f"{path} is damaged, the checksum of its part {name} is another: copy it again")
    assert torch.isfinite(load_depth_model(path)(torch.randn(1, 2, 882))).all()
