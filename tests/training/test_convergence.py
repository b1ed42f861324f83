"""Runs that end once the validation error no longer improves."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core.errors import ConfigError
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.metrics.depth import DepthMetrics
from echodepth.models.checkpoint import DepthModel, load_depth_model
from echodepth.models.run_record import RunRecord
from echodepth.training.compose import train_config
from echodepth.training.config import TrainConfig
from echodepth.training.convergence import converged_after
from echodepth.training.distillation_task import DistillationTask
from echodepth.training.train import model_spec, train

SMALL: dict[str, Any] = {"image_size": 32, "base_channels": 4, "batch_size": 2, "num_workers": 0, "device": "cpu"}


def rgb(root: Path, **flags: Any) -> TrainConfig:
    return train_config("rgb", **{**SMALL, "data_dir": root, "experiment_name": "rgb", "save_frequency": 100, **flags})


def curve() -> list[dict[str, str]]:
    with Path("logs/rgb/metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("errors", "min_epochs", "end"),
    [
        # The best of ten is the eighth: two of ten epochs without improvement.
        ([9, 8, 7, 6, 5, 4, 3, 2, 2, 2, 2], 5, 10),
        # From the fifth epoch on, a fifth of the epochs is one.
        ([9, 8, 7, 6, 6, 5], 5, 5),
        ([9, 8, 7, 6, 6, 5], 6, None),
        # An equal error is no improvement, a lower one at the last moment is.
        ([1, 1], 2, 2),
        ([9, 8, 7, 6, 5, 4, 3, 2, 2, 1, 1], 8, None),
    ],
)
def test_a_run_converges_when_a_share_of_its_epochs_brought_nothing(
    errors: list[float], min_epochs: int, end: int | None
) -> None:
    assert converged_after([(epoch, float(error)) for epoch, error in enumerate(errors, 1)], 0.2, min_epochs) == end


def test_a_converged_run_ends_early_with_its_last_epoch_saved(
    v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    compute = DepthMetrics.compute
    monkeypatch.setattr(DepthMetrics, "compute", lambda self: compute(self) | {"rmse": torch.tensor(1.0)})
    train(rgb(v2_root, nb_epochs=50, patience=0.5, min_epochs=2))
    rows = curve()
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert converged_after([(int(row["epoch"]), float(row["val/rmse"])) for row in rows], 0.5, 2) == 2
    assert [path.name for path in Path("checkpoints/rgb").glob("*.pth")] == ["epoch_0002.pth"]


def test_epochs_between_two_validations_have_no_scores(
    v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(rgb(v2_root, nb_epochs=4, val_frequency=2))
    rows = curve()
    assert [bool(row["val/rmse"]) for row in rows] == [False, True, False, True]
    assert load_depth_model("rgb").run.epoch in (2, 4)
    assert all(row["train/loss"] for row in rows)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"patience": 1.0}, "--patience must be a share of the epochs above 0 and below 1, such as 0.2, not 1.0"),
        ({"patience": 0.0}, "--patience must be a share"),
        ({"val_frequency": 3, "nb_epochs": 4}, "--val_frequency must divide --nb_epochs 4"),
        ({"val_frequency": 0}, "--val_frequency must divide"),
        ({"min_epochs": 0}, "--min_epochs must be at least 1"),
    ],
)
def test_lengths_out_of_range_are_refused(flags: dict[str, Any], message: str, v2_root: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        train(rgb(v2_root, **flags))


def test_a_batch_of_one_frame_has_no_wrong_teacher(v2_root: Path) -> None:
    """The last frame of an epoch, alone in its batch, was taught with its own picture: the control was contaminated."""
    teacher = FrozenTeacher(DepthModel(model_spec(rgb(v2_root)), RunRecord(kind="rgb")))
    flags = SMALL | {"data_dir": v2_root, "teacher": "rgb", "shuffle_teacher": True, "attention_levels": ()}
    config = train_config("distill", **flags)
    task = DistillationTask(DepthModel(model_spec(config), RunRecord(kind="distill")), teacher, config)
    torch.manual_seed(0)
    size = task.model.front_end.settings.get("audio_bins"), task.model.front_end.settings.get("audio_frames")
    batch: Any = {
        "name": ["a", "b"],
        "image": torch.rand(2, 3, 32, 32),
        "depth": 1 + torch.rand(2, 1, 32, 32),
        "valid": torch.rand(2, 1, 32, 32) > 0.5,
    }
    prepared = torch.rand(2, 2, size[0] or 32, size[1] or 32)
    one: Any = {name: value[:1] for name, value in batch.items()}
    assert {"kd", "feat"} <= task.losses(prepared, batch).keys()
    alone = task.losses(prepared[:1], one)
    assert not {"kd", "feat"} & alone.keys()
    task.shuffle_teacher = False
    assert {"kd", "feat"} <= task.losses(prepared[:1], one).keys()
