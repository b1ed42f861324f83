"""Charts of a comparison's page: training, error by depth range, calibration, attention by lag."""

import math

import torch

from echodepth.evaluation.comparison import Comparison, ComparisonRow
from echodepth.models.attention.attention_lags import relative_attention, weight_near_zero
from echodepth.report.svg_chart import Chart, Series, line_chart

CURVE_TITLES = {
    "train/loss": "Training loss",
    "val/rmse": "Validation RMSE in m",
}
BIN_TITLES = {
    "rmse": "RMSE in m",
    "bias": "Bias in m: mean of prediction minus ground truth",
}


def palette(rows: list[ComparisonRow]) -> dict[str, str]:
    """The page colour of every model and, muted, of the mean-depth baseline, by row name."""
    models = [row.name for row in rows if row.evaluation.control == "none"]
    baselines = [row.name for row in rows if row.evaluation.control == "mean_depth"]
    return {name: f"s{index % 8}" for index, name in enumerate(models)} | dict.fromkeys(baselines, "soft")


def training_charts(comparison: Comparison, colours: dict[str, str]) -> list[Chart]:
    """Training curves of the models that have a log."""
    charts = []
    for column, title in CURVE_TITLES.items():
        logged = {name: curves[column] for name, curves in comparison.curves.items() if curves.get(column)}
        if logged:
            series = [Series(name, colours[name], points, "last") for name, points in logged.items()]
            charts.append(line_chart(title, series, "epoch", integer_x=True))
    return charts


def filled_bins(rows: list[ComparisonRow]) -> list[int]:
    """Indices of the depth bins that hold a pixel of any row."""
    count = len(rows[0].evaluation.depth_bins)
    return [i for i in range(count) if any(row.evaluation.depth_bins[i].pixels for row in rows)]


def depth_bin_charts(rows: list[ComparisonRow], colours: dict[str, str]) -> list[Chart]:
    """RMSE and bias by depth range, of models and of the mean-depth baseline."""
    filled = filled_bins(rows)
    ticks = [(float(x), rows[0].evaluation.depth_bins[i].label) for x, i in enumerate(filled)]
    charts = []
    for field, title in BIN_TITLES.items():
        series = []
        for row in (row for row in rows if row.name in colours):
            values = [getattr(row.evaluation.depth_bins[i], field) for i in filled]
            points = [(float(x), value) for x, value in enumerate(values) if math.isfinite(value)]
            if points:
                series.append(Series(row.name, colours[row.name], points, "all", row.evaluation.control != "none"))
        if series:
            charts.append(line_chart(title, series, "ground-truth depth in m", ticks, from_zero=True))
    return charts


def calibration_charts(rows: list[ComparisonRow], colours: dict[str, str]) -> list[Chart]:
    """Reliability and sparsification of the models with predicted uncertainty."""
    reliability, sparsification, largest = [], [], 0.0
    for row in rows:
        calibration = row.evaluation.calibration
        if not calibration or row.name not in colours:
            continue
        colour, bins, curves = colours[row.name], calibration["reliability"], calibration["sparsification"]
        points = list(zip(bins["uncertainty"], bins["error"], strict=True))
        reliability.append(Series(row.name, colour, points, "all"))
        largest = max(largest, *bins["uncertainty"], *bins["error"])
        percent = [100 * share for share in curves["removed"]]
        oracle = list(zip(percent, curves["oracle_mae"], strict=True))
        sparsification.append(Series(row.name, colour, list(zip(percent, curves["mae"], strict=True))))
        sparsification.append(Series(f"oracle: AUSE {calibration['ause']:.3f} m", colour, oracle, dashed=True))
    if not reliability:
        return []
    reliability.append(Series("perfect calibration", "soft", [(0.0, 0.0), (largest, largest)], dashed=True))
    tenths, rest = "Reliability: mean error of each tenth, m", "Sparsification: MAE of the rest, m"
    return [
        line_chart(tenths, reliability, "predicted uncertainty in m", from_zero=True),
        line_chart(rest, sparsification, "most uncertain pixels removed, %", from_zero=True),
    ]


def lag_charts(comparison: Comparison) -> list[Chart]:
    """For each model with attention, the attention weight at each lag relative to uniform attention."""
    charts = []
    for row in comparison.rows:
        predictions = [models[row.name] for models in comparison.predictions.values() if row.name in models]
        series = []
        for index, level in enumerate(predictions[0].lags if predictions else ()):
            weights = torch.stack([prediction.lags[level] for prediction in predictions]).mean(dim=0)
            column = 1000 * row.evaluation.model["audio_seconds"] / (weights.shape[1] // 2 + 1)
            points = [(lag * column, ratio) for lag, ratio in relative_attention(weights)]
            near, uniform = (100 * share for share in weight_near_zero(weights))
            name = f"level {level[1:]}, {column:.2g} ms a column: {near:.0f} % within ±1, uniform {uniform:.0f} %"
            series.append(Series(name, f"s{index}", points, "all" if len(points) < 20 else "none"))
        if series:
            ends = [x for each in series for x, _ in each.points]
            reference = Series("uniform attention", "soft", [(min(ends), 1.0), (max(ends), 1.0)], dashed=True)
            title = f"{row.name}: attention weight relative to uniform"
            charts.append(line_chart(title, [*series, reference], "lag in ms", from_zero=True))
    return charts
