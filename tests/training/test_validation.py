"""Training told something wrong, or going wrong: each ends in words, and costs no older run."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.models.checkpoint import load_depth_model
from tests.training.runs import binaural, curve, distil, rgb, train


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"image_size": 8}, "--image_size must be at least 16, not 8"),
        ({"learning_rate": -1.0}, "--learning_rate must be at least 0, not -1"),
        ({"learning_rate": float("nan")}, "--learning_rate is nan, where a finite number belongs"),
        ({"weight_decay": -1.0}, "--weight_decay must be at least 0"),
        ({"gradient_clip": -1.0}, "--gradient_clip must be at least 0"),
        ({"lambda_l1": float("inf")}, "--lambda_l1 is inf, where a finite number belongs"),
        ({"ema_decay": 1.5}, "--ema_decay must be from 0 to below 1"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"seed": 2**32}, "--seed must be at most 4294967295"),
        ({"strategy": "dpp"}, "--strategy dpp: Lightning has no such strategy"),
        ({"image_size": 31, "batch_size": 1}, "an input of 31x31 ends in maps of a single pixel"),
    ],
    ids=str,
)
def test_a_flag_out_of_range_is_named_before_anything_is_written(
    v2_root: Path, flags: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(rgb(v2_root, **flags))
    assert not list(Path().iterdir())


def test_a_flag_of_the_ears_out_of_range_is_named(v2_root: Path) -> None:
    with pytest.raises(ConfigError, match="--spec_masks must be at least 0"):
        train(binaural(v2_root, spec_masks=-1))
    for flags in ({"convolution": "factorized"}, {"shared_encoder": True}):
        with pytest.raises(ConfigError, match=f"--{next(iter(flags))}: there is no such flag here"):
            binaural(v2_root, model="unet_baseline", **flags)
    with pytest.raises(ConfigError, match="--feature_levels names no level"):
        train(distil(v2_root, feature_levels=()))


def test_a_run_that_diverges_stops_and_keeps_no_ruins(v2_root: Path) -> None:
    """NaN predictions are scored as 1 mm, so a ruined network once had an error, and was kept as the best."""
    with pytest.raises(ConfigError, match=r"training diverged in epoch 1, step \d+: a \S+.* of \S+ in batch"):
        train(rgb(v2_root, learning_rate=1e18, nb_epochs=3))
    assert not Path("checkpoints/rgb/best").exists()


def test_a_best_model_is_kept_when_no_pixel_can_be_scored(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN is below nothing: such a run ended by naming a folder that was not there."""
    monkeypatch.setattr("echodepth.metrics.protocols.Protocol.scored", lambda self, depth, valid: valid & False)
    assert train(rgb(v2_root, nb_epochs=2)).run.epoch == 2


def test_a_best_model_without_epochs_is_not_overwritten_by_accident(v2_root: Path) -> None:
    """Who deletes the large epochs to save room keeps the best model, and may type the command again."""
    train(rgb(v2_root))
    Path("checkpoints/rgb/epoch_0001.pth").unlink()
    with pytest.raises(ConfigError, match="already holds best: choose another --experiment_name"):
        train(rgb(v2_root))
    assert load_depth_model("rgb").run.epoch == 1
    train(rgb(v2_root, overwrite=True))


def test_a_damaged_epoch_is_named(v2_root: Path) -> None:
    train(rgb(v2_root))
    path = Path("checkpoints/rgb/epoch_0001.pth")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"epoch_0001\.pth is damaged"):
        train(rgb(v2_root, nb_epochs=2, checkpoints=1))


@pytest.mark.parametrize(
    ("begun", "resumed"),
    [({}, {"optimizer": "SGD"}), ({"ema_decay": 0.5}, {}), ({}, {"ema_decay": 0.5})],
    ids=str,
)
def test_a_state_that_does_not_fit_the_flags_is_refused(
    v2_root: Path, begun: dict[str, Any], resumed: dict[str, Any]
) -> None:
    """An optimiser's state once met another optimiser, and averaged weights were trained on as if they were not."""
    train(rgb(v2_root, **begun))
    with pytest.raises(CheckpointError, match="its state fits no other"):
        train(rgb(v2_root, nb_epochs=2, checkpoints=1, **resumed))


def test_a_resumed_run_takes_the_learning_rate_it_is_given(v2_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The states of optimiser and schedule bring the rate a run was begun with, and won over the command line's."""
    common = {"scheduler": "none", "save_frequency": 1}
    train(rgb(v2_root, nb_epochs=1, **common))
    train(rgb(v2_root, nb_epochs=2, checkpoints=1, learning_rate=0.02, weight_decay=0.3, **common))
    assert [float(row["train/learning_rate"]) for row in curve("rgb")] == pytest.approx([0.001, 0.02])
    (group,) = torch.load("checkpoints/rgb/epoch_0002.pth", weights_only=True)["optimizer_states"][0]["param_groups"]
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.3)
    assert "--learning_rate 0.02 (was 0.001)" in caplog.text


def test_a_teacher_follows_the_precision(v2_root: Path) -> None:
    """It stands outside the module that Lightning converts, and once met images of twice its precision."""
    train(rgb(v2_root))
    train(distil(v2_root, precision="64-true"))
    weights = torch.load("checkpoints/taught/epoch_0001.pth", weights_only=True)["model_state_dict"]
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float64}


def test_wandb_without_an_account_costs_no_older_run(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    train(rgb(v2_root))

    def refuse() -> None:
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.setattr("wandb.login", refuse)
    with pytest.raises(ConfigError, match=r"No API key configured\. Or set WANDB_MODE=offline"):
        train(rgb(v2_root, use_wandb=True, overwrite=True))
    assert load_depth_model("rgb").run.epoch == 1
