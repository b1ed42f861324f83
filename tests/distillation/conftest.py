"""A folder and a cache of the test's own, and a set with a teacher."""

import shutil
from pathlib import Path

import pytest

from echodepth.models.checkpoint import save_model
from tests.training.runs import untrained_teacher


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(v2_root: Path, tmp_path: Path) -> Path:
    """A set of this test's own, with a teacher who saw nothing yet."""
    shutil.copytree(v2_root, tmp_path / "set")
    save_model(untrained_teacher(v2_root, 0), Path("checkpoints/rgb/best"))
    return tmp_path / "set"
