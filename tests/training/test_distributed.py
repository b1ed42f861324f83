"""Training on two processes, as ``--devices 2 --strategy ddp`` starts them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from echodepth.core.distributed import all_reduce_sum, sync_ranks
from echodepth.data.streaming.writer import shard
from echodepth.models.checkpoint import load_depth_model
from tests.configs import shard_config
from tests.conftest import ROOT
from tests.one_or_two import train
from tests.tiny import SECONDS, write_v2

ONE_OR_TWO = ROOT / "tests" / "one_or_two.py"


@pytest.fixture(scope="module")
def uneven_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of every other frame most depth is unknown, so that the processes' shares of a batch have unlike numbers."""
    root = write_v2(tmp_path_factory.mktemp("uneven"))
    for path in sorted(root.rglob("*.npy"))[::2]:
        depth = np.load(path)
        depth[2:] = 0
        np.save(path, depth)
    return root


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_the_same_batch(
    uneven_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pixel counts alike, wherever it is: the losses of all steps are equal, and so were the gradients between."""
    monkeypatch.chdir(tmp_path)
    two = losses(start(tmp_path, ONE_OR_TWO, uneven_root, 2, "L1", "Combined"))
    for criterion, together in zip(("L1", "Combined"), two, strict=True):
        alone = train(uneven_root, 1, criterion)
        assert len(alone) == 6, criterion
        assert len({round(loss, 4) for loss in alone}) == 6, criterion
        assert together == pytest.approx(alone, rel=1e-5), criterion


def losses(done: subprocess.CompletedProcess[str]) -> list[list[float]]:
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def test_a_sum_over_processes_is_the_sum_of_one_that_is_alone() -> None:
    own, count = torch.tensor(3.0, requires_grad=True), torch.tensor(2)
    assert all_reduce_sum(own, count) == (own, count)
    with sync_ranks(False):
        assert all_reduce_sum(own)[0] is own


def start(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    # PL_*, set by a run in this process, would send the two to this process's own seed and rank.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PL_")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["files", "shards"])
def test_two_processes_finish_and_agree(v2_root: Path, tmp_path: Path, kept: str) -> None:
    """The first process summed the metrics for its progress bar while the second waited to save: neither went on."""
    place = v2_root
    if kept == "shards":  # one a split: each process takes a part of it
        place = shard(shard_config(data_dir=v2_root, out=tmp_path / "packed", audio_seconds=SECONDS, workers=1))
    flags = f"--data_dir {place} --audio_seconds {SECONDS} --image_size 32 --base_channels 2 --attention_levels 5"
    flags += " --batch_size 2 --num_workers 0 --nb_epochs 2 --save_frequency 1 --device cpu --devices 2 --strategy ddp"
    done = start(tmp_path, "-m", "echodepth", "train", "binaural", "--experiment_name", "two", *flags.split())
    # One process speaks for both, and Lightning's notices stay out.
    assert done.stderr.count("best model: checkpoints/two/best") == 1
    assert not [notice for notice in ("GPU available", "sync_dist", "Traceback") if notice in done.stderr]
    with (tmp_path / "logs/two/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {row["val/images"] for row in rows} == {"4"}
    best = load_depth_model(tmp_path / "checkpoints/two/best")
    assert best.run.validation["rmse"] == pytest.approx(min(float(row["val/rmse"]) for row in rows))
    assert (tmp_path / "checkpoints/two/epoch_0002.pth").is_file()
