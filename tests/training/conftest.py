"""Runs in the test's own folder, and finished ones to start from."""

import contextlib
import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from echodepth.training import train as training
from echodepth.training.config import DistillConfig, TrainConfig


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
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
