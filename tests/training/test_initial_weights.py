"""``--init``: training that continues a model's weights, with the model's own network, front end and input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from echodepth import cli
from echodepth.core import packaged
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.flags import plain, replace
from echodepth.models.checkpoint import DepthModel, load_depth_model, save_model
from echodepth.models.frontends import FRONT_ENDS
from echodepth.training import train as training
from echodepth.training.compose import train_config
from tests.tiny import save_tiny, save_tiny_rgb

TINY: dict[str, Any] = {"batch_size": 2, "num_workers": 0, "nb_epochs": 1, "device": "cpu", "learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def ears(tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> DepthModel:
    """A working directory with the model ``ears``, whose settings are no defaults."""
    monkeypatch.chdir(tmp_path)
    return save_tiny(Path("checkpoints/ears"), v2_root, network="light", uncertainty=True, audio_start="zero")


def weights(source: str) -> dict[str, torch.Tensor]:
    return load_depth_model(source).network.state_dict()


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_settings_are_those_of_the_model(v2_root: Path, ears: DepthModel) -> None:
    config = train_config("binaural", **TINY, data_dir=v2_root, init="ears")
    flags = plain(config)
    assert (flags["model"], flags["base_channels"], flags["image_size"], flags["max_depth"]) == ("light", 2, 32, 30.0)
    assert (flags["audio_start"], flags["audio_seconds"], flags["uncertainty"]) == ("zero", 0.02, True)
    assert (flags["image_grid"], flags["audio_bins"], flags["pulse_compression"]) == (False, None, False)
    model = training.new_model(config)
    assert model.spec == ears.spec
    assert training.model_spec(config).front_end == ears.front_end.settings | {"name": "echo"}
    assert_equal(model.network.state_dict(), weights("ears"))
    assert model.training
    assert model.run.flags["init"] == "ears"


def test_one_step_equals_a_step_from_weights_loaded_by_hand(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = train_config("binaural", **TINY, data_dir=v2_root, init="ears", experiment_name="tuned")
    training.train(config)
    by_hand = training.new_model(replace(config, init=None))
    by_hand.network.load_state_dict(weights("ears"))
    monkeypatch.setattr(training, "new_model", lambda config: by_hand)
    training.train(replace(config, init=None, experiment_name="by_hand"))
    assert_equal(weights("checkpoints/tuned/epoch_0001.pth"), weights("checkpoints/by_hand/epoch_0001.pth"))
    changed = weights("checkpoints/tuned/epoch_0001.pth")
    assert any(not torch.equal(tensor, changed[name]) for name, tensor in weights("ears").items())
    assert "- fine-tuned from: ears" in Path("checkpoints/tuned/best/README.md").read_text()


@pytest.mark.slow
def test_a_resumed_run_ends_as_an_uninterrupted_one(v2_root: Path) -> None:
    network = {"model": "light", "image_size": 32, "base_channels": 2, "audio_bins": 16, "audio_frames": 64}
    begun = training.new_model(train_config("binaural", **TINY, **network, data_dir=v2_root, audio_seconds=0.02))
    save_model(begun, Path("checkpoints/begun/best"))
    flags = TINY | {"data_dir": v2_root, "init": "begun", "nb_epochs": 2, "save_frequency": 1}
    training.train(train_config("binaural", **flags, experiment_name="whole"))
    training.train(train_config("binaural", **flags, experiment_name="resumed"))
    Path("checkpoints/resumed/epoch_0002.pth").unlink()
    again = train_config("binaural", **flags, experiment_name="resumed", checkpoints=1)
    training.train(again)
    assert_equal(weights("checkpoints/whole/epoch_0002.pth"), weights("checkpoints/resumed/epoch_0002.pth"))
    with pytest.raises(CheckpointError, match="was trained with --init begun, not None"):
        training.train(replace(again, init=None, nb_epochs=3))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"base_channels": 4}, "--base_channels 4 contradicts --init ears, which has 2"),
        ({"model": "unet_baseline"}, "--model unet_baseline contradicts --init ears, which has light"),
        ({"image_size": 64}, "--image_size 64 contradicts --init ears, which has 32"),
        ({"max_depth": 12.0}, r"--max_depth 12\.0 contradicts --init ears, which has 30\.0"),
        ({"audio_start": "onset"}, "--audio_start onset contradicts --init ears, which has zero"),
        ({"audio_bins": 16}, "--audio_bins 16 contradicts --init ears, which has None"),
        ({"chirp": Path("a.wav")}, r"--chirp a\.wav contradicts --init ears"),
    ],
)
def test_a_flag_that_contradicts_is_refused(flags: dict[str, Any], message: str, v2_root: Path) -> None:
    with pytest.raises(ConfigError, match=message + ".*leave out one of the two"):
        train_config("binaural", **TINY, data_dir=v2_root, init="ears", **flags)
    if "model" in flags:
        return
    with pytest.raises(ConfigError, match=message):  # a config that was changed later
        training.new_model(replace(train_config("binaural", **TINY, data_dir=v2_root, init="ears"), **flags))


def test_a_model_of_another_input_is_refused(v2_root: Path) -> None:
    with pytest.raises(ConfigError, match="--init ears takes audio, and the input here is image"):
        train_config("rgb", init="ears")
    with pytest.raises(CheckpointError, match="no model at nobody"):
        train_config("rgb", init="nobody")


def test_the_command_line_takes_the_settings_over(
    v2_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also without its flags being named; a teacher is still required, and the packaged model has its name."""
    save_tiny_rgb(Path("checkpoints/eyes"), v2_root)
    Path("checkpoints/ears/best").rename("echodepth-light")
    monkeypatch.setattr(packaged, "PRETRAINED", Path.cwd())
    common = ["--data_dir", str(v2_root), "--init", "echodepth-light"]
    _, config = cli.parse(["train", "distill", *common, "--teacher", "eyes", "--flip", "False"])
    flags = plain(config)
    assert (flags["model"], flags["image_size"], flags["teacher"], flags["flip"]) == ("light", 32, "eyes", False)
    assert training.new_model(config).run.flags["init"] == "echodepth-light"
    for words in (["train", "distill", *common], ["train", "binaural", *common, "--model", "binaural_attention"]):
        with pytest.raises(SystemExit):
            cli.main(words)
    shown = capsys.readouterr()
    assert "--teacher" in shown.err + shown.out
    assert "--model binaural_attention contradicts --init echodepth-light, which has light" in shown.err
    Path("run.json").write_text(json.dumps({"kind": "distill", "flags": flags}))
    assert plain(cli.parse(["train", "distill", "--config", "run.json"])[1]) == flags
    # The model that a run began from may be gone since.
    Path("run.json").write_text(json.dumps({"kind": "distill", "flags": flags | {"init": "gone"}}))
    with pytest.raises(CheckpointError, match=r"^--config run\.json: no model at gone: give a model folder"):
        cli.parse(["train", "distill", "--config", "run.json"])
    with pytest.raises(CheckpointError, match=r"^no model at lost: give a model folder"):
        cli.parse(["train", "distill", "--config", "run.json", "--init", "lost"])


