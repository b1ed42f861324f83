"""The cluster bootstrap: confidence intervals of means over frames that are alike within their room.

Frames of one room share its size, its materials and much of its picture. With a correlation of 0.5 between the frames
of a room and ten frames a room, the mean varies as if there were 1.8 frames a room, and an interval from resampled
frames is 2.3 times too narrow. Whole rooms are therefore drawn with replacement, with all their frames (Davison and
Hinkley, *Bootstrap Methods and their Application*, 1997, section 3.8).

The percentile interval of few clusters is too narrow: it lacks the factor sqrt(n / (n - 1)) of the sample variance and
Student's quantiles. ``percentiles`` widens it by both (the expanded percentile interval: Hesterberg, *The American
Statistician* 69, 2015, section 4.5). Resampled means of very few clusters cannot leave their range: the intervals of 5,
4, 3 and 2 clusters cover the mean in 92, 88, 75 and 50 % of simulations. Below ``FEW_CLUSTERS`` Student's interval
takes their place.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm, t

RESAMPLES = 2000
CONFIDENCE = 0.95
FEW_CLUSTERS = 6
_BATCH = 2**21
"""Drawn clusters at a time, 16 MB for each of three arrays; all resamples of 64,000 clusters at once take 1 GB each."""


def resampled_means(
    values: Float[np.ndarray, "frames columns"], clusters: Int[np.ndarray, " frames"], seed: int
) -> Float[np.ndarray, "resamples columns"]:
    """Column means over the frames of resampled clusters.

    Every column is averaged over the same drawn clusters, so that differences between columns are paired.

    Args:
        values: finite values.
        clusters: the cluster of each frame, numbered from 0 without gaps.
        seed: of the draws.
    """
    frames = np.bincount(clusters).astype(np.float64)
    count = frames.size
    order = np.argsort(clusters, kind="stable")
    starts = np.concatenate(([0], np.cumsum(frames[:-1]).astype(np.int64)))
    # Centred: a mean is then exact to the last digits of its spread, and a column without spread has none.
    centre = values.mean(axis=0)
    sums = np.add.reduceat((values - centre)[order], starts, axis=0)
    rng = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, values.shape[1]))
    batch = max(1, _BATCH // count)
    for first in range(0, RESAMPLES, batch):
        rows = min(batch, RESAMPLES - first)
        drawn = rng.integers(0, count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        means[first : first + rows] = times @ sums / (times @ frames)[:, None]
    means += centre
    return means


def percentiles(clusters: int) -> tuple[float, float]:
    """The two quantiles of resampled means that bound the confidence interval of the mean.

    Args:
        clusters: their number, at least 2.
    """
    tail = float(norm.cdf(-_student_quantile(clusters) * np.sqrt(clusters / (clusters - 1))))
    return tail, 1 - tail


def confidence_bounds(
    resampled: Float[np.ndarray, "resamples *columns"], clusters: int
) -> Float[np.ndarray, "2 *columns"]:
    """Lower and upper bound of the 95 % confidence interval of every column.

    Args:
        resampled: means, or differences of means, from ``resampled_means``.
        clusters: their number, at least 2.
    """
    bounds: np.ndarray = np.quantile(resampled, percentiles(clusters), axis=0)
    return bounds


def student_bounds(
    values: Float[np.ndarray, "frames columns"], clusters: Int[np.ndarray, " frames"]
) -> Float[np.ndarray, "2 columns"]:
    """Lower and upper bound of Student's 95 % confidence interval of column means, by the variance between clusters.

    Args:
        values: finite values.
        clusters: the cluster of each frame, numbered from 0 without gaps; at least 2 clusters.
    """
    mean = values.mean(axis=0)
    count = int(clusters.max()) + 1
    residuals = np.zeros((count, values.shape[1]))
    np.add.at(residuals, clusters, values - mean)
    # The linearised variance of a ratio, the sum of all frames over their number.
    error = np.sqrt(count / (count - 1) * np.square(residuals).sum(axis=0)) / len(values)
    half = _student_quantile(count) * error
    return np.stack([mean - half, mean + half])


def _student_quantile(clusters: int) -> float:
    return float(t.ppf((1 + CONFIDENCE) / 2, clusters - 1))
