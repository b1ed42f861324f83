"""The page "Bring your own": each of its files, outside the package, trains a step through ``--plugin``."""

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from echodepth import Predictor, cli
from echodepth.core.errors import CheckpointError
from echodepth.core.registry import Registry
from echodepth.data.dataset_registry import DATASETS
from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.losses import LOSSES
from echodepth.models.checkpoint import load_depth_model
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.networks import NETWORKS
from tests.conftest import ROOT
from tests.tiny import save_tiny_rgb

PAGE = ROOT / "docs" / "bring_your_own.md"
FILES = dict(re.findall(r"^```python\n# (my_\w+)\.py\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
REGISTRIES: tuple[Registry[Any], ...] = (NETWORKS, FRONT_ENDS, DATASETS, LOSSES, DISTILLATION_LOSSES)
TINY = "--image_size 32 --batch_size 2 --nb_epochs 1 --num_workers 0 --device cpu --audio_seconds 0.02"


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's files in an empty working directory; what they register is taken out again afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, text in FILES.items():
        Path(f"{name}.py").write_text(text)
    before = [(registry, set(registry.names())) for registry in REGISTRIES]
    yield
    for registry, names in before:
        for name in set(registry.names()) - names:
            del registry._entries[name]
    for name in FILES:
        sys.modules.pop(name, None)


def run(plugin: str, command: str, root: Path) -> None:
    cli.main(f"--plugin {plugin} {command} --data_dir {root}".split())


def history(experiment: str) -> dict[str, str]:
    with Path(f"logs/{experiment}/metrics.csv").open(newline="") as file:
        return next(csv.DictReader(file))


def test_each_of_the_five_is_one_file_of_less_than_thirty_lines() -> None:
    assert sorted(FILES) == ["my_dataset", "my_distillation_loss", "my_front_end", "my_loss", "my_network"]
    for name, text in FILES.items():
        code = [line for line in text.splitlines() if line.strip()]
        assert len(code) < 30, (name, len(code))


def test_a_network_is_trained_evaluated_and_loaded(v2_root: Path) -> None:
    run("my_network", f"train binaural --model conv_pair --width 3 --experiment_name mine {TINY}", v2_root)
    saved = json.loads(Path("checkpoints/mine/best/config.json").read_text())
    assert saved["network"] == "conv_pair"
    assert saved["arguments"]["width"] == 3
    run("my_network", "evaluate --checkpoint mine --split val", v2_root)
    label = json.loads(Path("results/mine/evaluate_val_valid.json").read_text())["label"]
    assert label == "two convolutions"
    assert Predictor(load_depth_model("mine")).infer(next((v2_root / "Attic" / "audio").glob("*.wav"))).depth.shape == (
        32,
        32,
    )


def test_a_model_of_a_plugin_that_is_not_loaded_is_refused_by_name(v2_root: Path) -> None:
    run("my_network", f"train binaural --model conv_pair --experiment_name mine {TINY}", v2_root)
    del NETWORKS._entries["conv_pair"]
    with pytest.raises(CheckpointError, match=r"conv_pair.*--plugin MODULE"):
        load_depth_model("mine")


def test_a_front_end_is_saved_with_the_weights_and_its_flag_counts(v2_root: Path) -> None:
    flags = f"--base_channels 2 --attention_levels 5 {TINY}"
    run("my_front_end", f"train binaural --front_end power_law --exponent 0.5 --experiment_name power {flags}", v2_root)
    saved = json.loads(Path("checkpoints/power/best/config.json").read_text())
    assert saved["front_end"] == {"name": "power_law", "image_size": 32, "exponent": 0.5}
    assert load_depth_model("power").front_end.settings == {"image_size": 32, "exponent": 0.5}


def test_a_dataset_is_read_by_its_name(v2_root: Path) -> None:
    flags = f"--base_channels 2 --attention_levels 5 {TINY}"
    run("my_dataset", f"train binaural --dataset numbered --experiment_name numbered {flags}", v2_root)
    facts = json.loads(Path("logs/numbered/config.json").read_text())["facts"]
    assert (facts["training_frames"], facts["validation_frames"]) == (8, 8)


def test_a_loss_is_computed_logged_and_weighted(v2_root: Path) -> None:
    flags = f"--base_channels 2 --attention_levels 5 --lambda_smooth 0 {TINY}"
    run("my_loss", f"train binaural --lambda_berhu 2 --lambda_l1 0 --experiment_name berhu {flags}", v2_root)
    row = history("berhu")
    assert float(row["train/loss"]) == pytest.approx(2 * float(row["train/berhu"]), rel=1e-5)


def test_a_distillation_loss_is_computed_and_logged(v2_root: Path) -> None:
    save_tiny_rgb(Path("checkpoints/rgb"), v2_root)
    flags = f"--base_channels 2 --attention_levels 5 --teacher rgb --lambda_kd 0 --lambda_feat 0 {TINY}"
    run("my_distillation_loss", f"train distill --lambda_mean_depth 3 --experiment_name taught {flags}", v2_root)
    assert float(history("taught")["train/mean_depth"]) > 0


def test_a_flag_of_a_plugin_is_unknown_without_it(v2_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(f"train binaural --lambda_berhu 1 --data_dir {v2_root}".split())
    assert "--lambda_berhu" in capsys.readouterr().err


def test_a_network_whose_depth_has_another_shape_is_named(v2_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ended as "a bug in echodepth", with a traceback out of the loss."""
    text = FILES["my_network"].replace(
        "self.head(self.body(spectrograms), self.output_size)", "self.body(spectrograms)"
    )
    Path("my_network.py").write_text(text)
    with pytest.raises(SystemExit) as stop:
        run("my_network", f"train binaural --model conv_pair --width 3 --experiment_name mine {TINY}", v2_root)
    assert stop.value.code == cli.USER_ERROR
    last = capsys.readouterr().err.splitlines()[-1]
    shapes = "depth of shape (2, 3, 32, 128), where the ground truth has (2, 1, 32, 32): batch, 1, rows, columns"
    assert last == f"echodepth: ConvPair.predict returns {shapes}"


def test_an_error_in_a_plugin_is_not_reported_as_a_bug_of_the_package(
    v2_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("my_loss.py").write_text(FILES["my_loss"].replace("0.2 * torch.where", "torch.when"))
    with pytest.raises(SystemExit) as stop:
        run("my_loss", f"train binaural --lambda_berhu 1 --experiment_name mine {TINY}", v2_root)
    assert stop.value.code == cli.BUG
    *_, error, last = capsys.readouterr().err.splitlines()
    assert error.startswith("AttributeError: module 'torch' has no attribute 'when'")
    assert last.startswith("echodepth: this is a bug in the plugin my_loss, or in echodepth ")


def test_a_student_without_features_says_which_losses_it_cannot_have(
    v2_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default losses compare the decoder's features: it ended in a KeyError."""
    save_tiny_rgb(Path("checkpoints/eyes"), v2_root)
    flags = f"train distill --teacher eyes --student conv_pair --width 3 --experiment_name mine {TINY}"
    with pytest.raises(SystemExit):
        run("my_network", flags, v2_root)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "echodepth: ConvPair predicts depth, but no features to compare: give --lambda_feat 0"
    run("my_network", f"{flags} --lambda_feat 0", v2_root)
    assert json.loads(Path("checkpoints/mine/best/config.json").read_text())["network"] == "conv_pair"
