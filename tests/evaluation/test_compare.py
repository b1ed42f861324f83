"""The comparison: its rows and controls, its intervals, what it refuses, and the four files."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.evaluation.compare import _mark_best, build_comparison, compare
from echodepth.evaluation.comparison import read_curves
from echodepth.evaluation.intervals import metric_table
from echodepth.evaluation.report_files import markdown as render_markdown
from echodepth.metrics.depth import METRICS
from echodepth.metrics.direction import DIFFERENCES
from echodepth.report.formatting import number
from tests.configs import compare_config
from tests.tiny import save_tiny, save_tiny_rgb, write_v2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_v2(tmp_path_factory.mktemp("v2"))


@pytest.fixture
def runs(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One run of every kind in the working directory, which is returned."""
    monkeypatch.chdir(tmp_path)
    experiments = tmp_path / "checkpoints"
    save_tiny_rgb(experiments / "eyes", root)
    save_tiny(experiments / "ears", root)
    save_tiny(experiments / "taught", root, kind="distill")
    save_tiny(experiments / "baseline", root, network="unet_baseline")
    return tmp_path


def test_rows_are_the_models_by_kind_and_their_controls(runs: Path) -> None:
    comparison = build_comparison(compare_config("baseline", "taught", "ears", "eyes", pictures=2))
    assert [(row.label, row.run) for row in comparison.rows] == [
        ("RGB (upper bound)", "eyes"),
        ("audio", "ears"),
        ("audio + distillation", "taught"),
        ("U-Net baseline", "baseline"),
        ("mean-depth baseline", "no input"),
        ("shuffled-audio control", "ears"),
        ("shuffled-audio control", "taught"),
        ("shuffled-audio control", "baseline"),
    ]
    assert comparison.seed_means == []
    assert comparison.notes == []
    assert [row.label for row in comparison.rows if row.hears] == ["audio", "audio + distillation", "U-Net baseline"]
    lowest = min((row for row in comparison.rows if row.hears), key=lambda row: row.means["rmse"])
    assert comparison.leader is lowest
    for row in comparison.rows:
        for metric in METRICS:
            low, high = row.intervals[metric] or (np.nan, np.nan)
            assert low <= row.means[metric] <= high
            assert row.means[metric] == pytest.approx(row.evaluation.metrics[metric])


@pytest.mark.parametrize(("gap", "expected"), [(0.3, "ears"), (0.02, None)])
def test_a_model_is_highlighted_if_it_is_distinguishable_from_each_other_one(
    runs: Path, gap: float, expected: str | None
) -> None:
    """Ten rooms with errors from 1 m on; the second model's are higher by ``gap``, the third one's by .3 m, ± .1 m."""
    rows = [row for row in build_comparison(compare_config("baseline", "taught", "ears", pictures=1)).rows if row.hears]

    def errors(offset: float) -> list[dict[str, Any]]:
        return [
            {"name": str(room), "room": str(room)}
            | dict.fromkeys(METRICS, 1 + room / 10 + offset + (0.1 * (-1) ** room if offset else 0.0))
            | dict.fromkeys(DIFFERENCES, 0.1 * room)
            for room in range(10)
        ]

    table = metric_table([errors(offset) for offset in (0.0, gap, 0.3)], list(map(str, range(10))), "simulated", 0)
    assert [row.run for row in rows] == ["ears", "taught", "baseline"]
    named = [replace(row, means=table.mean(index)) for index, row in enumerate(rows)]
    assert [row.run for row in _mark_best(named, table) if row.is_best] == ([expected] if expected else [])
    assert not any(row.is_best for row in _mark_best(named[:1], table))


def test_pictured_frames_are_spread_over_the_split_and_seen_by_every_model(runs: Path) -> None:
    comparison = build_comparison(compare_config("eyes", "ears", pictures=3, extremes=0))
    assert list(comparison.predictions) == [comparison.frames[i] for i in (0, 2, 5)]
    for predictions in comparison.predictions.values():
        eyes, ears = predictions["RGB (upper bound) · eyes"], predictions["audio · ears"]
        assert (list(eyes.inputs), list(ears.inputs)) == (["RGB"], ["RGB", "left ear", "right ear"])
        np.testing.assert_array_equal(eyes.ground_truth, ears.ground_truth)
        np.testing.assert_array_equal(eyes.scored, ears.scored)


