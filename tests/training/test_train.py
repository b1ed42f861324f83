"""Training runs on a tiny set: what they leave behind, how they resume, that flags reach what they name."""

import contextlib
import csv
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from echodepth.core.errors import CheckpointError, ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.core.flags import replace
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.models.checkpoint import DepthModel, load_depth_model, save_model
from echodepth.models.networks.rgb_depth import create_rgb_depth_model
from echodepth.models.run_record import RunRecord
from echodepth.training import train as training
from echodepth.training.compose import train_config
from echodepth.training.config import DistillConfig, TrainConfig
from echodepth.training.depth_task import learning_rate_factor
from echodepth.training.distillation_task import DistillationTask

TINY: dict[str, Any] = {
    "image_size": 32,
    "base_channels": 4,
    "batch_size": 2,
    "num_workers": 0,
    "nb_epochs": 1,
    "learning_rate": 1e-3,
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rgb(root: Path, **flags: Any) -> TrainConfig:
    return train_config("rgb", **{**TINY, "data_dir": root, "experiment_name": "rgb", **flags})


def binaural(root: Path, **flags: Any) -> TrainConfig:
    return train_config("binaural", **{**TINY, "data_dir": root, "experiment_name": "ears", **flags})


def distil(root: Path, teacher: str = "rgb", **flags: Any) -> DistillConfig:
    return train_config(
        "distill", **{**TINY, "data_dir": root, "teacher": teacher, "experiment_name": "taught", **flags}
    )


def train(config: TrainConfig) -> DepthModel:
    return load_depth_model(training.train(config))


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrainConfig], Path]:
    """A config to the folder of its run, which is trained once and read only."""

    @functools.cache
    def train_once(config: TrainConfig) -> Path:
        folder = tmp_path_factory.mktemp("run")
        with contextlib.chdir(folder):
            training.train(config)
        return folder

    return train_once


@pytest.fixture
def have_run(run_of: Callable[[TrainConfig], Path]) -> Callable[[TrainConfig], None]:
    """Copies a finished run without a teacher into the test's folder, for tests of what comes after training."""

    def copy(config: TrainConfig) -> None:
        assert not isinstance(config, DistillConfig), "its weights depend on the teacher of that name, too"
        shutil.copytree(run_of(config), ".", dirs_exist_ok=True)

    return copy


def last_weights(experiment: str, epoch: int) -> dict[str, Tensor]:
    checkpoint = torch.load(f"checkpoints/{experiment}/epoch_{epoch:04d}.pth", weights_only=True)
    weights: dict[str, Tensor] = checkpoint["model_state_dict"]
    return weights


def assert_bit_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def curve(experiment: str) -> list[dict[str, str]]:
    with Path(f"logs/{experiment}/metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        {"scheduler": "cosine", "optimizer": "AdamW"},
        {"scheduler": "step", "optimizer": "SGD", "spec_masks": 2},
        {"ema_decay": 0.8},
        {"accumulate": 2, "gradient_clip": 1.0, "num_workers": 1},
    ],
    ids=lambda flags: " ".join(flags),
)
def test_a_resumed_run_ends_bit_equal(v2_root: Path, flags: dict[str, Any]) -> None:
    through = train(binaural(v2_root, nb_epochs=4, **flags))
    expected, rows = last_weights("ears", 4), curve("ears")
    for path in (Path("checkpoints/ears/epoch_0004.pth"), Path("results/ears/epoch_0004.png")):
        path.unlink()
    resumed = train(binaural(v2_root, nb_epochs=4, checkpoints=2, **flags))
    assert_bit_equal(last_weights("ears", 4), expected)
    assert curve("ears") == rows
    assert_bit_equal(through.network.state_dict(), resumed.network.state_dict())
    assert through.run.epoch == resumed.run.epoch


@pytest.mark.slow
def test_a_resumed_distillation_ends_bit_equal(v2_root: Path, have_run: Callable[[TrainConfig], None]) -> None:
    have_run(rgb(v2_root, base_channels=6))
    train(distil(v2_root, nb_epochs=4))
    expected = torch.load("checkpoints/taught/epoch_0004.pth", weights_only=True)["state_dict"]
    assert any("projections" in name for name in expected)
    train(distil(v2_root, nb_epochs=4, checkpoints=2))
    assert_bit_equal(torch.load("checkpoints/taught/epoch_0004.pth", weights_only=True)["state_dict"], expected)


