"""Layout of SVG charts: ticks, lines between their ticks, and bars whose areas are the weights."""

import math

import numpy as np
import pytest

from echodepth.report.formatting import number, raw, signed
from echodepth.report.svg_chart import (
    HISTOGRAM_BINS,
    HISTOGRAM_FRAME,
    LINE_FRAME,
    Series,
    histogram,
    line_chart,
    log_histogram,
    nice_ticks,
)


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (2.31, 3.82), (1e-5, 3e-5), (5.0, 5.0), (0.0, 0.0), (1.0, 200.0)]
)
def test_ticks_are_few_round_and_reach_around(low: float, high: float) -> None:
    ticks = nice_ticks(low, high, 5)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert ticks[-1] >= high
    steps = np.diff(ticks)
    assert steps == pytest.approx(steps[0])
    assert f"{steps[0]:e}"[0] in "125"


def test_a_chart_lies_between_its_ticks() -> None:
    chart = line_chart("y", [Series("a", "s0", [(0.0, -1.0), (10.0, 3.0)], "last")], "x", from_zero=True)
    assert [text for _, text in chart.y_ticks] == ["−1", "0", "1", "2", "3"]
    (line,) = chart.lines
    right = LINE_FRAME.width - LINE_FRAME.right
    assert line.points == f"{LINE_FRAME.left}.0,{chart.y_ticks[0][0]} {right}.0,{LINE_FRAME.top}.0"
    assert line.markers == [(right, LINE_FRAME.top)]
    assert all(y <= LINE_FRAME.height for y, _ in chart.y_ticks)
    named = line_chart("y", [Series("a", "s0", [(0.0, 1.0), (2.0, 2.0)])], "x", [(0.0, "near"), (1.0, "far")])
    assert [text for _, text in named.x_ticks] == ["near", "far"]


def test_integer_ticks_are_integers() -> None:
    chart = line_chart("loss", [Series("a", "s0", [(1.0, 1.0), (3.0, 2.0)])], "epoch", integer_x=True)
    assert [text for _, text in chart.x_ticks] == ["1", "2", "3"]


def test_bars_are_as_high_as_their_counts() -> None:
    """Of 0, 0, 0 and 24 the first bin holds three and the last one: bars of the full and of a third of the height."""
    chart = histogram("values", [0.0, 0.0, 0.0, 24.0])
    first, last = chart.bars
    base = HISTOGRAM_FRAME.height - HISTOGRAM_FRAME.bottom
    assert (first[1], first[3]) == (HISTOGRAM_FRAME.top, HISTOGRAM_FRAME.plot_height)
    assert last[3] == pytest.approx(HISTOGRAM_FRAME.plot_height / 3, abs=0.1)
    assert last[1] + last[3] == pytest.approx(base)
    assert first[0] == HISTOGRAM_FRAME.left
    assert last[0] + last[2] == pytest.approx(HISTOGRAM_FRAME.width - HISTOGRAM_FRAME.right, abs=0.1)
    assert first[2] == pytest.approx(HISTOGRAM_FRAME.plot_width / HISTOGRAM_BINS, abs=0.1)
    assert chart.summary == "0 to 24, median 0"


def test_a_histogram_of_one_value_has_one_bar() -> None:
    assert len(histogram("values", [2.0, 2.0]).bars) == 1
    assert len(histogram("values", [0.0]).bars) == 1


def test_a_log_histogram_drops_empty_ends_and_has_bars_of_equal_width() -> None:
    chart = log_histogram("depth, m", np.array([0.0, 1.0, 0.0, 3.0, 0.0]), np.array([0.1, 1.0, 10.0, 100.0, 1e3, 1e4]))
    low, high = chart.bars
    assert low[2] == high[2] == pytest.approx(HISTOGRAM_FRAME.plot_width / 3, abs=0.1)
    assert high[3] == pytest.approx(3 * low[3], abs=0.2)
    assert [text for _, text in chart.x_ticks] == ["1", "2", "5", "10", "20", "50", "100"]
    assert chart.summary == "1 to 1e+03, median about 1e+02"


def test_numbers_as_text() -> None:
    assert [number(value) for value in (0.1234, 9.9996, 12.3456, math.nan)] == ["0.123", "10.000", "12.35", "–"]
    assert [signed(value) for value in (0.5, -0.25, -12.0, math.nan)] == ["+0.500", "−0.250", "−12.00", "–"]
    assert [raw(value) for value in (0.1, math.nan)] == ["0.1", ""]
