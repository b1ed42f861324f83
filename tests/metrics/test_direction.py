"""Direction correlations: by hand, against numpy.corrcoef, where they are undefined, and their intervals over rooms."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from echodepth.evaluation.intervals import DirectionTable, metric_table
from echodepth.metrics.accumulator import MetricAccumulator
from echodepth.metrics.bootstrap import RESAMPLES, confidence_bounds, student_bounds
from echodepth.metrics.depth import METRICS
from echodepth.metrics.direction import (
    DIFFERENCES,
    correlation,
    direction_differences,
    linearised_correlation,
    undefined,
)


def picture(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def correlated(rho: float, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x, noise = np.random.default_rng(seed).normal(size=(2, count))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def test_differences_by_hand() -> None:
    """The middle column belongs to no half, an invalid pixel to none in either map, a bad prediction counts as 1 mm."""
    e = math.e
    target = picture([e, 7.0, 1.0], [e**3, 7.0, -5.0], [e**2, 7.0, e**4])
    prediction = picture([1.0, 3.0, e], [e, 3.0, e**9], [math.nan, 3.0, e])
    valid = target > 0
    values = {name: float(value) for name, value in direction_differences(prediction, target, valid).items()}
    assert tuple(values) == DIFFERENCES
    bad, seven, three = math.log(0.001), math.log(7), math.log(3)
    assert values["left_right_true"] == pytest.approx((1 + 3 + 2) / 3 - (0 + 4) / 2)
    assert values["left_right_predicted"] == pytest.approx((0 + 1 + bad) / 3 - (1 + 1) / 2)
    assert values["up_down_true"] == pytest.approx((1 + seven + 0) / 3 - (2 + seven + 4) / 3)
    assert values["up_down_predicted"] == pytest.approx((0 + three + 1) / 3 - (bad + three + 1) / 3)


def test_a_mirrored_image_has_the_opposite_difference() -> None:
    depth = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(0)) + 0.5
    valid = depth > 0.7
    plain = direction_differences(depth, depth, valid)
    for side, mirrored, kept in ((3, "left_right", "up_down"), (2, "up_down", "left_right")):
        flipped = direction_differences(*(maps.flip(side) for maps in (depth, depth, valid)))
        torch.testing.assert_close(flipped[f"{mirrored}_true"], -plain[f"{mirrored}_true"])
        torch.testing.assert_close(flipped[f"{kept}_predicted"], plain[f"{kept}_predicted"])


def test_an_empty_half_has_no_difference() -> None:
    depth = torch.ones(1, 1, 4, 4)
    valid = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    valid[..., :2] = True
    values = direction_differences(depth, depth, valid)
    assert math.isnan(values["left_right_true"])
    assert values["up_down_true"] == 0


def test_the_correlation_is_numpys() -> None:
    x, y = correlated(0.6, 50)
    # An offset of a million standard deviations costs no digit that matters.
    assert float(correlation(x + 1e6, 3 * y)) == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-8)
    pairs = correlation(np.stack([x, -x], axis=1), np.stack([y, y], axis=1))
    assert pairs == pytest.approx([np.corrcoef(x, y)[0, 1], -np.corrcoef(x, y)[0, 1]])


def test_the_accumulator_correlates_over_all_batches_and_says_what_it_cannot() -> None:
    generator = torch.Generator().manual_seed(1)
    depth = torch.rand(7, 1, 6, 6, generator=generator) + 0.5
    prediction = (depth + 0.5 * torch.rand(7, 1, 6, 6, generator=generator)).double()
    valid = torch.rand(7, 1, 6, 6, generator=generator) > 0.3
    valid[3, ..., :3] = False  # no left half
    scores = MetricAccumulator()
    for part in (slice(0, 4), slice(4, 7)):
        scores.update(
            list("abcdefg")[part], ["room"] * len(depth[part]), prediction[part], None, depth[part], valid[part]
        )
    correlations, reasons = scores.correlations()
    expected = []
    for kept in range(7):
        log_p, log_t, mask = (maps[kept, 0].numpy() for maps in (prediction.log(), depth.double().log(), valid))
        if kept != 3:
            expected.append([log[:, :3][mask[:, :3]].mean() - log[:, 3:][mask[:, 3:]].mean() for log in (log_p, log_t)])
    assert correlations["left_right"] == pytest.approx(np.corrcoef(np.transpose(expected))[0, 1])
    assert reasons == {}
    constant = MetricAccumulator()
    constant.update(list("abc"), ["room"] * 3, torch.full((3, 1, 6, 6), 2.0), None, depth[:3], valid[:3])
    correlations, reasons = constant.correlations()
    assert math.isnan(correlations["left_right"])
    assert reasons["up_down"] == "the prediction has the same difference in all frames"
    assert MetricAccumulator().correlations()[1]["left_right"].startswith("0 frames with scored pixels in both halves")


def test_two_frames_or_no_variance_have_no_correlation() -> None:
    x, y = correlated(0.6, 10)
    assert np.isnan(correlation(x[:2], y[:2]))
    assert correlation(np.ones((2, 3)), np.ones((2, 3))).shape == (3,)
    assert undefined(x[:2], y[:2]) == "2 frames with scored pixels in both halves, and a correlation needs 3"
    # What float32 leaves of a constant must not correlate with anything.
    assert np.isnan(correlation(1e-8 * x, y))
    assert undefined(1e-8 * x, y) == "the prediction has the same difference in all frames"
    assert undefined(x, np.ones(10)) == "the ground truth has the same difference in all frames"
    assert undefined(x, y) is None


# ---- intervals over rooms ----


def table(x: np.ndarray, *others: np.ndarray, per_room: int) -> DirectionTable:
    predicted = np.stack(others, axis=1)
    return DirectionTable(predicted, np.repeat(x[:, None], len(others), axis=1), np.arange(len(x)) // per_room, 0)


def test_the_interval_is_that_of_correlations_of_resampled_rooms() -> None:
    """Against the slow way: draw rooms, put their frames together, call numpy.corrcoef."""
    x, y = correlated(0.6, 40)
    rng = np.random.default_rng(5)
    rooms = [np.arange(4 * room, 4 * room + 4) for room in range(10)]
    drawn = [np.concatenate([rooms[i] for i in rng.integers(0, 10, 10)]) for _ in range(RESAMPLES)]
    slow = np.array([np.corrcoef(x[frames], y[frames])[0, 1] for frames in drawn])
    interval = table(x, y, per_room=4).interval(0)
    assert interval == pytest.approx(tuple(confidence_bounds(slow, 10)), abs=0.03)  # two sets of draws


def test_intervals_cover_the_true_correlation() -> None:
    """Twelve rooms of four frames, half of the variance between rooms; the true correlation is 0.7."""
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(200):
        x, noise = (np.repeat(rng.normal(size=12), 4) + rng.normal(size=48) for _ in range(2))
        low, high = table(x, 0.7 * x + math.sqrt(1 - 0.7**2) * noise, per_room=4).interval(0) or (1.0, 1.0)
        covered.append(low <= 0.7 <= high)
    assert 0.91 <= np.mean(covered) <= 0.985


def test_the_difference_of_two_contenders_is_paired() -> None:
    """Two predictions that differ by little: their difference is known far better than either."""
    x, y = correlated(0.6, 80)
    both = table(x, y, y + 0.02 * correlated(0, 80, seed=9)[0], per_room=4)
    low, high = both.interval(0) or (0.0, 0.0)
    near, far = both.interval(0, 1) or (0.0, 0.0)
    assert far - near < 0.1 * (high - low)
    assert near < both.values[0] - both.values[1] < far


def test_few_rooms_have_students_interval_of_the_influence_function() -> None:
    """The mean of the linearised values is r; their standard error that of r, (1 - r²) / sqrt(n) of normal values."""
    x, y = correlated(0.6, 4000)
    linear = linearised_correlation(x, y)
    r = np.corrcoef(x, y)[0, 1]
    assert linear.mean() == pytest.approx(r)
    assert linear.std() == pytest.approx(1 - r**2, rel=0.05)
    few = table(x, y, per_room=1000)
    assert few.interval(0) == pytest.approx(tuple(student_bounds(linear[:, None], np.arange(4000) // 1000)[:, 0]))
    assert table(x[:4], y[:4], per_room=2).interval(0) == pytest.approx((-1, 1))  # never beyond
    assert table(x, y, per_room=4000).interval(0) is None


def test_a_frame_without_one_half_is_left_out_of_that_correlation_alone() -> None:
    x, y = correlated(0.6, 18)
    rows: list[dict[str, Any]] = [
        {"name": str(i), "room": f"room{i // 2}", **dict.fromkeys(METRICS, 1.0)}
        | dict(zip(DIFFERENCES, (y[i], x[i], y[i], x[i]), strict=True))
        for i in range(18)
    ]
    for row in rows[2:4]:  # all frames of the second room
        row["left_right_true"] = float("nan")
    means = metric_table([rows], [row["name"] for row in rows], "simulated", seed=0)
    kept = np.delete(np.arange(18), [2, 3])
    assert means.resampling.count == 9
    assert means.mean(0)["up_down"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert means.mean(0)["left_right"] == pytest.approx(np.corrcoef(x[kept], y[kept])[0, 1])
    assert means.intervals(0)["left_right"] == table(x[kept], y[kept], per_room=2).interval(0)