def test_pictures_agree_with_the_figures(runs: Path) -> None:
    comparison = build_comparison(compare_config("ears", pictures=1, extremes=0))
    ((frame, predictions),) = comparison.predictions.items()
    (prediction,) = predictions.values()
    row = next(row for row in comparison.rows[0].evaluation.rows if row["name"] == frame)
    error = (prediction.prediction - prediction.ground_truth)[prediction.scored]
    assert np.sqrt(np.mean(error.astype(np.float64) ** 2)) == pytest.approx(row["rmse"], rel=1e-5)


def test_the_camera_may_be_missing_from_the_pictures_but_not_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_v2(tmp_path / "v2", {"train": 1, "val": 1, "test": 1})
    for picture in root.glob("*/camera/*"):
        picture.unlink()
    save_tiny(tmp_path / "checkpoints" / "ears", root)
    comparison = build_comparison(compare_config("ears", pictures=1, extremes=0))
    assert [list(each.inputs) for each in comparison.predictions["Attic/3"].values()] == [["left ear", "right ear"]]
    assert "the pictures of ears lack the camera image" in caplog.text


def test_runs_that_differ_in_the_seed_alone_get_a_mean_row(runs: Path, root: Path) -> None:
    for seed, folder in ((1, "ears_b"), (1, "ears_again")):
        model = save_tiny(runs / "checkpoints" / folder, root)
        path = runs / "checkpoints" / folder / "best" / "config.json"
        config = json.loads(path.read_text())
        config["run"]["seed"] = seed
        path.write_text(json.dumps(config))
        assert model.run.seed == 0
    save_tiny(runs / "checkpoints" / "other", root, audio_start="zero")
    comparison = build_comparison(compare_config("ears", "ears_b", "other", pictures=0, extremes=0))
    (group,) = comparison.seed_means
    assert group.runs == ["ears", "ears_b"]
    rmse = [row.means["rmse"] for row in comparison.rows if row.run in group.runs and row.label == "audio"]
    assert group.mean["rmse"] == pytest.approx(np.mean(rmse))
    assert group.deviation["rmse"] == pytest.approx(abs(rmse[0] - rmse[1]) / np.sqrt(2))
    # Two runs of one seed differ in something else, which their mean would hide.
    assert build_comparison(compare_config("ears_b", "ears_again", pictures=0, extremes=0)).seed_means == []


def test_two_checkpoints_of_one_experiment_keep_their_own_names(runs: Path, root: Path) -> None:
    comparison = build_comparison(compare_config("ears", "checkpoints/ears/best", pictures=0, extremes=0))
    assert [row.run for row in comparison.rows[:2]] == ["ears", "checkpoints/ears/best"]


def test_frames_that_one_row_cannot_read_count_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_v2(tmp_path / "v2", {"train": 1, "val": 1, "test": 2})
    (root / "Attic" / "audio" / "audio_3.wav").write_bytes(b"not a recording")
    save_tiny(tmp_path / "checkpoints" / "ears", root)
    save_tiny_rgb(tmp_path / "checkpoints" / "eyes", root)
    comparison = build_comparison(compare_config("eyes", "ears", skip_bad=True, pictures=1))
    assert "Attic/3" not in comparison.frames
    eyes = comparison.rows[0]
    others = [row["rmse"] for row in eyes.evaluation.rows if row["name"] != "Attic/3"]
    assert len(others) == len(eyes.evaluation.rows) - 1 == 3
    assert eyes.means["rmse"] == pytest.approx(np.mean(others))
    assert comparison.notes == ["1 frame that some row could not read is left out of all."]


def test_another_range_is_noted(runs: Path, root: Path) -> None:
    path = runs / "checkpoints" / "taught" / "best" / "config.json"
    config = json.loads(path.read_text())
    config["arguments"]["max_depth"] = 12.0
    del config["seal"]
    path.write_text(json.dumps(config))
    (note,) = build_comparison(compare_config("ears", "taught", pictures=0, extremes=0)).notes
    assert note == "The runs differ in max_depth (12 and 30 m): each is scored against its own ground truth."


