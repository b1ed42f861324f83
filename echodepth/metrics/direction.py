"""Correlation over frames of the left-right and up-down difference of log depth: does the model hear the direction?

A network that predicts the mean room, scaled by a loudness that it hears, has a fair RMSE and no sense of direction.
For each frame, the difference is the mean of log depth over the scored pixels of the left half minus that of the right
half; ``left_right`` is Pearson's correlation of predicted and true differences over all frames of a split. ``up_down``
is the same of the upper and the lower half. Both halves use the same pixels for prediction and ground truth, and the
middle line of an odd side belongs to neither.

A correlation is undefined (NaN) below ``MIN_FRAMES`` frames that have scored pixels in both halves, and where the
differences of the prediction or of the ground truth do not vary by more than ``MIN_SPREAD``.
"""

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.metrics.depth import METRIC_TABLE, Score, as_scored, check_maps

DIRECTION_TABLE: dict[str, Score] = {
    score.name: score
    for score in (
        Score("left_right", "left-right corr.", True),
        Score("up_down", "up-down corr.", True),
    )
}
"""The correlations by name, in the column order of tables."""
DIRECTIONS = tuple(DIRECTION_TABLE)
DIFFERENCES = tuple(f"{direction}_{kind}" for direction in DIRECTIONS for kind in ("predicted", "true"))
"""Keys of ``direction_differences``."""
SCORE_TABLE: dict[str, Score] = METRIC_TABLE | DIRECTION_TABLE
"""Metrics, which are means over images, then correlations over images, in the column order of tables."""
SCORES = tuple(SCORE_TABLE)
MIN_FRAMES = 3
"""Two points always correlate with 1 or -1."""
MIN_SPREAD = 1e-6
"""Standard deviation of log depth that is rounding: float32 depth is exact to a ten-millionth of itself."""

Differences = Float[np.ndarray, "frames *columns"]


def direction_differences(
    prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> dict[str, Float[Tensor, " b"]]:
    """The differences of log depth of every image, by ``<direction>_predicted`` and ``<direction>_true``.

    Args:
        prediction: metres.
        target: ground truth in metres, positive wherever ``valid``; arbitrary elsewhere.
        valid: the pixels to score.

    Returns:
        Float64 differences of natural logarithms, positive where the left or upper half is farther; NaN for an image
        that has no scored pixel in one of the halves.

    Raises:
        ValueError: the shapes differ, or a scored target is not a positive, finite depth.
    """
    check_maps(prediction, target, valid)
    kinds = {
        kind: depth.masked_fill(~valid, 1.0).log()
        for kind, depth in (("predicted", as_scored(prediction, valid)), ("true", target.double()))
    }
    differences = {}
    for direction, side in (("left_right", 3), ("up_down", 2)):
        half = valid.shape[side] // 2
        starts = (0, valid.shape[side] - half)
        pixels = [valid.narrow(side, start, half).sum(dim=(1, 2, 3)) for start in starts]
        for kind, log_depth in kinds.items():
            sums = [log_depth.narrow(side, start, half).sum(dim=(1, 2, 3)) for start in starts]
            differences[f"{direction}_{kind}"] = sums[0] / pixels[0] - sums[1] / pixels[1]
    return differences


def correlation(predicted: Differences, true: Differences) -> Float[np.ndarray, "*columns"]:
    """Pearson's correlation over frames of finite values, column by column; NaN where it is undefined."""
    if len(predicted) < MIN_FRAMES:
        return np.full(predicted.shape[1:], np.nan)
    return correlation_of_moments(moments(predicted, true).mean(axis=0))


def undefined(predicted: Float[np.ndarray, " frames"], true: Float[np.ndarray, " frames"]) -> str | None:
    """Why there is no correlation of these finite values; None if there is one."""
    if len(predicted) < MIN_FRAMES:
        return f"{len(predicted)} frames with scored pixels in both halves, and a correlation needs {MIN_FRAMES}"
    for what, values in (("ground truth", true), ("prediction", predicted)):
        if values.std() <= MIN_SPREAD:
            return f"the {what} has the same difference in all frames"
    return None


def moments(predicted: Differences, true: Differences) -> Float[np.ndarray, "frames *columns moments"]:
    """What a correlation is computed from: x, y, x², y² and xy of every frame, x and y being centred.

    Their means over any resample of the frames give the resample's correlation, see ``correlation_of_moments``.
    """
    x, y = (values - values.mean(axis=0) for values in (predicted, true))
    return np.stack([x, y, x * x, y * y, x * y], axis=-1)


def correlation_of_moments(means: Float[np.ndarray, "*columns moments"]) -> Float[np.ndarray, "*columns"]:
    """The correlation from the means of ``moments``; NaN where x or y does not vary."""
    x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
    variances = xx - x * x, yy - y * y
    varies = np.minimum(*variances) > MIN_SPREAD**2
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (xy - x * y) / np.sqrt(variances[0] * variances[1])
    return np.where(varies, np.clip(value, -1, 1), np.nan)


def linearised_correlation(predicted: Differences, true: Differences) -> Differences:
    """Values whose mean is the correlation, and whose spread over frames is that of its influence function.

    With z the standardised differences and r their correlation, r + z_x z_y - r (z_x² + z_y²) / 2 (Devlin,
    Gnanadesikan and Kettenring, *Biometrika* 62, 1975). It stands for the correlation where an interval needs a mean.
    """
    means = moments(predicted, true)
    spread = np.sqrt(means[..., 2:4].mean(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        z_x, z_y = means[..., 0] / spread[..., 0], means[..., 1] / spread[..., 1]
    r = correlation(predicted, true)
    linear: np.ndarray = r + z_x * z_y - r * (z_x**2 + z_y**2) / 2
    return linear
