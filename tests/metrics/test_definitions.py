"""Numbers that define a metric: figures of other values would not be comparable with published ones."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from echodepth.metrics import bootstrap
from echodepth.metrics.calibration import UncertaintyCalibration, sparsification
from echodepth.metrics.depth import METRIC_TABLE, DepthMetrics, per_image_metrics
from echodepth.metrics.depth_bins import DepthBinAccumulator
from echodepth.metrics.direction import SCORES, correlation, direction_differences
from echodepth.metrics.error_map import ErrorMapAccumulator

Maps = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def maps(prediction: list[float], target: list[float]) -> Maps:
    p, t = (torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1) for values in (prediction, target))
    return p, t, torch.ones_like(t, dtype=torch.bool)


def test_every_metric_by_hand() -> None:
    values = {name: float(value) for name, value in per_image_metrics(*maps([2.0, 1.3, 4.0], [1.0, 1.0, 8.0])).items()}
    logs = [math.log(2.0), math.log(1.3), math.log(0.5)]
    mean = sum(logs) / 3
    assert values == pytest.approx(
        {
            **{"rmse": math.sqrt((1 + 0.09 + 16) / 3), "abs_rel": (1 + 0.3 + 0.5) / 3, "mae": 5.3 / 3},
            **{"log10": sum(abs(x) for x in logs) / 3 / math.log(10), "delta1": 0.0, "delta2": 1 / 3, "delta3": 1 / 3},
            "silog": 100 * math.sqrt(sum(x * x for x in logs) / 3 - mean**2),
        }
    )
    assert [name for name, metric in METRIC_TABLE.items() if metric.higher_is_better] == ["delta1", "delta2", "delta3"]
    assert list(SCORES) == [*METRIC_TABLE, "left_right", "up_down"]


@pytest.mark.parametrize(("power", "name"), [(1, "delta1"), (2, "delta2"), (3, "delta3")])
def test_a_delta_is_below_a_power_of_five_quarters(power: int, name: str) -> None:
    hits = per_image_metrics(*maps([1.25**power * 0.999] * 2, [1.0, 1.25 ** (2 * power)]))[name]
    misses = per_image_metrics(*maps([1.25**power * 1.001, 1.25**power], [1.0, 1.0]))[name]
    assert (float(hits), float(misses)) == (0.5, 0.0)


def test_a_bad_prediction_is_scored_as_a_millimetre() -> None:
    for bad in (math.nan, math.inf, 0.0, -3.0):
        metrics = DepthMetrics()
        metrics.update(*maps([bad, 2.0], [2.0, 2.0]))
        found = metrics.compute()
        assert float(found["mae"]) == pytest.approx(1.999 / 2)
        assert (int(found["bad_predictions"]), int(found["pixels"]), int(found["images"])) == (1, 2, 1)


def test_the_bins_of_depth() -> None:
    edges = [0.5, 1.0, 2.0, 3.0, 5.0, 10.0]
    depths = [0.1, *(edge + side for edge in edges for side in (-0.01, 0.0)), 40.0]
    bins = DepthBinAccumulator()
    bins.update(*maps([depth + 1 for depth in depths], depths))
    found = bins.compute()
    assert [each.label for each in found] == ["0–0.5", "0.5–1", "1–2", "2–3", "3–5", "5–10", "≥ 10"]
    assert [each.pixels for each in found] == [2] * 7
    assert [each.bias for each in found] == pytest.approx([1.0] * 7)
    assert sum(each.share for each in found) == pytest.approx(1.0)


@pytest.mark.parametrize(("pixels", "worst"), [(9, ("middle", 1.0)), (10, ("bottom right", 9.0))])
def test_the_worst_of_eight_by_eight_regions_has_a_tenth_of_the_mean_regions_pixels(
    pixels: int, worst: tuple[str, float]
) -> None:
    target, valid = torch.ones(1, 1, 80, 80), torch.ones(1, 1, 80, 80, dtype=torch.bool)
    valid[..., 70:, 70:] = False
    valid[..., 70, 70 : 70 + pixels] = True  # the mean region has 98 or 99
    prediction = target.clone()
    prediction[..., 70:, 70:] += 9.0
    prediction[..., 30:40, 30:40] += 1.0
    regions = ErrorMapAccumulator()
    regions.update(prediction, target, valid)
    found = regions.compute()
    assert [len(found.mae), len(found.mae[0])] == [8, 8]
    assert (found.pixels[7][7], found.pixels[3][3]) == (pixels, 100)
    assert found.worst is not None
    assert found.worst.position == worst[0]
    assert found.worst.mae == pytest.approx(worst[1])


def test_curves_remove_a_twentieth_at_a_time_and_levels_and_bins_are_round() -> None:
    values = np.arange(1.0, 21.0)
    kept = sparsification(values[None], values)[0]
    assert kept.tolist() == pytest.approx([np.mean(values[: 20 - step]) for step in range(20)])
    calibration = UncertaintyCalibration()
    error = torch.linspace(0.05, 2, 40).view(1, 1, 4, 10)
    calibration.update(1 + error, torch.ones_like(error), torch.ones_like(error), torch.ones_like(error) > 0)
    found = calibration.compute()
    assert found["sparsification"]["removed"] == pytest.approx([step / 20 for step in range(20)])
    assert found["coverage"]["nominal"] == pytest.approx([step / 20 for step in range(1, 20)])
    assert len(found["reliability"]["error"]) == 10
    # A share p of Laplace errors of scale 1 is at most -ln(1 - p).
    for percent in (50, 80, 95):
        bound = -math.log(1 - percent / 100)
        assert found[f"coverage_{percent}"] == pytest.approx(float((error <= bound).double().mean()))
    assert {name for name in found if name.startswith("coverage_")} == {"coverage_50", "coverage_80", "coverage_95"}


def test_intervals_are_of_95_per_cent_from_two_thousand_resamples() -> None:
    assert bootstrap.resampled_means(np.arange(8.0)[:, None], np.arange(8), 0).shape == (2000, 1)
    assert bootstrap.FEW_CLUSTERS == 6
    values = np.array([[1.0], [2.0], [4.0]])
    half = student.ppf(0.975, 2) * values.std(ddof=1) / math.sqrt(3)
    low, high = bootstrap.student_bounds(values, np.arange(3))[:, 0]
    assert (low, high) == pytest.approx((7 / 3 - half, 7 / 3 + half))
    # Of many clusters, the quantiles are those of the normal distribution.
    assert bootstrap.percentiles(100_000) == pytest.approx((0.025, 0.975), abs=1e-4)


def test_a_correlation_needs_three_frames_and_a_spread_beyond_rounding() -> None:
    x = np.array([0.0, 1.0, 3.0])
    assert correlation(x, 2 * x) == pytest.approx(1.0)
    assert np.isnan(correlation(x[:2], x[:2]))
    spread = (x - x.mean()) / x.std()
    assert correlation(1.1e-6 * spread, x) == pytest.approx(1.0)
    assert np.isnan(correlation(0.9e-6 * spread, x))


def test_a_direction_is_the_difference_of_mean_log_depth() -> None:
    depth = torch.tensor([[4.0, 9.0, 1.0], [2.0, 9.0, 1.0], [1.0, 9.0, 1.0]]).view(1, 1, 3, 3)
    found = direction_differences(depth, 2 * depth, torch.ones_like(depth, dtype=torch.bool))
    left_right, up_down = math.log(8) / 3, (math.log(36) - math.log(9)) / 3
    for kind in ("predicted", "true"):  # the middle row and column belong to neither half
        assert float(found[f"left_right_{kind}"]) == pytest.approx(left_right)
        assert float(found[f"up_down_{kind}"]) == pytest.approx(up_down)