@pytest.mark.slow
def test_sigterm_stops_cleanly_and_the_curve_goes_on(v2_root: Path) -> None:
    """A terminated run logs how to resume; resumed, it ends bit-equal to an uninterrupted run."""
    flags = {**TINY, "data_dir": v2_root, "nb_epochs": 16, "save_frequency": 1, "seed": 0, "scheduler": "none"}
    command = [sys.executable, "-m", "echodepth", "train", "rgb", "--experiment_name", "stopped"]
    command += [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    environment = {**os.environ, "PYTHONPATH": str(Path(training.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while not Path("checkpoints/stopped/epoch_0002.pth").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in errors
    assert "saved: resume with --resume auto" in errors
    before = curve("stopped")
    epoch = len(before)
    end = epoch + 2  # without a schedule, the epochs before do not depend on how many were to come
    train(rgb(v2_root, experiment_name="stopped", resume="auto", nb_epochs=end, scheduler="none"))
    assert curve("stopped")[:epoch] == before[:epoch]
    train(rgb(v2_root, experiment_name="through", nb_epochs=end, scheduler="none"))
    assert_bit_equal(last_weights("stopped", end), last_weights("through", end))


def test_a_missing_epoch_lists_those_there_are(v2_root: Path) -> None:
    train(rgb(v2_root, nb_epochs=4))
    with pytest.raises(CheckpointError, match=r"epoch_0050\.pth does not exist; epochs to resume from: 2, 4"):
        train(rgb(v2_root, nb_epochs=60, checkpoints=50))


def test_a_checkpoint_of_another_network_is_refused(v2_root: Path, have_run: Callable[[TrainConfig], None]) -> None:
    have_run(rgb(v2_root))
    with pytest.raises(CheckpointError, match="holds another model"):
        train(rgb(v2_root, nb_epochs=2, checkpoints=1, base_channels=6))


def test_a_run_from_before_a_front_end_setting_is_resumed(
    v2_root: Path, have_run: Callable[[TrainConfig], None]
) -> None:
    """Its checkpoint does not name the setting: the model keeps the default, and another value is refused."""
    have_run(binaural(v2_root))
    path = Path("checkpoints/ears/epoch_0001.pth")
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["model_spec"]["front_end"].pop("spectrogram_antialias") is True
    torch.save(checkpoint, path)
    with pytest.raises(CheckpointError, match="holds another model"):
        train(binaural(v2_root, nb_epochs=2, checkpoints=1, spectrogram_antialias=False))
    assert train(binaural(v2_root, nb_epochs=2, checkpoints=1)).front_end.settings["spectrogram_antialias"] is True


def test_a_finished_run_has_nothing_left_to_do(v2_root: Path, have_run: Callable[[TrainConfig], None]) -> None:
    have_run(rgb(v2_root))
    before = curve("rgb")
    train(rgb(v2_root, checkpoints=1))
    assert curve("rgb") == before


def test_an_older_run_is_not_overwritten_by_accident(v2_root: Path, have_run: Callable[[TrainConfig], None]) -> None:
    have_run(rgb(v2_root))
    with pytest.raises(ConfigError, match="already holds epochs 1: go on with --checkpoints 1, choose another"):
        train(rgb(v2_root))
    train(rgb(v2_root, overwrite=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        {"seed": 1},
        {"learning_rate": 2e-3},
        {"optimizer": "Adam", "weight_decay": 0.5},
        {"optimizer": "SGD"},
        {"weight_decay": 0.5},
        {"scheduler": "none"},
        {"scheduler": "step"},
        {"batch_size": 3},
        {"accumulate": 2},
        {"gradient_clip": 0.01},
        {"ema_decay": 0.5},
        {"bilinear": False},
        {"base_channels": 6},
        {"image_size": 48},
        {"max_depth": 12.0},
        {"flip": False},
        {"color_jitter": 0.0},
        {"criterion": "SILog"},
        {"criterion": "Combined"},
        {"lambda_l1": 0.5},
        {"lambda_smooth": 0.0},
        {"lambda_edge": 0.5},
        {"use_adaptive_loss": True},
        {"locations": ("Attic",)},
        {"label_fraction": 0.5},
        {"label_fraction": 0.5, "label_seed": 1},
        {"precision": "bf16-mixed"},
        {"nb_epochs": 2},
    ],
    ids=str,
)
def test_every_flag_reaches_what_it_names(v2_root: Path, flags: dict[str, Any]) -> None:
    """Loss weights once stood on a command line of this field and never reached the loss."""
    assert_flags_change_the_run(rgb(v2_root), flags)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        {"attention_levels": (5,)},
        {"model": "unet_baseline", "base_channels": 2},
        {"model": "light"},
        {"convolution": "factorized"},
        {"shared_encoder": False},
        {"image_grid": False},
        {"audio_bins": 16},
        {"audio_frames": 64},
        {"audio_range": 5.0},
        {"pulse_compression": False},
        {"spectrogram": "magnitude"},
        {"spectrogram_antialias": False},
        {"binaural_cues": True},
        {"spec_masks": 3},
        {"audio_start": "zero"},
        {"audio_start": 400},
        {"audio_seconds": 0.03},
        {"leave_out": "Attic"},
    ],
    ids=str,
)
def test_every_audio_flag_reaches_what_it_names(v2_root: Path, flags: dict[str, Any]) -> None:
    assert_flags_change_the_run(binaural(v2_root), flags)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        {"lambda_kd": 0.0},
        {"kd_loss": "silog"},
        {"kd_loss": "mse"},
        {"kd_where": "unmeasured"},
        {"lambda_kd_edge": 0.5},
        {"lambda_rank": 0.5},
        {"lambda_feat": 0.0},
        {"feature_levels": ("x1",)},
        {"feature_distance": "squared"},
        {"feature_distance": "hinge"},
        {"lambda_align": 0.5},
        {"lambda_align": 0.5, "align_levels": ("x5",)},
        {"lambda_attention": 0.5},
        {"lambda_affinity": 0.5},
        {"lambda_contrast": 0.5},
        {"kd_schedule": "warmup"},
        {"shuffle_teacher": True},
        {"label_fraction": 0.5},
        {"teacher": "other"},
        {"teacher_align": "scale"},
        {"pseudo_labels": False},
    ],
    ids=str,
)
def test_every_distillation_flag_reaches_what_it_names(v2_root: Path, flags: dict[str, Any]) -> None:
    for seed, name in enumerate(("rgb", "other")):
        save_model(untrained_teacher(v2_root, seed), Path("checkpoints") / name / "best")
    assert_flags_change_the_run(distil(v2_root), flags)


