"""A figure of equal cells with colour bars, whose places are computed in inches before anything is drawn.

matplotlib's constrained layout finds such places by measuring every text twice, which takes longer than drawing.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

DPI = 110
BAR_WIDTH = 0.11
BAR_SPACE = 0.68
"""Inches of a colour bar with its numbers and label."""
CAPTION_SPACE = 0.22
TITLE_SPACE = 0.34
_MARGIN = 0.08
_TITLE_SIZE, _LABEL_SIZE = 11, 8


@dataclass(frozen=True)
class ColourBar:
    """A colour bar from 0 to ``limit``, beside all cells."""

    colours: Colormap
    limit: float
    label: str


def grid_figure(
    width: float,
    columns: int,
    heights: list[float],
    captioned: list[bool],
    bars: list[ColourBar],
    title: str = "",
    left: float = 0.0,
    bottom: float = 0.0,
) -> tuple[Figure, np.ndarray]:
    """A figure of ``len(heights)`` rows.

    Args:
        width: of the figure in inches.
        columns: number of cells in a row.
        heights: height of each row's cells, relative to their width.
        captioned: for each row, whether captions stand above its cells.
        bars: colour bars at the right.
        title: of the figure; no space is kept for an empty one.
        left: inches beside the first column, for labels.
        bottom: inches below the last row, for labels.

    Returns:
        The figure and its axes, [rows, columns].
    """
    cell = (width - left - _MARGIN - BAR_SPACE * len(bars)) / columns - _MARGIN
    above = [CAPTION_SPACE if has_caption else _MARGIN for has_caption in captioned]
    top = TITLE_SPACE if title else 0.0
    body = sum(above) + cell * sum(heights)
    total = top + body + bottom + _MARGIN
    figure = Figure(figsize=(width, total), dpi=DPI)
    FigureCanvasAgg(figure)

    def place(x: float, y: float, w: float, h: float) -> Axes:
        """Axes at x inches from the left and y from the top."""
        return figure.add_axes((x / width, 1 - (y + h) / total, w / width, h / total))

    axes = np.empty((len(heights), columns), dtype=object)
    y = top
    for i, height in enumerate(heights):
        y += above[i]
        for j in range(columns):
            axes[i, j] = place(left + _MARGIN + j * (cell + _MARGIN), y, cell, height * cell)
        y += height * cell
    length = 0.85 * (body - above[0])
    for index, bar in enumerate(bars):
        x = width - BAR_SPACE * (len(bars) - index) + _MARGIN
        _draw_bar(figure, place(x, top + above[0] + length * 0.075 / 0.85, BAR_WIDTH, length), bar)
    if title:
        figure.suptitle(title, fontsize=_TITLE_SIZE, y=1 - 0.07 / total, va="top")
    return figure, axes


def _draw_bar(figure: Figure, axis: Axes, bar: ColourBar) -> None:
    scale = ScalarMappable(Normalize(0, bar.limit), bar.colours)
    drawn = figure.colorbar(scale, cax=axis, extend="max")
    drawn.set_label(bar.label, fontsize=_LABEL_SIZE)
    axis.tick_params(labelsize=_LABEL_SIZE)
    drawn.outline.set_visible(False)
