"""The learning curves of a study: whether its runs ended because they had converged."""

from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

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
    panels: dict[tuple[int, float], Rows] = defaultdict(list)
    for row in rows:
        if "steps" in row and not row["method"].endswith(MIRRORED):
            panels[row["rooms"], row["label_fraction"]].append(row)
    figure = new_figure((6.4, 3.6 * max(1, len(panels))))
    for number, ((rooms, fraction), members) in enumerate(sorted(panels.items()), start=1):
        _draw_panel(figure, (len(panels), 1, number), f"{rooms} rooms, {fraction:.0%} labelled", setting, members)
    return save_figure(figure, path)


def _draw_panel(figure: Figure, place: tuple[int, int, int], title: str, setting: Setting, members: Rows) -> None:
    axes = figure.add_subplot(*place)
    methods = list(dict.fromkeys(row["method"] for row in members))
    for row in members:
        run = Run(row["method"], row["rooms"], row["label_fraction"], row["teacher_data"], row["seed"])
        steps = row["steps"] / row["epochs"]
        points = [
            (int(point["epoch"]) * steps, float(point["val/rmse"]))
            for point in curve(RunPaths(setting.experiment_name(run)))
            if point.get("val/rmse")
        ]
        if points:
            colour = f"C{methods.index(row['method']) % 10}"
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, alpha=0.7)
            axes.plot(*min(points, key=lambda point: point[1]), "o", color=colour, markersize=4)
    for index, method in enumerate(methods):
        axes.plot([], [], color=f"C{index % 10}", label=method.replace("_", " "))
    axes.set(title=title, xlabel="steps", ylabel="validation RMSE (m)")
    axes.legend(fontsize="small", loc="upper right")
