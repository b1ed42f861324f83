"""Where the lines and labels of a small chart lie, in the units of an SVG; the page's template draws them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH, HEIGHT = 560, 272
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 54
Ticks = list[tuple[float, str]]
Dots = Literal["none", "last", "all"]


@dataclass(frozen=True)
class Series:
    """What a line shows.

    Attributes:
        name: for the legend; empty keeps the line out of it.
        colour: of the page's palette: s0 to s7, or soft.
        points: (x, y), at least one.
        dots: which points are marked.
        dashed: for what the others are compared with.
    """

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    dots: Dots = "none"
    dashed: bool = False


@dataclass(frozen=True)
class Line:
    """A series where it is drawn: its points as SVG writes them, and those that are marked."""

    name: str
    colour: str
    dashed: bool
    points: str
    dots: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart of lines, with ticks as (place, text)."""

    title: str
    x_title: str
    lines: list[Line]
    x_ticks: Ticks
    y_ticks: Ticks


def line_chart(
    title: str,
    series: Sequence[Series],
    x_title: str,
    x_ticks: Ticks | None = None,
    whole: bool = False,
    from_zero: bool = False,
) -> Chart:
    """Lay out a chart.

    Args:
        title: what y is, with its unit.
        series: at least one.
        x_title: what x is, with its unit.
        x_ticks: (x, text); round numbers when None.
        whole: ticks of x at whole numbers alone.
        from_zero: y begins at 0, or ends there.
    """
    xs = [x for each in series for x, _ in each.points]
    ys = [y for each in series for _, y in each.points] + ([0.0] if from_zero else [])
    if x_ticks is None:
        x_ticks = [(x, _plain(x)) for x in nice_ticks(min(xs), max(xs), 7) if not whole or x == int(x)]
    y_values = nice_ticks(min(ys), max(ys), 5)
    x_low, x_high = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
    y_low, y_high = y_values[0], y_values[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        up = HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(up, 1)

    lines = []
    for each in series:
        placed = [place(x, y) for x, y in each.points]
        dots = {"none": [], "last": placed[-1:], "all": placed}[each.dots]
        lines.append(Line(each.name, each.colour, each.dashed, " ".join(f"{x},{y}" for x, y in placed), dots))
    return Chart(
        title,
        x_title,
        lines,
        [(place(x, y_low)[0], text) for x, text in x_ticks if x_low <= x <= x_high],
        [(place(x_low, y)[1], _plain(y)) for y in y_values],
    )


def _plain(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers, about so many, from at or below ``low`` to at or above ``high``; at least two."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(k * step, 12) for k in range(first, last + 1)]
