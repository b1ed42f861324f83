"""Error by depth range and image region: worked out by hand, and the parts recombine to the whole."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from echodepth.evaluation.evaluate import evaluate
from echodepth.metrics.depth import BAD_PREDICTION_DEPTH, DepthMetrics
from echodepth.metrics.depth_bins import BIN_STARTS, DepthBin, DepthBinAccumulator
from echodepth.metrics.error_map import GRID, ErrorMap, ErrorMapAccumulator
from tests.configs import evaluate_config
from tests.tiny import save_tiny


def by_depth(prediction: Tensor, target: Tensor, valid: Tensor | None = None) -> dict[str, DepthBin]:
    bins = DepthBinAccumulator()
    bins.update(prediction, target, torch.ones_like(target).bool() if valid is None else valid)
    return {each.label: each for each in bins.compute()}


def row(*values: float) -> Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


# ---- by depth range ----


def test_the_errors_of_a_bin_by_hand() -> None:
    """Ground truth of 1 and 1.5 m is predicted as 2 and 1 m, errors +1 and -0.5; 4 m is predicted exactly."""
    found = by_depth(row(2.0, 1.0, 4.0), row(1.0, 1.5, 4.0))
    near = found["1–2"]
    assert near.pixels == 2
    assert near.share == pytest.approx(2 / 3)
    assert near.rmse == pytest.approx(math.sqrt((1 + 0.25) / 2))
    assert near.mae == pytest.approx(0.75)
    assert near.abs_rel == pytest.approx((1 + 1 / 3) / 2)
    assert near.bias == pytest.approx(0.25)
    assert (found["3–5"].rmse, found["3–5"].bias) == (0, 0)
    assert found["2–3"].pixels == 0
    assert math.isnan(found["2–3"].rmse)


def test_a_bound_belongs_to_the_bin_that_starts_there() -> None:
    assert list(by_depth(row(1.0), row(1.0))) == ["0–0.5", "0.5–1", "1–2", "2–3", "3–5", "5–10", "≥ 10"]
    truths = row(0.499, *BIN_STARTS[1:], 30.0)
    assert [each.pixels for each in by_depth(truths, truths).values()] == [1, 1, 1, 1, 1, 1, 2]
    below = torch.nextafter(torch.tensor(BIN_STARTS[1:]), torch.tensor(0.0)).reshape(1, 1, 1, -1)
    assert [each.pixels for each in by_depth(below, below).values()] == [1, 1, 1, 1, 1, 1, 0]


def test_bins_recombine_to_the_whole_for_any_batching() -> None:
    generator = torch.Generator().manual_seed(0)
    target = 15 * torch.rand(6, 1, 9, 7, generator=generator) + 0.01
    prediction = target + torch.randn(target.shape, generator=generator)
    prediction[0, 0, 0, :4] = torch.tensor([math.nan, math.inf, 0.0, -3.0])
    valid = torch.rand(target.shape, generator=generator) > 0.2
    valid[0, 0, 0, :4] = True
    target[~valid] = math.nan  # whatever is not scored is not touched
    whole, bins = DepthMetrics(), DepthBinAccumulator()
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        whole.update(prediction[part], target[part], valid[part])
        bins.update(prediction[part], target[part], valid[part])
    pooled, parts = whole.compute(), [each for each in bins.compute() if each.pixels]
    assert sum(each.pixels for each in parts) == int(pooled["pixels"])
    assert sum(each.share for each in parts) == pytest.approx(1, rel=1e-15)
    mean_square = sum(each.share * each.rmse**2 for each in parts)
    assert math.sqrt(mean_square) == pytest.approx(float(pooled["pooled_rmse"]), rel=1e-13)
    for name in ("mae", "abs_rel"):
        mean = sum(each.share * getattr(each, name) for each in parts)
        assert mean == pytest.approx(float(pooled[f"pooled_{name}"]), rel=1e-13)


def test_an_invalid_prediction_is_scored_as_one_millimetre() -> None:
    for bad in (math.nan, math.inf, 0.0, -2.0):
        assert by_depth(row(bad), row(3.0))["3–5"].bias == pytest.approx(BAD_PREDICTION_DEPTH - 3)
    assert by_depth(row(math.nan, 3.0), row(3.0, 3.0), torch.tensor([False, True]).reshape(1, 1, 1, 2))["3–5"].rmse == 0


def test_an_invalid_ground_truth_on_a_scored_pixel_is_refused() -> None:
    target = torch.ones(2, 1, 4, 4)
    for accumulator in (DepthBinAccumulator(), ErrorMapAccumulator()):
        with pytest.raises(ValueError, match="positive, finite depth"):
            accumulator.update(target, 0 * target, target.bool())


# ---- by region ----


def by_region(prediction: Tensor, target: Tensor, valid: Tensor) -> ErrorMap:
    regions = ErrorMapAccumulator()
    regions.update(prediction, target, valid)
    return regions.compute()


def test_a_corner_that_is_wrong_is_named() -> None:
    """Two pixels a side to a region; all are off by 0.1 m, and of the bottom right region one by 0.5 m."""
    target = torch.full((1, 1, 2 * GRID, 2 * GRID), 2.0)
    prediction = target + 0.1
    prediction[0, 0, -1, -1] = 2.5
    found = by_region(prediction, target, torch.ones_like(target).bool())
    assert found.worst is not None
    assert (found.worst.row, found.worst.column, found.worst.position) == (7, 7, "bottom right")
    assert found.worst.mae == pytest.approx((3 * 0.1 + 0.5) / 4, rel=1e-6)
    assert found.mae[0][0] == pytest.approx(0.1, rel=1e-6)
    assert found.pixels == [[4] * GRID] * GRID


@pytest.mark.parametrize(
    ("row", "column", "position"),
    [
        *((GRID // 2 - 1, GRID // 2, "middle"), (GRID // 2, GRID // 2 - 1, "middle")),
        *((GRID // 2 - 2, GRID // 2, "top"), (GRID // 2, GRID // 2 + 1, "right"), (GRID // 2 + 1, 0, "bottom left")),
    ],
)
def test_the_two_innermost_regions_are_the_middle(row: int, column: int, position: str) -> None:
    target = torch.full((1, 1, GRID, GRID), 2.0)
    prediction = target.clone()
    prediction[0, 0, row, column] = 5.0
    found = by_region(prediction, target, torch.ones_like(target).bool())
    assert found.worst is not None
    assert (found.worst.row, found.worst.column, found.worst.position) == (row, column, position)


def test_regions_are_pooled_over_scored_pixels() -> None:
    """Of two frames, off by 1 and 3 m, the second scores one pixel of four in the first region: (4 + 3) / 5."""
    target = torch.full((2, 1, 2 * GRID, 2 * GRID), 5.0)
    prediction = target + torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
    valid = torch.ones_like(target).bool()
    valid[1, 0, :2, :2] = torch.tensor([[True, False], [False, False]])
    valid[:, :, -2:, :2] = False
    prediction[:, :, -2:, :2] = math.nan
    found = by_region(prediction, target, valid)
    assert found.mae[0][0] == pytest.approx(7 / 5)
    assert math.isnan(found.mae[7][0])
    assert found.pixels[7][0] == 0
    assert found.mae[4][4] == pytest.approx(2)


def test_a_handful_of_pixels_is_no_worst_region() -> None:
    target = torch.full((1, 1, 8 * GRID, 8 * GRID), 5.0)
    prediction, valid = target + 1.0, torch.ones_like(target).bool()
    valid[0, 0, :8, :8] = False
    valid[0, 0, 0, 0] = True
    prediction[0, 0, 0, 0] = 25.0
    prediction[0, 0, 30, 3] = 6.5
    found = by_region(prediction, target, valid)
    assert found.mae[0][0] == 20
    assert found.worst is not None
    assert found.worst.position == "left"
    assert by_region(prediction, target, torch.zeros_like(valid)).worst is None


@pytest.mark.parametrize(("height", "width"), [(24, 40), (13, 9), (5, 3)])
def test_every_pixel_lies_in_one_region(height: int, width: int) -> None:
    target = torch.full((2, 1, height, width), 5.0)
    found = by_region(target + 1, target, torch.ones_like(target).bool())
    assert sum(map(sum, found.pixels)) == target.numel()
    assert found.worst is not None
    assert found.worst.mae == 1


# ---- in the files ----


def test_evaluate_writes_both(v2_root: Path, tmp_path: Path) -> None:
    save_tiny(tmp_path / "ears", v2_root)
    evaluate(evaluate_config(str(tmp_path / "ears" / "best"), data_dir=v2_root, out=tmp_path / "out", device="cpu"))
    result = json.loads((tmp_path / "out" / "evaluate_test_valid.json").read_text())
    assert [each["start"] for each in result["depth_bins"]] == list(BIN_STARTS)
    assert result["depth_bins"][-1]["end"] is None
    assert sum(each["pixels"] for each in result["depth_bins"]) == result["counts"]["pixels"]
    assert result["depth_bins"][0] == {  # protocol valid scores nothing as near
        **{"start": 0.0, "end": 0.5, "pixels": 0, "share": 0.0},
        **dict.fromkeys(("rmse", "mae", "abs_rel", "bias")),
    }
    assert sum(map(sum, result["error_map"]["pixels"])) == result["counts"]["pixels"]
    assert result["error_map"]["worst"]["mae"] == max(map(max, result["error_map"]["mae"]))
