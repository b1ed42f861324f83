"""A comparison as one self-contained HTML page: pictures, style sheet and the script that sorts its tables included."""

import math
from pathlib import Path

from echodepth.evaluation.comparison import Comparison, ComparisonRow
from echodepth.evaluation.formatting import (
    BINS_SENTENCE,
    DIRECTION_SENTENCE,
    describe,
    difference_sentence,
    headline,
    interval,
    signed_interval,
)
from echodepth.evaluation.report_charts import (
    calibration_charts,
    depth_bin_charts,
    filled_bins,
    lag_charts,
    palette,
    training_charts,
)
from echodepth.evaluation.report_images import error_map_images, frame_cards
from echodepth.metrics.depth import METRIC_TABLE
from echodepth.metrics.direction import SCORE_TABLE
from echodepth.metrics.error_map import GRID
from echodepth.report.figures import colour_stops
from echodepth.report.html import template


def html(comparison: Comparison) -> str:
    """The page's HTML."""
    rows = comparison.rows
    colours = palette(rows)
    error_maps, error_map_limit = error_map_images(rows)
    page = template(Path(__file__).with_name("report.html.jinja"), interval=interval, signed_interval=signed_interval)
    return page.render(
        comparison=comparison,
        sentence=describe(comparison),
        headline=headline(comparison),
        difference_sentence=difference_sentence(comparison.resampling),
        bins_sentence=BINS_SENTENCE,
        direction_sentence=DIRECTION_SENTENCE,
        scores=SCORE_TABLE.values(),
        metrics=METRIC_TABLE.values(),
        whiskers=_whiskers(rows),
        bins=filled_bins(rows),
        bin_charts=depth_bin_charts(rows, colours),
        error_maps=error_maps,
        error_map_limit=error_map_limit,
        grid=GRID,
        calibration_charts=calibration_charts(rows, colours),
        lag_charts=lag_charts(comparison),
        training_charts=training_charts(comparison, colours),
        frames=frame_cards(comparison),
        depth_colours=colour_stops("depth"),
        error_colours=colour_stops("error"),
        first=rows[0].evaluation,
        version=rows[0].evaluation.version,
    )


def _whiskers(rows: list[ComparisonRow]) -> list[tuple[ComparisonRow, float, float, float]]:
    """Each row with the lower bound, mean and upper bound of its RMSE, in per cent of the page's scale."""
    bounds = [(row.means["rmse"], row.intervals["rmse"] or (row.means["rmse"],) * 2) for row in rows]
    highest = max((high for _, (_, high) in bounds if math.isfinite(high)), default=1.0)
    # Intervals of two or three rooms are so wide that on their scale no two means differ: their lines leave the track.
    longest = max((mean for mean, _ in bounds if math.isfinite(mean)), default=1.0)
    limit = 1.04 * min(highest, 2 * longest) or 1.0
    return [
        (row, 100 * max(0.0, low) / limit, 100 * mean / limit, min(100.0, 100 * high / limit))
        for row, (mean, (low, high)) in zip(rows, bounds, strict=True)
        if math.isfinite(mean)
    ]
