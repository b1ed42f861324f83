"""The charts of a comparison's page: training, error by true depth, expected against actual error, looks by lag."""

import math

import torch

from echodepth.evaluation.comparison import Comparison, Row
from echodepth.models.attention.attention_lags import relative_attention, weight_near_zero
from echodepth.report.svg_chart import Chart, Series, line_chart

CURVE_TITLES = {
    "train/loss": "Training loss",
    "val/rmse": "Validation RMSE in m",
}
RANGE_TITLES = {
    "rmse": "RMSE in m",
    "bias": "Bias in m: mean of prediction minus truth",
}


def palette(rows: list[Row]) -> dict[str, str]:
    """Each model's colour on the page, by its name; the mean depth is what the others are compared with."""
    models = [row.name for row in rows if row.evaluation.control == "none"]
    means = [row.name for row in rows if row.evaluation.control == "mean_depth"]
    return {name: f"s{index % 8}" for index, name in enumerate(models)} | dict.fromkeys(means, "soft")


def training_charts(comparison: Comparison, colours: dict[str, str]) -> list[Chart]:
    """The logs of the models that have one, over epochs."""
    charts = []
    for column, title in CURVE_TITLES.items():
        told = {name: curves[column] for name, curves in comparison.curves.items() if curves.get(column)}
        if told:
            series = [Series(name, colours[name], points, "last") for name, points in told.items()]
            charts.append(line_chart(title, series, "epoch", whole=True))
    return charts


def filled_ranges(rows: list[Row]) -> list[int]:
    """Which of the depth ranges hold a pixel of any row."""
    return [i for i, _ in enumerate(rows[0].evaluation.depth_ranges) if any(_pixels(row, i) for row in rows)]


def _pixels(row: Row, index: int) -> int:
    return row.evaluation.depth_ranges[index].pixels


def range_charts(rows: list[Row], colours: dict[str, str]) -> list[Chart]:
    """Error and bias by true depth, of models and of the mean depth."""
    filled = filled_ranges(rows)
    ticks = [(float(at), rows[0].evaluation.depth_ranges[i].label) for at, i in enumerate(filled)]
    charts = []
    for figure, title in RANGE_TITLES.items():
        series = []
        for row in (row for row in rows if row.name in colours):
            values = [getattr(row.evaluation.depth_ranges[i], figure) for i in filled]
            points = [(float(at), value) for at, value in enumerate(values) if math.isfinite(value)]
            if points:
                series.append(Series(row.name, colours[row.name], points, "all", row.evaluation.control != "none"))
        if series:
            charts.append(line_chart(title, series, "true depth in m", ticks, from_zero=True))
    return charts


def doubt_charts(rows: list[Row], colours: dict[str, str]) -> list[Chart]:
    """Expected against actual error, and sparsification, of the models that say how far off they expect to be."""
    told = [(row, row.evaluation.calibration) for row in rows if row.evaluation.calibration and row.name in colours]
    bins, sparse, most = [], [], 0.0
    for row, calibration in told:
        assert calibration is not None
        colour, curves = colours[row.name], calibration["sparsification"]
        bins.append(Series(row.name, colour, list(zip(*calibration["reliability"].values(), strict=True)), "all"))
        most = max(most, *calibration["reliability"]["expected"], *calibration["reliability"]["observed"])
        percent = [100 * share for share in curves["removed"]]
        best = list(zip(percent, curves["oracle_mae"], strict=True))
        sparse.append(Series(row.name, colour, list(zip(percent, curves["mae"], strict=True))))
        sparse.append(Series(f"by its actual errors: AUSE {calibration['ause']:.3f} m", colour, best, dashed=True))
    if not told:
        return []
    bins.append(Series("as it should be", "soft", [(0.0, 0.0), (most, most)], dashed=True))
    return [
        line_chart("Actual error in m: mean of each tenth of the pixels", bins, "expected error in m", from_zero=True),
        line_chart("MAE of what is left, in m", sparse, "least sure pixels removed, %", from_zero=True),
    ]


def lag_charts(comparison: Comparison) -> list[Chart]:
    """For each model with attention, how often the left ear looks at each lag, against looking everywhere alike."""
    charts = []
    for row in comparison.rows:
        views = [views[row.name] for views in comparison.views.values() if row.name in views]
        series = []
        for index, level in enumerate(views[0].lags if views else ()):
            weights = torch.stack([view.lags[level] for view in views]).mean(dim=0)
            column = 1000 * row.evaluation.model["audio_seconds"] / (weights.shape[1] // 2 + 1)
            points = [(lag * column, times) for lag, times in relative_attention(weights)]
            looked, alike = (100 * share for share in weight_near_zero(weights))
            name = f"level {level[1:]}, {column:.2g} ms a column: {looked:.0f} % within ±1, alike {alike:.0f} %"
            series.append(Series(name, f"s{index}", points, "all" if len(points) < 20 else "none"))
        if series:
            ends = [x for each in series for x, _ in each.points]
            reference = Series("everywhere alike", "soft", [(min(ends), 1.0), (max(ends), 1.0)], dashed=True)
            title = f"{row.name}: weight, × everywhere alike"
            charts.append(line_chart(title, [*series, reference], "lag in ms", from_zero=True))
    return charts
