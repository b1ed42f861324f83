"""Calibration of the predicted uncertainty: the Laplace scale against the error, over the scored pixels of each image.

**Sparsification** (arXiv 1802.07095) tests the ranking. When the pixels with the largest uncertainty are removed, the
error of the rest should fall as fast as when the pixels with the largest errors are removed (the oracle). AUSE is the
mean height of the model's curve above the oracle's; AURG is the mean height of random removal above the model's curve
(arXiv 2005.06209). Both are in metres. Pixels are ranked within their image and the curves averaged over images, as in
2005.06209: a ranking over all images together would mainly rank rooms by size.

**Coverage** tests the magnitude. Under a Laplace distribution with scale b, a share p of the errors is at most
-b ln(1 - p). **Reliability** tests it by level: b is the expected absolute error, so in every tenth of an image's
pixels, from the smallest uncertainty to the largest, the mean uncertainty should equal the mean error.

An uncertainty that is NaN, infinite or not positive counts as 0, the claim of an exact prediction, so that it never
improves a metric.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from torch import Tensor

from echodepth.metrics.depth import as_scored

STEPS = 20
"""Points of a sparsification curve: 0, 5, ... 95 % of the pixels removed. No error remains at 100 %."""
REMOVED = np.arange(STEPS) / STEPS
"""Removed shares of the pixels."""
LEVELS = np.arange(1, STEPS) / STEPS
"""Nominal coverages: 5, 10, ... 95 %."""
BINS = 10
"""Bins of reliability: tenths of an image's pixels, by rank of their uncertainty."""
NAMED_LEVELS = (50, 80, 95)
"""Nominal coverages in per cent that are reported as ``coverage_<level>``."""

Pixels = Float[np.ndarray, " pixels"]
Curve = Float[np.ndarray, " steps"]


@dataclass
class UncertaintyCalibration:
    """Accumulates a split image by image; every value is a mean over the images that have it.

    Attributes:
        images: for each scored image, its curves over ``REMOVED`` and ``LEVELS`` and its correlations, by name.
    """

    images: list[dict[str, Any]] = field(default_factory=list)

    def update(
        self,
        prediction: Float[Tensor, "b 1 h w"],
        uncertainty: Float[Tensor, "b 1 h w"],
        target: Float[Tensor, "b 1 h w"],
        valid: Bool[Tensor, "b 1 h w"],
    ) -> None:
        """Add a batch, in metres. An image without a scored pixel is left out."""
        errors = (as_scored(prediction, valid) - target).abs()
        for error, predicted, scored in zip(errors, uncertainty, valid, strict=True):
            if scored.any():
                pixels = (values[scored].double().numpy() for values in (error, predicted))
                self.images.append(_one_image(*pixels))

    def compute(self) -> dict[str, Any]:
        """All values by name, then the curves they summarise; empty without an image.

        AUSE and AURG are in metres, correlations in -1..1, coverages in 0..1. A correlation is NaN when it is
        undefined (a constant input) for every image.
        """
        if not self.images:
            return {}
        means = {name: _mean([image[name] for image in self.images]) for name in self.images[0]}
        values: dict[str, Any] = {}
        for error, ending in (("mae", ""), ("rmse", "_rmse")):
            model, oracle = means[error], means[f"oracle_{error}"]
            values[f"ause{ending}"] = mean_height(model - oracle)
            values[f"aurg{ending}"] = mean_height(model[0] - model)
        values |= {name: float(means[name]) for name in ("pearson", "spearman")}
        values |= {f"coverage_{p}": float(means["coverage"][round(p / 100 * STEPS) - 1]) for p in NAMED_LEVELS}
        sparsification = {"removed": REMOVED} | {
            name: means[name] for name in ("mae", "oracle_mae", "rmse", "oracle_rmse")
        }
        coverage = {"nominal": LEVELS, "observed": means["coverage"]}
        reliability = {"uncertainty": means["bin_uncertainty"], "error": means["bin_error"]}
        curves = {"sparsification": sparsification, "coverage": coverage, "reliability": reliability}
        return values | {name: {key: axis.tolist() for key, axis in curve.items()} for name, curve in curves.items()}


