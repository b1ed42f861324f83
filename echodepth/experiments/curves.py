"""The learning curves of a study: whether its runs ended because they had converged."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from echodepth.core.run_paths import RunPaths
from echodepth.experiments.grid import MIRRORED, Run
from echodepth.experiments.run import Setting, curve
from echodepth.experiments.table import Rows
from echodepth.report.figures import new_figure, save_figure


def draw_curves(setting: Setting, rows: Rows, path: Path) -> Path:
    """Draw the validation RMSE of each run over its steps, a panel for each number of rooms and share of labels.

    Args:
        setting: of the study.
        rows: of its runs; those of controls and of averages over the mirrored input have no curve of their own.
        path: of the picture.
    """
    trained = [row for row in rows if "steps" in row and not row["method"].endswith(MIRRORED)]
    panels: dict[tuple[int, float], Rows] = defaultdict(list)
    for row in trained:
        panels[row["rooms"], row["label_fraction"]].append(row)
    colours = {method: f"C{index % 10}" for index, method in enumerate(dict.fromkeys(row["method"] for row in trained))}
    columns = min(2, max(1, len(panels)))
    lines = -(-max(1, len(panels)) // columns)
    figure = new_figure((6.4 * columns, 3.6 * lines))
    for number, ((rooms, fraction), members) in enumerate(sorted(panels.items()), start=1):
        axes = figure.add_subplot(lines, columns, number)
        axes.set(title=f"{rooms} rooms, {fraction:.0%} labelled", xlabel="steps", ylabel="validation RMSE (m)")
        _draw_panel(axes, [(colours[row["method"]], _points(setting, row)) for row in members])
        for method in dict.fromkeys(row["method"] for row in members):
            axes.plot([], [], color=colours[method], label=method.replace("_", " "))
        axes.legend(fontsize="small", loc="upper right")
    return save_figure(figure, path)


def _points(setting: Setting, row: dict[str, Any]) -> list[tuple[float, float]]:
    """Steps and validation RMSE of a run."""
    run = Run(row["method"], row["rooms"], row["label_fraction"], row["teacher_data"], row["seed"])
    steps = row["steps"] / row["epochs"]
    return [
        (int(point["epoch"]) * steps, float(point["val/rmse"]))
        for point in curve(RunPaths(setting.experiment_name(run)))
        if point.get("val/rmse")
    ]


def _draw_panel(axes: Axes, curves: list[tuple[str, list[tuple[float, float]]]]) -> None:
    best, shown = [], []
    for colour, points in curves:
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, alpha=0.7)
            best.append(min(points, key=lambda point: point[1]))
            axes.plot(*best[-1], "o", color=colour, markersize=4)
            # The first steps err by several times as much as all later ones, which they would press together.
            shown += [value for _, value in points[len(points) // 10 :]]
    if shown:
        # A run can be best among its first steps.
        axes.set_ylim(0.95 * min(value for _, value in best), 1.05 * max(shown))
