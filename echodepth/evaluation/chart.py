"""Where the lines and labels of a small chart lie, in the units of an SVG; the page's template draws them."""

import math
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 32


@dataclass(frozen=True)
class Line:
    """One series: its place in the page's palette, its points as SVG writes them, and its last one."""

    name: str
    colour: int
    points: str
    end: tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """A chart of lines over epochs, with round ticks as (place, text)."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def line_chart(title: str, series: dict[str, list[tuple[float, float]]], colours: dict[str, int]) -> Chart:
    """Lay out series of (epoch, value) points, each of at least one."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_ticks = [tick for tick in nice_ticks(min(xs), max(xs), 7) if tick == int(tick)]
    y_ticks = nice_ticks(min(ys), max(ys), 5)
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        up = HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(up, 1)

    lines = []
    for name, points in series.items():
        placed = [place(x, y) for x, y in points]
        lines.append(Line(name, colours[name], " ".join(f"{x},{y}" for x, y in placed), placed[-1]))
    return Chart(
        title,
        lines,
        [(place(x, y_low)[0], f"{x:g}") for x in x_ticks if x_low <= x <= x_high],
        [(place(x_low, y)[1], f"{y:g}") for y in y_ticks],
    )


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers, about so many, from at or below ``low`` to at or above ``high``; at least two."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(k * step, 12) for k in range(first, last + 1)]