def mean_height(curve: Curve) -> float:
    """Area under a curve over ``REMOVED`` by the trapezoidal rule, divided by its width."""
    return float(np.trapezoid(curve, REMOVED) / REMOVED[-1])


def sparsification(values: Float[np.ndarray, "kinds pixels"], rank_by: Pixels) -> Float[np.ndarray, "kinds steps"]:
    """Means of the remaining values when those ranked highest are removed, at each share of ``REMOVED``.

    Pixels of equal rank are removed in no order, so each counts as their mean.

    Args:
        values: such as absolute and squared errors, of at least one pixel.
        rank_by: key of the ranking, such as the uncertainty.
    """
    ranked = _ranked(values, rank_by)
    kept = np.maximum(len(rank_by) - np.round(REMOVED * len(rank_by)).astype(int), 1)
    means: np.ndarray = np.cumsum(ranked, axis=1)[:, kept - 1] / kept
    return means


def reliability(values: Float[np.ndarray, "kinds pixels"], rank_by: Pixels) -> Float[np.ndarray, "kinds bins"]:
    """Means of the values in ``BINS`` equal shares of the pixels, from the lowest rank to the highest.

    A pixel on the border of two bins counts fractionally in both, so any number of pixels works and the mean of the
    bins is the mean of all pixels. Pixels of equal rank count as their mean.

    Args:
        values: such as uncertainties and absolute errors, of at least one pixel.
        rank_by: key of the ranking, such as the uncertainty.
    """
    count = len(rank_by)
    sums = np.cumsum(np.pad(_ranked(values, rank_by), ((0, 0), (1, 0))), axis=1)
    borders = np.linspace(0, count, BINS + 1)
    at_borders = np.stack([np.interp(borders, np.arange(count + 1), each) for each in sums])
    means: np.ndarray = np.diff(at_borders, axis=1) * (BINS / count)
    return means


def _ranked(values: Float[np.ndarray, "kinds pixels"], rank_by: Pixels) -> Float[np.ndarray, "kinds pixels"]:
    """The values sorted by ``rank_by``; values of equal rank are replaced by their mean."""
    order = np.argsort(rank_by)
    first = np.flatnonzero(np.diff(rank_by[order], prepend=-np.inf) > 0)
    members = np.diff(first, append=len(rank_by))
    ranked: np.ndarray = np.repeat(np.add.reduceat(values[:, order], first, axis=1) / members, members, axis=1)
    return ranked


def coverage(error: Pixels, uncertainty: Pixels) -> Curve:
    """Share of the errors within the Laplace distribution's interval of each of ``LEVELS``."""
    within = -np.log1p(-LEVELS)[:, None] * uncertainty >= error
    observed: Curve = within.mean(axis=1)
    return observed


def correlation(a: Pixels, b: Pixels) -> float:
    """Pearson correlation; NaN when an input is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _one_image(error: Pixels, predicted: Pixels) -> dict[str, Any]:
    uncertainty = np.where(np.isfinite(predicted) & (predicted > 0), predicted, 0.0)
    errors = np.stack([error, error**2])
    mae, mse = sparsification(errors, uncertainty)
    oracle_mae, oracle_mse = sparsification(errors, error)
    bin_uncertainty, bin_error = reliability(np.stack([uncertainty, error]), uncertainty)
    return {
        "mae": mae,
        "oracle_mae": oracle_mae,
        "rmse": np.sqrt(mse),
        "oracle_rmse": np.sqrt(oracle_mse),
        "coverage": coverage(error, uncertainty),
        "bin_uncertainty": bin_uncertainty,
        "bin_error": bin_error,
        "pearson": correlation(uncertainty, error),
        "spearman": correlation(rankdata(uncertainty), rankdata(error)),
    }


def _mean(images: list[Any]) -> Any:
    """Mean over the images whose value is not NaN; NaN when there are none."""
    stacked = np.stack(images)
    known = stacked[~np.isnan(stacked)] if stacked.ndim == 1 else stacked
    return known.mean(axis=0) if len(known) else np.float64("nan")
