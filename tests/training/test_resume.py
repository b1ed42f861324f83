"""Resumed runs end bit-equal to uninterrupted ones, and an older run is not overwritten by accident."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.training import train as training
from echodepth.training.config import TrainConfig
from tests.training.runs import TINY, assert_bit_equal, binaural, curve, distil, last_weights, rgb, train


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
    Path("checkpoints/ears/epoch_0004.pth").unlink()
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
