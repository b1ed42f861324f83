"""A comparison as a page for people, in one file: pictures, styles and the script that sorts its tables are inside."""

import math
from pathlib import Path

from echodepth.evaluation.comparison import Comparison, Row
from echodepth.evaluation.formatting import (
    INTERVAL_SENTENCE,
    RANGES_SENTENCE,
    heading,
    interval,
    number,
    raw,
    sentence,
    signed,
)
from echodepth.evaluation.report_charts import (
    doubt_charts,
    filled_ranges,
    lag_charts,
    palette,
    range_charts,
    training_charts,
)
from echodepth.evaluation.report_images import frame_cards, region_maps
from echodepth.metrics.depth import HIGHER_IS_BETTER, METRICS
from echodepth.metrics.error_map import GRID
from echodepth.report.figures import colour_stops
from echodepth.report.html import template
from echodepth.report.svg_chart import HEIGHT, LEFT, RIGHT, WIDTH


def html(comparison: Comparison) -> str:
    """The page's text."""
    rows = comparison.rows
    colours = palette(rows)
    regions, region_limit = region_maps(rows)
    page = template(
        Path(__file__).with_name("report.html.jinja"),
        number=number,
        signed=signed,
        raw=raw,
        heading=heading,
        interval=interval,
    )
    return page.render(
        comparison=comparison,
        sentence=sentence(comparison),
        interval_sentence=INTERVAL_SENTENCE,
        ranges_sentence=RANGES_SENTENCE,
        metrics=METRICS,
        higher_is_better=HIGHER_IS_BETTER,
        whiskers=_whiskers(rows),
        ranges=filled_ranges(rows),
        range_charts=range_charts(rows, colours),
        regions=regions,
        region_limit=region_limit,
        grid=GRID,
        doubt_charts=doubt_charts(rows, colours),
        lag_charts=lag_charts(comparison),
        training_charts=training_charts(comparison, colours),
        size={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT},
        frames=frame_cards(comparison),
        depth_colours=colour_stops("depth"),
        error_colours=colour_stops("error"),
        first=rows[0].evaluation,
    )


def _whiskers(rows: list[Row]) -> list[tuple[Row, float, float, float]]:
    """Each row's RMSE and its interval's ends, in per cent of the widest."""
    ends = [(row.figures["rmse"], row.intervals["rmse"] or (row.figures["rmse"],) * 2) for row in rows]
    widest = 1.04 * max((high for _, (_, high) in ends if math.isfinite(high)), default=1.0) or 1.0
    return [
        (row, 100 * low / widest, 100 * value / widest, 100 * high / widest)
        for row, (value, (low, high)) in zip(rows, ends, strict=True)
        if math.isfinite(value)
    ]