def test_the_report(runs: Path) -> None:
    logs = runs / "logs" / "ears"
    (logs / "metrics.csv").write_text("epoch,train/loss,val/rmse\n1,2.5,3.5\n2,1.5,\n3,1.25,3.0\n")
    assert compare(compare_config("eyes", "ears", "baseline", name="night", pictures=2, extremes=0)).name == "night"
    folder = Path("results/night")
    files = [*(f"comparison.{end}" for end in ("csv", "html", "json", "md")), "comparison_differences.csv"]
    assert sorted(p.name for p in folder.iterdir()) == files

    told = json.loads((folder / "comparison.json").read_text())
    assert told["protocol"]["name"] == "valid"
    assert len(told["frames"]) == 6
    assert told["selected"] == {told["frames"][i]: ["evenly spread"] for i in (0, 5)}
    with (folder / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["rmse"]) for row in rows] == [row["means"]["rmse"] for row in told["rows"]]
    assert float(rows[0]["rmse_low"]) == told["rows"][0]["intervals"]["rmse"][0]

    markdown = (folder / "comparison.md").read_text()
    assert "6 frames of the test split of batvisionv2 under protocol valid" in markdown
    highlighted = re.compile(r"^\| \*\*(audio|U-Net baseline)\*\* ", flags=re.MULTILINE)
    assert not highlighted.search(markdown)  # six frames tell no models apart
    comparison = build_comparison(compare_config("ears", "baseline", pictures=1))
    marked = replace(comparison, rows=[replace(row, is_best=row.run == "baseline") for row in comparison.rows])
    assert highlighted.findall(render_markdown(marked)) == ["U-Net baseline"]
    assert number(told["rows"][0]["metrics"]["pooled_rmse"]) in markdown.split("## Pooled over pixels")[1]
    by_depth = told["rows"][0]["depth_bins"]
    assert sum(each["pixels"] for each in by_depth) == told["rows"][0]["counts"]["pixels"]
    (line,) = re.findall(r"^\| RGB .*eyes \| 1–2 \|.*$", markdown, flags=re.MULTILINE)
    assert number(by_depth[2]["rmse"]) in line

    page = (folder / "comparison.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "")  # needs no network
    # Of training, two lines; by depth, error and bias of three models and the mean; of the ears' one level, two.
    assert page.count("<polyline") == 2 + 2 * 4 + 2
    # A card: RGB, two ears, ground truth, and prediction and error of three models; error maps of all six rows.
    assert page.count("data:image/png;base64,") == 2 * (4 + 2 * 3) + 6
    for row in told["rows"]:
        assert row["run"] in page
        assert number(row["means"]["delta1"]) in page


def test_a_name_cannot_break_the_page(runs: Path, root: Path) -> None:
    """Two copies of one experiment are shown by what was typed, which can be any folder."""
    shutil.copytree(runs / "checkpoints/ears", runs / "<script>|")
    comparison = compare(compare_config("ears", "<script>|", pictures=0, extremes=0))
    folder = Path("results/comparison")
    assert comparison.leader_as_given in ("ears", "<script>|")
    assert "<script>|" not in (folder / "comparison.html").read_text()
    assert "<script>\\|" in (folder / "comparison.md").read_text()


def test_same_seed_same_numbers(runs: Path) -> None:
    config = compare_config("ears", pictures=0, extremes=0)
    first, second = build_comparison(config), build_comparison(config)
    assert [row.intervals for row in first.rows] == [row.intervals for row in second.rows]


def test_runs_that_cannot_be_compared_are_refused(runs: Path, root: Path, tmp_path: Path) -> None:
    save_tiny(runs / "checkpoints" / "elsewhere", tmp_path / "other")
    with pytest.raises(ConfigError, match=r"trained on different data .*--dataset and --data_dir"):
        build_comparison(compare_config("ears", "elsewhere"))
    for location in ("Attic", "Cellar"):
        save_tiny(runs / "checkpoints" / location, root, leave_out=location)
    with pytest.raises(ConfigError, match=r"left different locations out \(Attic, Cellar\)"):
        build_comparison(compare_config("Attic", "Cellar", protocol="loo"))
    with pytest.raises(ConfigError, match="no run is given"):
        build_comparison(compare_config())
    with pytest.raises(ConfigError, match="names a folder in results/"):
        build_comparison(compare_config("ears", name="../up"))
    with pytest.raises(CheckpointError, match="nobody"):
        build_comparison(compare_config("nobody"))


def test_curves_skip_what_is_empty(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,seconds,train/loss,val/rmse\n1,9,0.5,\n2,9,nan,3\n")
    assert read_curves(tmp_path / "metrics.csv") == {"train/loss": [(1, 0.5)], "val/rmse": [(2, 3)]}
