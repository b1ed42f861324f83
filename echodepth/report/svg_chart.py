"""Layout of small charts in SVG units; the macro ``charts`` of the page templates draws them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

HISTOGRAM_BINS = 24
Ticks = list[tuple[float, str]]
Markers = Literal["none", "last", "all"]


@dataclass(frozen=True)
class Frame:
    """Size of a chart and the margins of its plot area, in SVG units."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    @property
    def plot_width(self) -> int:
        """Width of the plot area."""
        return self.width - self.left - self.right

    @property
    def plot_height(self) -> int:
        """Height of the plot area."""
        return self.height - self.top - self.bottom


LINE_FRAME = Frame(560, 272, 52, 14, 12, 54)
HISTOGRAM_FRAME = Frame(300, 130, 8, 8, 6, 20)


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: label in the legend.
        colour: variable of the page's palette: s0 to s7, or soft.
        points: (x, y), at least one.
        markers: which points get a marker.
        dashed: marks a reference line.
    """

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    markers: Markers = "none"
    dashed: bool = False


@dataclass(frozen=True)
class Line:
    """A series in SVG units: its points in SVG notation, and those with a marker."""

    name: str
    colour: str
    dashed: bool
    points: str
    markers: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart of lines or bars in SVG units.

    Attributes:
        title: of the y axis or the distribution, with its unit.
        frame: size and margins.
        x_ticks: (x, text).
        y_ticks: (y, text).
        x_title: of the x axis, with its unit.
        lines: of a line chart.
        bars: of a histogram, as (left, top, width, height).
        summary: the range of the values in words.
    """

    title: str
    frame: Frame
    x_ticks: Ticks
    y_ticks: Ticks = field(default_factory=list)
    x_title: str = ""
    lines: list[Line] = field(default_factory=list)
    bars: list[tuple[float, float, float, float]] = field(default_factory=list)
    summary: str = ""


def line_chart(
    title: str,
    series: Sequence[Series],
    x_title: str,
    x_ticks: Ticks | None = None,
    integer_x: bool = False,
    from_zero: bool = False,
) -> Chart:
    """Lay out a line chart.

    Args:
        title: of the y axis, with its unit.
        series: at least one.
        x_title: of the x axis, with its unit.
        x_ticks: (x, text); round numbers when None.
        integer_x: place x ticks at integers only.
        from_zero: include y = 0.
    """
    xs = [x for each in series for x, _ in each.points]
    ys = [y for each in series for _, y in each.points] + ([0.0] if from_zero else [])
    if x_ticks is None:
        x_ticks = [(x, _plain(x)) for x in nice_ticks(min(xs), max(xs), 7) if not integer_x or x == int(x)]
    y_values = nice_ticks(min(ys), max(ys), 5)
    x_low, x_high = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
    y_low, y_high = y_values[0], y_values[-1]
    frame = LINE_FRAME

    def to_svg(x: float, y: float) -> tuple[float, float]:
        svg_x = frame.left + (x - x_low) / (x_high - x_low) * frame.plot_width
        svg_y = frame.height - frame.bottom - (y - y_low) / (y_high - y_low) * frame.plot_height
        return round(svg_x, 1), round(svg_y, 1)

    lines = []
    for each in series:
        placed = [to_svg(x, y) for x, y in each.points]
        markers = {"none": [], "last": placed[-1:], "all": placed}[each.markers]
        lines.append(Line(each.name, each.colour, each.dashed, " ".join(f"{x},{y}" for x, y in placed), markers))
    return Chart(
        title,
        frame,
        [(to_svg(x, y_low)[0], text) for x, text in x_ticks if x_low <= x <= x_high],
        [(to_svg(x_low, y)[1], _plain(y)) for y in y_values],
        x_title,
        lines,
    )


def histogram(title: str, values: Sequence[float] | np.ndarray) -> Chart:
    """Lay out a histogram of at least one value."""
    numbers = np.asarray(values, dtype=np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    middle, half_width = (low + high) / 2, max((high - low) / 2, 1e-3 * abs(high), 1e-3)
    counts, edges = np.histogram(numbers, HISTOGRAM_BINS, (middle - half_width, middle + half_width))
    ticks = [(tick, _plain(tick)) for tick in nice_ticks(float(edges[0]), float(edges[-1]), 4)]
    return _bar_chart(title, counts, edges, ticks, f"{low:.4g} to {high:.4g}, median {np.median(numbers):.4g}")


def log_histogram(title: str, weights: np.ndarray, edges: np.ndarray) -> Chart:
    """Lay out a histogram that was counted before, on a logarithmic axis; empty bins at both ends are cut off.

    Args:
        title: of the values, with their unit.
        weights: [n] of the bins.
        edges: [n + 1] of the bins, positive.
    """
    filled = np.flatnonzero(weights)
    first, last = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, len(weights))
    weights, edges = weights[first:last], np.log10(edges[first : last + 1])
    ticks = [(float(np.log10(value)), f"{value:g}") for value in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)]
    half = int(np.searchsorted(np.cumsum(weights), weights.sum() / 2))
    summary = f"{10 ** edges[0]:.2g} to {10 ** edges[-1]:.2g}, median about {10 ** edges[half]:.2g}"
    return _bar_chart(title, weights, edges, ticks, summary)


def _bar_chart(title: str, weights: np.ndarray, edges: np.ndarray, ticks: Ticks, summary: str) -> Chart:
    frame = HISTOGRAM_FRAME
    x_scale = frame.plot_width / (edges[-1] - edges[0])
    y_scale = frame.plot_height / max(float(weights.max()), 1e-9)
    svg_x = frame.left + (edges - edges[0]) * x_scale
    base = float(frame.height - frame.bottom)
    bars = [
        (round(float(left), 1), round(base - height, 1), round(float(right - left), 1), round(height, 1))
        for left, right, height in zip(svg_x[:-1], svg_x[1:], (float(w) * y_scale for w in weights), strict=True)
        if height
    ]
    inside = [(value, text) for value, text in ticks if edges[0] <= value <= edges[-1]]
    placed = [(round(float(frame.left + (value - edges[0]) * x_scale), 1), text) for value, text in inside]
    return Chart(title, frame, placed, [(base, "")], bars=bars, summary=summary)


def _plain(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About ``count`` round numbers from at or below ``low`` to at or above ``high``; at least two."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(k * step, 12) for k in range(first, last + 1)]
