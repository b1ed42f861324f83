"""Training on two processes, as ``--devices 2 --strategy ddp`` starts them."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from echodepth.models.store import load_model
from tests.conftest import ROOT
from tests.tiny import SECONDS


def test_two_processes_finish_and_agree(v2_root: Path, tmp_path: Path) -> None:
    """The first process summed the metrics for its progress bar while the second waited to save: neither went on."""
    flags = f"--data_dir {v2_root} --audio_seconds {SECONDS} --image_size 32 --base_channels 2 --attention_levels 5"
    flags += " --batch_size 2 --num_workers 0 --nb_epochs 2 --save_frequency 1 --device cpu --devices 2 --strategy ddp"
    command = [sys.executable, "-m", "echodepth", "train", "binaural", "--experiment_name", "two", *flags.split()]
    # PL_*, set by a run in this process, would send the two to this process's own seed and rank.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PL_")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    # One process speaks for both, and Lightning's notices stay out.
    assert done.stderr.count("best model: checkpoints/two/best") == 1
    assert not [notice for notice in ("GPU available", "sync_dist", "Traceback") if notice in done.stderr]
    with (tmp_path / "logs/two/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {row["val/images"] for row in rows} == {"4"}
    best = load_model(tmp_path / "checkpoints/two/best")
    assert best.run["validation"]["rmse"] == pytest.approx(min(float(row["val/rmse"]) for row in rows))
    assert (tmp_path / "checkpoints/two/epoch_0002.pth").is_file()