def untrained_teacher(root: Path, seed: int) -> DepthModel:
    torch.manual_seed(seed)
    return DepthModel(training.model_spec(rgb(root)), RunRecord(kind="rgb"))


@functools.cache
def weights_without_the_flag(config: TrainConfig) -> dict[str, Tensor]:
    train(config)
    return last_weights(config.experiment_name, config.optimisation.nb_epochs)


def assert_flags_change_the_run(config: TrainConfig, flags: dict[str, Any]) -> None:
    changed = replace(config, experiment_name="changed", **flags)
    train(changed)
    plain, other = weights_without_the_flag(config), last_weights("changed", changed.optimisation.nb_epochs)
    assert plain.keys() != other.keys() or any(
        plain[name].shape != tensor.shape or not torch.equal(plain[name], tensor) for name, tensor in other.items()
    )


def test_learning_rates_are_worked_out_by_hand() -> None:
    assert [learning_rate_factor("none", p) for p in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]
    assert [learning_rate_factor("cosine", p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    assert [learning_rate_factor("step", p) for p in (0.0, 0.4, 0.7, 1.0)] == pytest.approx([1, 0.1, 0.01, 0.01])


@pytest.mark.slow
def test_the_teacher_is_not_moved_by_a_run_nor_saved_with_the_student(
    v2_root: Path, have_run: Callable[[TrainConfig], None]
) -> None:
    have_run(rgb(v2_root))
    folder = Path("checkpoints/rgb/best")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    student = train(distil(v2_root, nb_epochs=2, ema_decay=0.9))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert type(student.network).__name__ == "BinauralAttentionDepthNet"
    checkpoint = torch.load("checkpoints/taught/epoch_0002.pth", weights_only=True)
    assert not any("teacher" in name for name in checkpoint["state_dict"])
    assert student(torch.randn(1, 2, 8000)).shape == (1, 1, 32, 32)
    assert student.run.teacher == "rgb"


def test_the_optimiser_never_sees_the_teacher(v2_root: Path, have_run: Callable[[TrainConfig], None]) -> None:
    have_run(rgb(v2_root))
    config = distil(v2_root)
    teacher = FrozenTeacher.load("rgb")
    task = DistillationTask(DepthModel(training.model_spec(config)), teacher, config)
    own = {id(p) for p in task.parameters()}
    assert not own & {id(p) for p in teacher.model.parameters()}


@pytest.mark.slow
def test_a_student_starts_from_the_same_weights_with_a_teacher_and_without(
    v2_root: Path, have_run: Callable[[TrainConfig], None]
) -> None:
    have_run(rgb(v2_root, base_channels=6))
    train(binaural(v2_root, learning_rate=0.0))
    train(distil(v2_root, learning_rate=0.0))
    alone, taught = last_weights("ears", 1), last_weights("taught", 1)
    learnt = [name for name in alone if "running" not in name and "num_batches" not in name]
    assert_bit_equal({name: alone[name] for name in learnt}, {name: taught[name] for name in learnt})


@pytest.mark.slow
def test_a_checkpoint_file_can_teach(v2_root: Path, have_run: Callable[[TrainConfig], None]) -> None:
    have_run(rgb(v2_root))
    train(distil(v2_root, experiment_name="by_file", teacher="checkpoints/rgb/epoch_0001.pth"))
    train(distil(v2_root, experiment_name="by_name", teacher="rgb"))
    assert_bit_equal(last_weights("by_file", 1), last_weights("by_name", 1))


def test_a_missing_teacher_is_an_error(v2_root: Path) -> None:
    with pytest.raises(CheckpointError, match="no model at nobody"):
        train(distil(v2_root, teacher="nobody"))


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


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"batch_size": 0}, "--batch_size must be at least 1, not 0"),
        ({"nb_epochs": 0}, "--nb_epochs must be at least 1, not 0"),
        ({"base_channels": 0}, "--base_channels must be at least 1, not 0"),
        ({"experiment_name": "../up"}, "--experiment_name '../up': use letters"),
        ({"max_depth": -1.0}, "max_depth"),
    ],
)
def test_a_wrong_flag_is_named(v2_root: Path, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(rgb(v2_root, **flags))


def test_a_device_that_is_not_there_is_named(v2_root: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ConfigError, match="--device cuda: this torch sees no CUDA device"):
        train(rgb(v2_root, device="cuda"))


def test_a_wrong_folder_leaves_an_older_run_alone(
    v2_root: Path, tmp_path: Path, have_run: Callable[[TrainConfig], None]
) -> None:
    have_run(rgb(v2_root))
    with pytest.raises(DataError, match="not found in"):
        train(rgb(tmp_path / "nowhere", overwrite=True))
    with pytest.raises(DataError, match="not found in"):
        train(rgb(tmp_path / "nowhere", experiment_name="new"))
    assert load_depth_model("rgb").run.experiment_name == "rgb"
    assert not Path("checkpoints/new").exists()


@pytest.mark.slow
def test_tensorboard_and_offline_wandb_write_under_logs(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(rgb(v2_root, use_tensorboard=True, use_wandb=True, wandb_project="mine"))
    assert list(Path("logs/rgb/tensorboard").glob("events.out.*"))
    assert list(Path("logs/rgb/wandb").glob("offline-run-*"))
    assert sorted(path.name for path in Path().iterdir()) == ["checkpoints", "logs", "results"]
