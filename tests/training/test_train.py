"""Training runs on a tiny set: what they leave behind, what they need and what they repeat."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core.errors import DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.models.checkpoint import load_depth_model
from echodepth.models.networks.rgb_depth import create_rgb_depth_model
from echodepth.training.config import TrainConfig
from echodepth.training.depth_task import learning_rate_factor
from tests.training.runs import assert_bit_equal, binaural, curve, last_weights, rgb, train


@pytest.mark.pictures
def test_a_run_leaves_what_is_documented_and_nothing_else(v2_root: Path) -> None:
    train(binaural(v2_root, nb_epochs=3, attention_levels=(5,)))
    files = sorted(str(path.relative_to(".")) for path in Path().rglob("*") if path.is_file())
    assert files == [
        "checkpoints/ears/best/README.md",
        "checkpoints/ears/best/config.json",
        "checkpoints/ears/best/model.safetensors",
        "checkpoints/ears/epoch_0002.pth",
        "checkpoints/ears/epoch_0003.pth",
        "logs/ears/config.json",
        "logs/ears/metrics.csv",
        "results/ears/epoch_0002.png",
        "results/ears/epoch_0002_attention.png",
        "results/ears/epoch_0003.png",
        "results/ears/epoch_0003_attention.png",
    ]
    assert [row["epoch"] for row in curve("ears")] == ["1", "2", "3"]
    config = json.loads(Path("logs/ears/config.json").read_text())
    assert config["flags"]["audio_start"] == "onset"
    assert config["facts"]["audio_cut_seconds"] == pytest.approx(2 * 30 / 340)
    assert config["facts"]["parameters"] == sum(t.numel() for t in load_depth_model("ears").network.parameters())
    for saved in ("ears", "checkpoints/ears/epoch_0003.pth"):
        assert load_depth_model(saved).run.field_of_view == FieldOfView(86.0, 57.0)


def test_best_is_the_epoch_with_the_lowest_validation_error(v2_root: Path) -> None:
    model = train(rgb(v2_root, nb_epochs=4, learning_rate=3e-3))
    errors = [float(row["val/rmse"]) for row in curve("rgb")]
    assert model.run.epoch == 1 + errors.index(min(errors))
    assert model.run.validation["rmse"] == pytest.approx(min(errors), rel=1e-5)


def test_the_checkpoint_is_the_original_kind(v2_root: Path, have_run: Callable[[TrainConfig], None]) -> None:
    have_run(rgb(v2_root))
    checkpoint = torch.load("checkpoints/rgb/epoch_0001.pth", weights_only=True)
    teacher = create_rgb_depth_model(base_channels=4, output_size=32)
    teacher.load_state_dict(checkpoint["model_state_dict"])
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(teacher.eval()(image), load_depth_model("checkpoints/rgb/epoch_0001.pth")(image))


def test_the_same_command_twice_gives_the_same_numbers(v2_root: Path) -> None:
    for name in ("first", "second"):
        train(binaural(v2_root, nb_epochs=2, experiment_name=name, spec_masks=2))
    assert_bit_equal(last_weights("first", 2), last_weights("second", 2))
    assert curve("first") == curve("second")


def test_learning_rates_are_worked_out_by_hand() -> None:
    assert [learning_rate_factor("none", p) for p in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]
    assert [learning_rate_factor("cosine", p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    assert [learning_rate_factor("step", p) for p in (0.0, 0.4, 0.7, 1.0)] == pytest.approx([1, 0.1, 0.01, 0.01])


def test_an_echo_network_needs_no_images(v2_root: Path, tmp_path: Path) -> None:
    blind = tmp_path / "blind"
    shutil.copytree(v2_root, blind)
    for camera in blind.glob("*/camera"):
        shutil.rmtree(camera)
    train(binaural(blind))
    train(binaural(v2_root, experiment_name="sighted"))
    assert_bit_equal(last_weights("ears", 1), last_weights("sighted", 1))
    with pytest.raises(DataError):
        train(rgb(blind))


def test_a_batch_without_a_valid_pixel_is_skipped_and_counted(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from echodepth.data.datamodule import DepthDataModule

    transfer = DepthDataModule.on_before_batch_transfer

    def blindfold(self: DepthDataModule, batch: Any, dataloader_idx: int) -> Any:
        if self.trainer is not None and self.trainer.training and self.trainer.global_step == 0:
            batch["valid"] = torch.zeros_like(batch["valid"])
            monkeypatch.setattr(DepthDataModule, "on_before_batch_transfer", transfer)
        return transfer(self, batch, dataloader_idx)

    monkeypatch.setattr(DepthDataModule, "on_before_batch_transfer", blindfold)
    train(rgb(v2_root))
    (row,) = curve("rgb")
    assert float(row["train/skipped_batches"]) == 1
    assert all(torch.isfinite(t).all() for t in last_weights("rgb", 1).values() if t.is_floating_point())


@pytest.mark.slow
def test_tensorboard_and_offline_wandb_write_under_logs(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(rgb(v2_root, use_tensorboard=True, use_wandb=True, wandb_project="mine"))
    assert list(Path("logs/rgb/tensorboard").glob("events.out.*"))
    assert list(Path("logs/rgb/wandb").glob("offline-run-*"))
    assert sorted(path.name for path in Path().iterdir()) == ["checkpoints", "logs", "results"]
