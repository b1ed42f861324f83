"""Where the bars of a small histogram lie, in the units of an SVG; the page's template draws them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echodepth.report.svg_chart import nice_ticks

WIDTH, HEIGHT = 300, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 6, 20
_BINS = 24


@dataclass(frozen=True)
class Histogram:
    """Bars as (left, top, width, height), ticks as (place, text), and how the values lie in words."""

    title: str
    bars: list[tuple[float, float, float, float]]
    ticks: list[tuple[float, str]]
    summary: str


def histogram(title: str, values: Sequence[float] | np.ndarray, weights: np.ndarray | None = None) -> Histogram:
    """Lay out a histogram.

    Args:
        title: what the values are, with their unit.
        values: at least one; with ``weights`` the bins' edges, which are drawn on a logarithmic axis.
        weights: what lies in each bin.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if weights is None:
        low, high = float(numbers.min()), float(numbers.max())
        middle, reach = (low + high) / 2, max((high - low) / 2, 1e-3 * abs(high), 1e-3)
        weights, edges = np.histogram(numbers, _BINS, (middle - reach, middle + reach))
        ticks = [(tick, f"{tick:g}") for tick in nice_ticks(float(edges[0]), float(edges[-1]), 4)]
        summary = f"{low:.4g} to {high:.4g}, median {np.median(numbers):.4g}"
    else:
        filled = np.flatnonzero(weights)
        first, last = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, len(weights))
        weights, edges = weights[first:last], np.log10(numbers[first : last + 1])
        round_metres = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
        ticks = [(float(np.log10(metres)), f"{metres:g}") for metres in round_metres]
        half = int(np.searchsorted(np.cumsum(weights), weights.sum() / 2))
        summary = f"{10 ** edges[0]:.2g} to {10 ** edges[-1]:.2g}, median about {10 ** edges[half]:.2g}"
    across = (WIDTH - _LEFT - _RIGHT) / (edges[-1] - edges[0])
    upward = (HEIGHT - _TOP - _BOTTOM) / max(float(weights.max()), 1e-9)
    places = _LEFT + (edges - edges[0]) * across
    bars = [
        (round(float(left), 1), round(HEIGHT - _BOTTOM - tall, 1), round(float(right - left), 1), round(tall, 1))
        for left, right, tall in zip(places[:-1], places[1:], (float(w) * upward for w in weights), strict=True)
        if tall
    ]
    inside = [(at, text) for at, text in ticks if edges[0] <= at <= edges[-1]]
    placed = [(round(float(_LEFT + (at - edges[0]) * across), 1), text) for at, text in inside]
    return Histogram(title, bars, placed, summary)
