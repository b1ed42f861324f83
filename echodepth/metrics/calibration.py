"""Does a model know where it is wrong? Its scale against its error, over the scored pixels of each image.

**Sparsification** (arXiv 1802.07095) asks for the order: when the pixels that the model is least sure of are removed,
the error of the rest should fall as fast as if those with the largest errors were (the oracle). AUSE is the mean
height of the model's curve above the oracle's, AURG that of removing at random above the model's
(arXiv 2005.06209), both in metres. Pixels are ranked within their image and the curves averaged over images, as
2005.06209 does: a ranking over all images together would be one of rooms, large ones before small.

**Coverage** asks for the size: of a Laplace distribution with scale b, a share p of the errors is at most
-b ln(1 - p). **Reliability** asks for it level by level: b is the expected absolute error, so of a tenth of an image's
pixels the mean scale should be the mean error, from the tenth that the model is surest of to the last.

A scale that is NaN, infinite or not positive counts as 0, the claim to be exact, so that nothing is won by it.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from torch import Tensor

from echodepth.metrics.depth import as_scored

STEPS = 20
"""Of sparsification: 0, 5, ... 95 % of the pixels removed. With all of them gone there is no error to speak of."""
REMOVED = np.arange(STEPS) / STEPS
LEVELS = np.arange(1, STEPS) / STEPS
"""Expected coverages: 5, 10, ... 95 %."""
BINS = 10
"""Of reliability: tenths of an image's pixels, by rank of their scale."""
NAMED_LEVELS = (50, 80, 95)
"""Per cent: those that have a name among the figures."""

Pixels = Float[np.ndarray, " pixels"]
Curve = Float[np.ndarray, " steps"]


@dataclass
class Calibration:
    """Gathers a split image by image; every figure is a mean over the images that have it.

    Attributes:
        images: of each that was scored, its curves over ``REMOVED`` and ``LEVELS`` and its correlations, by name.
    """

    images: list[dict[str, Any]] = field(default_factory=list)

    def update(
        self,
        prediction: Float[Tensor, "b 1 h w"],
        scale: Float[Tensor, "b 1 h w"],
        target: Float[Tensor, "b 1 h w"],
        valid: Bool[Tensor, "b 1 h w"],
    ) -> None:
        """Add a batch; all in metres. An image without a scored pixel is left out."""
        errors = (as_scored(prediction, valid) - target).abs()
        for error, claimed, scored in zip(errors, scale, valid, strict=True):
            if scored.any():
                pixels = (values[scored].double().numpy() for values in (error, claimed))
                self.images.append(_one_image(*pixels))

    def compute(self) -> dict[str, Any]:
        """The figures by name, in metres, -1..1 and 0..1, then the curves that they come from; empty of no image.

        NaN stands for a correlation that no image has, as nothing varies in it.
        """
        if not self.images:
            return {}
        means = {name: _mean([image[name] for image in self.images]) for name in self.images[0]}
        figures: dict[str, Any] = {}
        for error, ending in (("mae", ""), ("rmse", "_rmse")):
            model, oracle = means[error], means[f"oracle_{error}"]
            figures[f"ause{ending}"] = mean_height(model - oracle)
            figures[f"aurg{ending}"] = mean_height(model[0] - model)
        figures |= {name: float(means[name]) for name in ("pearson", "spearman")}
        figures |= {f"coverage_{p}": float(means["coverage"][round(p / 100 * STEPS) - 1]) for p in NAMED_LEVELS}
        sparsification = {"removed": REMOVED} | {
            name: means[name] for name in ("mae", "oracle_mae", "rmse", "oracle_rmse")
        }
        coverage = {"expected": LEVELS, "observed": means["coverage"]}
        reliability = {"expected": means["bin_scale"], "observed": means["bin_error"]}
        curves = {"sparsification": sparsification, "coverage": coverage, "reliability": reliability}
        return figures | {
            name: {key: values.tolist() for key, values in curve.items()} for name, curve in curves.items()
        }


