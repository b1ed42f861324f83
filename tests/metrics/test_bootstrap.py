"""The cluster bootstrap: its coverage in simulation, the paired interval by hand, and the same resamples in batches."""

from itertools import product

import numpy as np
import pytest

from echodepth.metrics import bootstrap
from echodepth.metrics.bootstrap import confidence_bounds, percentiles, resampled_means, student_bounds


def coverage(values: np.ndarray, clusters: np.ndarray) -> float:
    """Share of the columns whose interval contains the true mean, 0."""
    low, high = confidence_bounds(resampled_means(values, clusters, seed=0), int(clusters.max()) + 1)
    return float(np.mean((low <= 0) & (high >= 0)))


def simulated(frames: np.ndarray, columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames with a correlation of 0.5 in their room, zero mean, one simulation a column."""
    rng = np.random.default_rng(seed)
    rooms = np.repeat(np.arange(frames.size), frames)
    shared = rng.standard_normal((frames.size, columns))
    return np.sqrt(0.5) * (shared[rooms] + rng.standard_normal((rooms.size, columns))), rooms


@pytest.mark.parametrize(
    "frames", [np.full(30, 8), np.full(8, 10), np.tile([2, 14, 5, 11], 6)], ids=["30 rooms", "8 rooms", "unequal rooms"]
)
def test_intervals_of_rooms_cover_the_true_mean_and_those_of_frames_do_not(frames: np.ndarray) -> None:
    values, rooms = simulated(frames, columns=1500, seed=1)
    assert coverage(values, rooms) == pytest.approx(0.95, abs=0.03)
    assert coverage(values[:, :300], np.arange(rooms.size)) < 0.75


@pytest.mark.parametrize("frames", [np.full(2, 10), np.full(3, 10), np.array([8, 10, 12, 9, 11])])
def test_students_intervals_of_few_rooms_cover_the_true_mean(frames: np.ndarray) -> None:
    values, rooms = simulated(frames, columns=3000, seed=3)
    low, high = student_bounds(values, rooms)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=0.03)


def test_students_interval_of_two_rooms_by_hand() -> None:
    """Room means 1 and 3 of one frame each: standard error 1, and t(0.975, 1) = 12.706; alike with ten frames each."""
    for frames in (1, 10):
        rooms = np.repeat([0, 1], frames)
        assert student_bounds(1.0 + 2.0 * rooms[:, None], rooms)[:, 0] == pytest.approx([-10.706, 14.706], abs=1e-3)


def test_independent_frames_are_covered_as_clusters_of_one() -> None:
    values = np.random.default_rng(2).standard_normal((60, 1500))
    assert coverage(values, np.arange(60)) == pytest.approx(0.95, abs=0.03)


def test_interval_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(0).normal(5, 2, (400, 1))
    low, high = confidence_bounds(resampled_means(values, np.arange(400), seed=0), 400)[:, 0]
    error = values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - 1.966 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.966 * error, abs=0.2 * error)


def test_percentiles_of_few_clusters_are_those_of_student_and_the_sample_variance() -> None:
    # t(0.975, 4) = 2.776; 2.776 * sqrt(5 / 4) = 3.104; the normal distribution has 0.000955 below -3.104.
    assert percentiles(5) == pytest.approx((0.000955, 1 - 0.000955), abs=2e-6)
    assert percentiles(100_000) == pytest.approx((0.025, 0.975), abs=1e-5)


def test_means_are_those_of_whole_rooms_by_hand() -> None:
    """Three rooms with 1, 2 and 1 frames: 27 equally likely draws, each a mean over all drawn frames."""
    values, rooms = np.array([[1.0], [4.0], [6.0], [9.0]]), np.array([0, 1, 1, 2])
    frames = {0: [1.0], 1: [4.0, 6.0], 2: [9.0]}
    possible = sorted({round(np.mean([f for r in draw for f in frames[r]]), 9) for draw in product(range(3), repeat=3)})
    found, times = np.unique(resampled_means(values, rooms, seed=0)[:, 0].round(9), return_counts=True)
    assert found.tolist() == pytest.approx(possible)
    assert times[0] == pytest.approx(bootstrap.RESAMPLES / 27, rel=0.35)  # room 0 three times


def test_differences_are_paired_over_the_same_rooms() -> None:
    """A second column that is 0.5 lower in every frame is 0.5 lower in every resample, however far rooms differ."""
    values = np.random.default_rng(4).gamma(2.0, size=(12, 1)) * 10
    both = resampled_means(np.hstack([values, values - 0.5]), np.arange(12) // 3, seed=9)
    np.testing.assert_allclose(both[:, 0] - both[:, 1], 0.5, atol=1e-12)
    assert both[:, 0].std() > 1


def test_order_of_frames_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    values, rooms = rng.gamma(2.0, size=(40, 2)), np.arange(40) % 7
    shuffled = rng.permutation(40)
    np.testing.assert_allclose(resampled_means(values, rooms, 1), resampled_means(values[shuffled], rooms[shuffled], 1))


def test_resamples_are_the_same_in_any_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """All resamples at once took 32 kB per image: 2 GB for 60,000."""
    values, rooms = np.random.default_rng(3).gamma(2.0, size=(301, 2)), np.arange(301) // 2
    at_once = resampled_means(values, rooms, seed=5)
    for batch in (1, 151, 7 * 151):
        monkeypatch.setattr(bootstrap, "_BATCH", batch)
        np.testing.assert_allclose(resampled_means(values, rooms, seed=5), at_once, rtol=1e-12)
