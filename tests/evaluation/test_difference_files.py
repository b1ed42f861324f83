"""Intervals and verdicts in the files of a comparison and an evaluation."""

import csv
import json
from pathlib import Path

import pytest

from echodepth.evaluation.compare import compare
from echodepth.evaluation.evaluate import evaluate
from echodepth.metrics.direction import SCORES
from tests.configs import compare_config, evaluate_config
from tests.tiny import save_tiny


def test_files_hold_intervals_and_verdicts(
    tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="echodepth")
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "checkpoints" / "ears", v2_root)
    save_tiny(tmp_path / "checkpoints" / "baseline", v2_root, network="unet_baseline")
    compare(compare_config("ears", "baseline", pictures=0, extremes=0, device="cpu"))
    folder = Path("results/comparison")
    told = json.loads((folder / "comparison.json").read_text())
    assert told["resampling"]["unit"] == "rooms"
    assert told["resampling"]["count"] == len({row.partition("/")[0] for row in told["frames"]}) == 2
    assert all(row["intervals"]["rmse"] for row in told["rows"])
    assert told["warnings"] == [text for text in caplog.messages if "is no better than" in text]
    with (folder / "comparison_differences.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(told["differences"]) * len(SCORES) == 5 * len(SCORES)
    page, text = (folder / "comparison.html").read_text(), (folder / "comparison.md").read_text()
    for row, difference in zip(rows[:: len(SCORES)], told["differences"], strict=True):
        assert (row["model"], row["against"], row["metric"]) == (difference["model"], difference["other"], "rmse")
        assert [float(row["low"]), float(row["high"])] == difference["intervals"]["rmse"]
        assert row["verdict"] == difference["verdicts"]["rmse"]
        words = (row["model"], row["against"], row["verdict"])
        assert "".join(f'<td class="words">{word}</td>' for word in words) in page
        assert f"| {row['model']} | {row['against']} | {row['verdict']} |" in text
    assert f"{rows[0]['model']} against {rows[0]['against']}: {rows[0]['verdict']}" in caplog.messages

    evaluate(evaluate_config("ears", device="cpu"))
    alone = json.loads(Path("results/ears/evaluate_test_valid.json").read_text())
    (ears,) = [row for row in told["rows"] if (row["run"], row["control"]) == ("ears", "none")]
    assert alone["intervals"]["rmse"] == pytest.approx(ears["intervals"]["rmse"])
    assert alone["resampling"] == told["resampling"]
    low, high = alone["intervals"]["rmse"]
    assert f"rmse [{low:.4f}, {high:.4f}]. {alone['resampling']['note']}" in caplog.messages[-1]


def test_the_one_room_of_leave_one_out_gives_no_interval(
    tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="echodepth")
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "checkpoints" / "ears", v2_root, leave_out="Attic")
    evaluate(evaluate_config("ears", device="cpu", protocol="loo"))
    told = json.loads(Path("results/ears/evaluate_test_loo.json").read_text())
    assert told["intervals"]["rmse"] is None
    assert "No confidence intervals: all frames are of one room (Attic)" in caplog.messages[-1]
