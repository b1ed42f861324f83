"""The picture of a study of distillation: error over the share of rooms with ground truth, a line for each method."""

from collections import defaultdict
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from echodepth.experiments.table import Rows
from echodepth.report.figures import new_figure, save_figure


def draw_label_fractions(rows: Rows, path: Path) -> Path:
    """Draw RMSE over the label fraction, a panel for each number of rooms; a dot is a run, a line joins the means.

    Args:
        rows: one for each run.
        path: of the picture.
    """
    panels: dict[int, Rows] = defaultdict(list)
    for row in rows:
        panels[row["rooms"]].append(row)
    figure = new_figure((6.4, 4.0 * max(1, len(panels))))
    for number, (rooms, members) in enumerate(sorted(panels.items()), start=1):
        axes = figure.add_subplot(len(panels), 1, number)
        _draw_methods(axes, members)
        axes.set(title=f"{rooms} rooms", xlabel="share of the rooms with ground truth", ylabel="RMSE (m)")
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return save_figure(figure, path)


def _draw_methods(axes: Axes, rows: Rows) -> None:
    groups: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["method"]][row["label_fraction"]].append(row["rmse"])
    for index, (method, by_fraction) in enumerate(groups.items()):
        runs = [(fraction, value) for fraction, values in by_fraction.items() for value in values]
        means = sorted((fraction, mean(values)) for fraction, values in by_fraction.items())
        axes.plot(*zip(*means, strict=True), color=f"C{index % 10}", label=method.replace("_", " "))
        axes.plot(*zip(*runs, strict=True), ".", color=f"C{index % 10}", alpha=0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted({row["label_fraction"] for row in rows})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
