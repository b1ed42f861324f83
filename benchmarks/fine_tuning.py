"""How many frames of a new robot fine-tuning needs, against training from scratch.

    echodepth simulate --out data/other_rig --rig benchmarks/other_rig.json --rooms 500 --poses 2 --image_size 128 \
        --seed 4711
    python -m benchmarks.fine_tuning --data_dir data/other_rig

Each share of the rooms trains two networks of the packaged model's kind for as many steps: one from random weights, and
one from the model's. The learning rate of each kind is what ``RATES`` says. Both are scored on the same test rooms, as
is the model as it is. Run it again after an interruption: what is finished is kept. Writes
docs/results/fine_tuning.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from echodepth.cli import main as echodepth
from echodepth.core.atomic_io import atomic_write
from echodepth.core.packaged import DEFAULT_MODEL

KEPT = Path(__file__).resolve().parents[1] / "docs" / "results" / "fine_tuning.json"
SHARES = (0.02, 0.1, 0.5)
STEPS, BATCH = 400, 16
RATES = {"scratch": 1e-3, "tuned": 3e-4}
SHOWN = ("rmse", "abs_rel", "delta1")


def train(data_dir: Path, share: float, kind: str, seed: int) -> str:
    """Train on a share of the rooms; returns the experiment."""
    name = f"tuning_{kind}_{share:g}_{seed}"
    words = f"train binaural --dataset simulated --data_dir {data_dir} --image_size 128 --experiment_name {name}"
    words += f" --label_fraction {share} --val_label_fraction {share} --label_seed {seed} --seed {seed}"
    words += f" --batch_size {BATCH} --learning_rate {RATES[kind]} --num_workers 0 --device cpu --resume auto"
    words += " --uncertainty --model light --base_channels 32" if kind == "scratch" else f" --init {DEFAULT_MODEL}"
    epochs = max(5, round(STEPS * BATCH / (share * training_frames(data_dir))) // 5 * 5)
    words += f" --nb_epochs {epochs} --val_frequency {epochs // 5} --save_frequency {epochs // 5}"
    echodepth(words.split())
    return name


def training_frames(data_dir: Path) -> int:
    """Rows of all training tables."""
    return sum(len(table.read_text().splitlines()) - 1 for table in data_dir.glob("*/train.csv"))


def score(data_dir: Path, checkpoint: str) -> dict[str, Any]:
    """Figures on the test rooms, with the interval of RMSE over rooms."""
    out = Path("results") / f"tuning_{checkpoint}"
    words = f"evaluate --checkpoint {checkpoint} --dataset simulated --data_dir {data_dir} --out {out} --device cpu"
    echodepth(words.split())
    result = json.loads((out / "evaluate_test_valid.json").read_text())
    return {name: result["metrics"][name] for name in SHOWN} | {"images": result["counts"]["images"]}


def main() -> None:
    """Train and score what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    rows = [{"kind": "as it is", "share": 0.0, "frames": 0} | score(given.data_dir, DEFAULT_MODEL)]
    for seed in given.seeds:
        for share in SHARES:
            for kind in RATES:
                figures = score(given.data_dir, train(given.data_dir, share, kind, seed))
                frames = round(share * training_frames(given.data_dir))
                rows.append({"kind": kind, "share": share, "frames": frames, "seed": seed} | figures)
                print(rows[-1], flush=True)
    with atomic_write(KEPT) as unfinished:
        unfinished.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
