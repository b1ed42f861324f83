"""The picture of a study's learning curves."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from echodepth.experiments import curves, label_fractions
from echodepth.experiments.config import SCALES
from echodepth.experiments.grid import MIRRORED, Run
from echodepth.experiments.run import Setting

SETTING = Setting("distillation", SCALES["distillation"]["tiny"], "tiny", "cpu")


def write_curve(run: Run, errors: list[str]) -> dict[str, Any]:
    """The run's metrics.csv, with 14 steps an epoch, and its row."""
    folder = Path("logs") / SETTING.experiment_name(run)
    folder.mkdir(parents=True)
    lines = ["epoch,val/rmse", *(f"{epoch},{error}" for epoch, error in enumerate(errors, start=1))]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return {**run.facts(), "epochs": len(errors), "steps": 14 * len(errors)}


def test_a_panel_has_each_runs_error_over_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawn: dict[Path, Figure] = {}
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: drawn.setdefault(path, figure) and path)
    rows = [
        write_curve(Run("none", 12, 0.5, "none", 0), ["2.5", "", "1.5", "1.75"]),
        write_curve(Run("best", 12, 0.5, "same", 0), ["2.0", "1.25"]),
        write_curve(Run("none", 12, 1.0, "none", 0), ["1.0"]),
        {"method": "mean_depth", "rooms": 12, "label_fraction": 0.5, "seed": 0},
        {**Run(f"none{MIRRORED}", 12, 0.5, "none", 0).facts(), "epochs": 4, "steps": 56},
    ]
    first, second = drawn[curves.draw_curves(SETTING, rows, Path("curves.png"))].axes
    assert [axes.get_title() for axes in (first, second)] == ["12 rooms, 50% labelled", "12 rooms, 100% labelled"]
    lines = [line.get_xydata().tolist() for line in first.lines]  # type: ignore[union-attr]
    assert lines[:2] == [[[14, 2.5], [42, 1.5], [56, 1.75]], [[42, 1.5]]]  # the second epoch was not validated
    assert lines[2:4] == [[[14, 2.0], [28, 1.25]], [[28, 1.25]]]
    legend = first.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["none", "best"]


def test_a_method_has_one_colour_and_the_first_steps_set_no_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the first picture of this study a teacher was red, green and blue, and 4 m of the first epochs hid the rest.
    monkeypatch.chdir(tmp_path)
    drawn: dict[Path, Figure] = {}
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: drawn.setdefault(path, figure) and path)
    rows = [
        write_curve(Run("none", 12, 0.5, "none", 0), ["9.0", *["1.5"] * 4, "2.0", *["1.5"] * 6]),
        write_curve(Run("best", 12, 0.5, "same", 0), ["8.0", *["1.25"] * 11]),
        write_curve(Run("best", 12, 1.0, "same", 0), ["1.0", *["1.5"] * 10]),
        write_curve(Run("none", 24, 1.0, "none", 0), []) | {"epochs": 1},
    ]
    first, second, third = drawn[curves.draw_curves(SETTING, rows, Path("curves.png"))].axes
    none, _, best, *_ = (line.get_color() for line in first.lines)
    assert none != best == second.lines[0].get_color()
    # Nor do they widen the margin below, which once ended under 0 m.
    assert first.get_ylim() == pytest.approx((0.95 * 1.25, 1.05 * 2.0))
    assert second.get_ylim() == pytest.approx((0.95 * 1.0, 1.05 * 1.5)), "the best epoch, the first, is shown"
    assert [line.get_color() for line in third.lines] == [none]  # of the legend: this run has no epoch yet


def test_the_error_is_drawn_over_the_share_of_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[Path, Figure] = {}
    monkeypatch.setattr(label_fractions, "save_figure", lambda figure, path: drawn.setdefault(path, figure) and path)
    errors = {("none", 0.1): (1.5, 1.25), ("none", 1.0): (1.0,), ("best", 0.1): (1.25,)}
    rows = [
        {"method": method, "rooms": 12, "label_fraction": fraction, "rmse": error}
        for (method, fraction), members in errors.items()
        for error in members
    ]
    (axes,) = drawn[label_fractions.draw_label_fractions(rows, tmp_path / "fractions.png")].axes
    means, runs, *others = [line.get_xydata().tolist() for line in axes.lines]  # type: ignore[union-attr]
    assert (means, runs) == ([[0.1, 1.375], [1.0, 1.0]], [[0.1, 1.5], [0.1, 1.25], [1.0, 1.0]])
    assert others == [[[0.1, 1.25]], [[0.1, 1.25]]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10%", "100%"]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["none", "best"]
