"""The short form of ``python -m tests.chaos.kills``: every crash point of what all files are written with."""

import shutil
from pathlib import Path

import pytest
import torch

from echodepth.core import atomic_io
from echodepth.core.atomic_io import atomic_write
from echodepth.models.checkpoint import DepthModel, load_depth_model, save_model
from tests.chaos.crash import killed_after, killed_before
from tests.tiny import save_tiny_rgb


def test_a_file_is_old_or_new_wherever_its_writer_is_killed(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_write(tmp_path / "result.txt") as unfinished:
            unfinished.write_text("new" * 1000)

    point, seen = 1, set[str]()
    (tmp_path / "result.txt").write_text("old")
    while killed_before(point, write):
        seen.add((tmp_path / "result.txt").read_text())
        point += 1
    assert seen == {"old", "new" * 1000}
    assert point > 5
    assert [path.name for path in tmp_path.iterdir()] == ["result.txt"], "leftovers of the killed writers"


@pytest.fixture
def two_models(tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> list[DepthModel]:
    monkeypatch.chdir(tmp_path)
    models = [save_tiny_rgb(tmp_path / "checkpoints" / "run", v2_root) for _ in range(2)]
    with torch.no_grad():
        next(models[1].network.parameters()).add_(1)
    return models


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "two renames"])
def test_the_best_model_is_there_at_every_moment(
    two_models: list[DepthModel], exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was renamed away before the next one was renamed into its place: a kill in between left none."""
    if not exchanges:  # as on NFS
        monkeypatch.setattr(atomic_io, "_exchange", lambda first, second: False)
    old, new = two_models
    best = Path("checkpoints/run/best")
    kept = shutil.copytree(best, "kept")
    first = [float(next(each.network.parameters()).sum()) for each in two_models]
    point, seen = 1, []
    while killed_before(point, lambda: save_model(new, best)):
        loaded = load_depth_model("run")
        assert loaded.network.state_dict().keys() == old.network.state_dict().keys()
        seen.append(float(next(loaded.network.parameters()).sum()))
        assert best.is_dir() or not exchanges
        point += 1
        shutil.rmtree(best, ignore_errors=True)
        shutil.copytree(kept, best)
    assert set(seen) == set(first)
    assert seen == sorted(seen, key=first.index), "the new model stays once it was there"


def test_a_kill_by_time_ends_the_process() -> None:
    """Otherwise the random kills would prove nothing."""

    def work() -> None:
        while True:
            pass

    assert killed_after(0.02, work)
    assert not killed_after(5, lambda: None)