def test_a_chirp_of_its_own_stays_with_the_model(v2_root: Path, ears: DepthModel) -> None:
    """Its samples are in the model, and no flag can name them."""
    soundfile.write("chirp.wav", np.hanning(64), 44100)
    begun = training.new_model(
        train_config("binaural", **TINY, image_size=32, base_channels=2, chirp=Path("chirp.wav"))
    )
    save_model(begun, Path("checkpoints/own/best"))
    config = train_config("binaural", **TINY, init="own")
    assert plain(config)["pulse_compression"] is True
    assert plain(config)["chirp"] is None
    assert training.new_model(config).spec == begun.spec


@pytest.mark.parametrize("name", FRONT_ENDS.names())
def test_flags_of_a_front_end_give_its_settings(name: str) -> None:
    end = FRONT_ENDS[name]
    kind = "rgb" if end.modality == "image" else "binaural"
    group = train_config(kind, **({"front_end": name} if kind == "binaural" else {})).network
    built = end.from_config(group, 48)
    assert built.flags == {flag: value for flag, value in plain(group).items() if flag in built.flags}
    assert set(built.flags) == set(end.config.__dataclass_fields__)  # type: ignore[attr-defined]


def test_the_licence_of_the_first_data_stays(v2_root: Path) -> None:
    config = train_config("binaural", **TINY, dataset="simulated", data_dir=v2_root, init="ears")
    assert training.new_model(config).run.data_licence == "rooms that echodepth simulated; BatVision V2, CC BY-SA 4.0"