def mean_height(curve: Curve) -> float:
    """Area under a curve over ``REMOVED``, by trapezes, divided by its width."""
    return float(np.trapezoid(curve, REMOVED) / REMOVED[-1])


def sparsification(values: Float[np.ndarray, "kinds pixels"], doubt: Pixels) -> Float[np.ndarray, "kinds steps"]:
    """Means of what is left as the values of the most doubt are removed, at each share of ``REMOVED``.

    Values of equal doubt are removed in no order, so each counts as their mean.

    Args:
        values: such as absolute and squared errors; of at least one pixel.
        doubt: what they are ranked by.
    """
    shared = _ranked(values, doubt)
    kept = np.maximum(len(doubt) - np.round(REMOVED * len(doubt)).astype(int), 1)
    means: np.ndarray = np.cumsum(shared, axis=1)[:, kept - 1] / kept
    return means


def reliability(values: Float[np.ndarray, "kinds pixels"], doubt: Pixels) -> Float[np.ndarray, "kinds bins"]:
    """Means of the values in ``BINS`` equal parts of the pixels, from the least doubt to the most.

    A pixel on the border of two parts counts in both, by what of it lies in each, so that any number of pixels will
    do and the mean of the parts is the mean of all. Pixels of equal doubt count as their mean.

    Args:
        values: such as scales and absolute errors; of at least one pixel.
        doubt: what they are ranked by.
    """
    count = len(doubt)
    sums = np.cumsum(np.pad(_ranked(values, doubt), ((0, 0), (1, 0))), axis=1)
    borders = np.linspace(0, count, BINS + 1)
    at_borders = np.stack([np.interp(borders, np.arange(count + 1), each) for each in sums])
    means: np.ndarray = np.diff(at_borders, axis=1) * (BINS / count)
    return means


def _ranked(values: Float[np.ndarray, "kinds pixels"], doubt: Pixels) -> Float[np.ndarray, "kinds pixels"]:
    """The values in the order of their doubt; those of equal doubt have no order, so each becomes their mean."""
    order = np.argsort(doubt)
    first = np.flatnonzero(np.diff(doubt[order], prepend=-np.inf) > 0)
    members = np.diff(first, append=len(doubt))
    ranked: np.ndarray = np.repeat(np.add.reduceat(values[:, order], first, axis=1) / members, members, axis=1)
    return ranked


def coverage(error: Pixels, scale: Pixels) -> Curve:
    """Share of the errors that lie within a Laplace distribution's interval, for each of ``LEVELS``."""
    within = -np.log1p(-LEVELS)[:, None] * scale >= error
    observed: Curve = within.mean(axis=1)
    return observed


def correlation(a: Pixels, b: Pixels) -> float:
    """Pearson's correlation; NaN where one of the two is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _one_image(error: Pixels, claimed: Pixels) -> dict[str, Any]:
    scale = np.where(np.isfinite(claimed) & (claimed > 0), claimed, 0.0)
    errors = np.stack([error, error**2])
    (mae, mse), (best_mae, best_mse) = (sparsification(errors, doubt) for doubt in (scale, error))
    bin_scale, bin_error = reliability(np.stack([scale, error]), scale)
    return {
        "mae": mae,
        "oracle_mae": best_mae,
        "rmse": np.sqrt(mse),
        "oracle_rmse": np.sqrt(best_mse),
        "coverage": coverage(error, scale),
        "bin_scale": bin_scale,
        "bin_error": bin_error,
        "pearson": correlation(scale, error),
        "spearman": correlation(rankdata(scale), rankdata(error)),
    }


def _mean(images: list[Any]) -> Any:
    """Mean over the images that are not NaN; NaN of none."""
    stacked = np.stack(images)
    known = stacked[~np.isnan(stacked)] if stacked.ndim == 1 else stacked
    return known.mean(axis=0) if len(known) else np.float64("nan")
