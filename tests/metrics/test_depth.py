"""The metrics against values worked out by hand, invalid predictions and targets, and sharding."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError

from echodepth.metrics.depth import METRIC_TABLE, METRICS, DepthMetrics, Metric, per_image_metrics


def maps(*rows: list[float]) -> Tensor:
    """One image per row, one pixel row each."""
    return torch.tensor(rows)[:, None, None, :]


def everywhere(depth: Tensor) -> Tensor:
    return torch.ones_like(depth, dtype=torch.bool)


def run(prediction: Tensor, target: Tensor, valid: Tensor | None = None) -> dict[str, float]:
    metric = DepthMetrics()
    metric.update(prediction, target, everywhere(target) if valid is None else valid)
    return {name: float(value) for name, value in metric.compute().items()}


def test_hand_worked_image() -> None:
    figures = per_image_metrics(maps([1.0, 4.0]), maps([2.0, 4.0]), everywhere(maps([2.0, 4.0])))
    expected = {
        "rmse": math.sqrt(0.5),  # errors 1 and 0
        "abs_rel": 0.25,  # 1/2 and 0
        "log10": math.log10(2) / 2,
        "delta1": 0.5,  # ratios 2 and 1, limits 1.25, 1.5625, 1.953
        "delta2": 0.5,
        "delta3": 0.5,
        "mae": 0.5,
        "silog": 100 * math.log(2) / 2,  # of log ratios -log 2 and 0
    }
    assert tuple(figures) == METRICS
    for name, value in expected.items():
        assert figures[name].item() == pytest.approx(value, abs=1e-12), name


def test_a_metric_added_to_the_table_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    mse = Metric("mse", "MSE (m²)", False, lambda mean: mean["squared"])
    monkeypatch.setitem(METRIC_TABLE, "mse", mse)
    values = per_image_metrics(maps([1.0, 4.0]), maps([2.0, 4.0]), everywhere(maps([2.0, 4.0])))
    assert list(values) == [*METRICS, "mse"]
    assert values["mse"].item() == 0.5
    assert mse.heading == "MSE (m²) ↓"


def test_headings_point_to_better_values() -> None:
    arrows = {name: metric.heading[-1] for name, metric in METRIC_TABLE.items()}
    assert {name for name, arrow in arrows.items() if arrow == "↑"} == {"delta1", "delta2", "delta3"}
    assert METRIC_TABLE["rmse"].heading == "RMSE (m) ↓"


def test_delta_thresholds_are_powers_and_exclusive() -> None:
    target = maps([1.0, 1.0, 1.0, 1.0])
    figures = per_image_metrics(maps([1.2, 1 / 1.25, 1.5, 1.9]), target.clone(), everywhere(target))
    # 1/1.25 in float32 is a hair over 0.8, so its ratio is just below 1.25.
    assert [figures[f"delta{k}"].item() for k in (1, 2, 3)] == [0.5, 0.75, 1.0]
    exactly = per_image_metrics(maps([1.25]), maps([1.0]), everywhere(maps([1.0])))
    assert exactly["delta1"].item() == 0.0


def test_perfect_prediction_and_scale_invariance_of_silog() -> None:
    target = torch.rand(2, 1, 5, 7) + 1
    perfect = per_image_metrics(target.clone(), target.clone(), everywhere(target))
    for name in METRICS:
        assert perfect[name].tolist() == [float(name.startswith("delta"))] * 2
    scaled = per_image_metrics(2 * target, target.clone(), everywhere(target))
    assert scaled["silog"].tolist() == pytest.approx([0, 0], abs=1e-4)
    assert scaled["abs_rel"].tolist() == pytest.approx([1, 1])


def test_agrees_with_torchmetrics_where_it_has_the_figure() -> None:
    prediction, target = torch.rand(3, 1, 6, 6) * 9 + 0.5, torch.rand(3, 1, 6, 6) * 9 + 0.5
    ours = run(prediction, target)
    rmse, mae = MeanSquaredError(squared=False), MeanAbsoluteError()
    assert ours["pooled_rmse"] == pytest.approx(rmse(prediction, target).item(), rel=1e-5)
    assert ours["pooled_mae"] == pytest.approx(mae(prediction, target).item(), rel=1e-5)


def test_image_means_and_pooled_figures_differ_as_they_should() -> None:
    # One image with a single valid pixel, 3 m off; one with three, exact.
    valid = torch.tensor([[True, False, False], [True, True, True]])[:, None, None, :]
    figures = run(maps([4.0, 9, 9], [1.0, 2, 3]), maps([1.0, 0, 0], [1.0, 2, 3]), valid)
    assert figures["rmse"] == pytest.approx(1.5)
    assert figures["pooled_rmse"] == pytest.approx(math.sqrt(9 / 4))
    assert figures["mae"] == pytest.approx(1.5)
    assert figures["pooled_mae"] == pytest.approx(0.75)
    assert (figures["images"], figures["pixels"]) == (2, 4)


def test_image_without_valid_pixel_is_left_out_not_averaged_in_as_zero() -> None:
    valid = torch.tensor([[True, True], [False, False]])[:, None, None, :]
    target = maps([1.0, 1.0], [0.0, math.nan])
    per_image = per_image_metrics(maps([2.0, 2.0], [5.0, 5.0]), target, valid)
    assert per_image["rmse"][0] == 1
    assert all(torch.isnan(per_image[name][1]) for name in METRICS)
    figures = run(maps([2.0, 2.0], [5.0, 5.0]), target, valid)
    assert figures["rmse"] == 1
    assert (figures["images"], figures["images_without_valid"], figures["pixels"]) == (1, 1, 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -3.0])
def test_a_bad_prediction_is_an_error_and_never_a_hit(bad: float) -> None:
    figures = run(maps([bad, 2.0]), maps([2.0, 2.0]))
    assert figures["bad_predictions"] == 1
    assert [figures[f"delta{k}"] for k in (1, 2, 3)] == [0.5, 0.5, 0.5]
    assert figures["mae"] == pytest.approx(1.999 / 2)  # scored as 1 mm
    assert figures["log10"] == pytest.approx(math.log10(2000) / 2)
    assert all(math.isfinite(figures[name]) for name in METRICS)


def test_a_bad_prediction_is_no_hit_on_a_ground_truth_of_one_millimetre_either() -> None:
    assert run(maps([math.nan]), maps([0.001]))["delta3"] == 0


def test_bad_values_on_pixels_that_do_not_count_do_not_count() -> None:
    valid = torch.tensor([[True, False]])[:, None, None, :]
    figures = run(maps([1.0, math.nan]), maps([1.0, -math.inf]), valid)
    assert figures["rmse"] == 0
    assert figures["bad_predictions"] == 0


def test_normalised_prediction_against_metres_is_seen() -> None:
    target = torch.rand(1, 1, 8, 8) * 10 + 1
    figures = run(target / 30, target)
    assert figures["abs_rel"] == pytest.approx(29 / 30)
    assert figures["delta3"] == 0


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_target_that_is_no_depth_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="positive, finite depth in metres wherever valid"):
        run(maps([1.0]), maps([value]))


def test_shapes_that_would_broadcast_are_refused() -> None:
    # Under the test suite the shape annotations speak first; without them the ValueError does.
    with pytest.raises(Exception, match=r"one shape|[Tt]ype"):
        per_image_metrics(torch.ones(2, 1, 4, 4), torch.ones(2, 1, 4, 5), torch.ones(2, 1, 4, 5).bool())


def test_shards_add_up_to_the_whole() -> None:
    prediction, target = torch.rand(6, 1, 4, 4) + 0.5, torch.rand(6, 1, 4, 4) + 0.5
    valid = torch.rand(6, 1, 4, 4) > 0.3
    valid[5] = False
    whole = run(prediction, target, valid)
    shards = [DepthMetrics(), DepthMetrics()]
    for rank, shard in enumerate(shards):
        for i in range(rank, 6, 2):
            shard.update(prediction[i : i + 1], target[i : i + 1], valid[i : i + 1])
    merged = DepthMetrics()
    for name, reduction in merged._reductions.items():  # what torchmetrics does after gathering all processes
        assert reduction is not None
        gathered = torch.stack([getattr(shard, name) for shard in shards])
        setattr(merged, name, reduction(gathered))  # type: ignore[operator]
    merged._update_count = 1
    for name, value in merged.compute().items():
        assert float(value) == pytest.approx(whole[name], rel=1e-12), name


def test_reset_and_empty() -> None:
    metric = DepthMetrics()
    metric.update(maps([1.0]), maps([2.0]), everywhere(maps([2.0])))
    metric.reset()
    metric.update(maps([1.0]), maps([2.0]), ~everywhere(maps([2.0])))
    figures = metric.compute()
    assert all(math.isnan(figures[prefix + name]) for name in METRICS for prefix in ("", "pooled_"))
    assert figures["images"] == 0


def test_half_precision_predictions_are_summed_in_float64() -> None:
    prediction = torch.full((1, 1, 64, 64), 30.0, dtype=torch.float16)
    target = torch.full((1, 1, 64, 64), 10.0)
    assert run(prediction, target)["pooled_rmse"] == pytest.approx(20, rel=1e-12)


def test_sums_stay_on_the_cpu_where_the_device_has_no_float64() -> None:
    metric = DepthMetrics()
    metric._apply(lambda tensor: SimpleNamespace(device=torch.device("mps")))  # type: ignore[arg-type, return-value]
    assert metric.sums.device.type == "cpu"
    assert metric.to("meta").sums.device.type == "meta"  # every other device is moved to
