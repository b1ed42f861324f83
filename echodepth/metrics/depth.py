"""Depth metrics: one implementation for validation, evaluation and comparison.

The metrics of monocular depth estimation (Eigen et al., arXiv 1406.2283) over the pixels that a mask selects, with p
the prediction and t the ground truth, both in metres, and d = log p - log t:

    rmse     sqrt(mean (p - t)^2)     m        delta1..3   share of pixels with max(p/t, t/p) < 1.25^k
    mae      mean |p - t|             m        log10       mean |log10 p - log10 t|
    abs_rel  mean |p - t| / t                  silog       100 sqrt(mean d^2 - (mean d)^2), as KITTI

``METRIC_TABLE`` declares them; a metric added there appears in every table, page and result file.

**A prediction that is NaN, infinite, zero or negative on a scored pixel is an error, never a hit.** It is scored as a
prediction of 1 mm, fails every delta, and is counted in ``bad_predictions``. Other implementations drop such pixels
from the mean, or count them as delta1 hits because ``NaN -> 0`` and ``t / p < 0 < 1.25``.

**An image without a scored pixel has no metrics** (NaN, counted in ``images_without_valid``). It is left out of the
means instead of entering them as a perfect zero.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torchmetrics
from jaxtyping import Bool, Float, Int
from torch import Tensor

BAD_PREDICTION_DEPTH = 0.001
"""Metres. Nearer than anything a camera measures, yet finite under a logarithm."""


class _PixelErrors(NamedTuple):
    """What the per-pixel terms are computed from, [b, 1, h, w] in float64."""

    target: Tensor
    difference: Tensor
    log_ratio: Tensor
    ratio: Tensor


_PIXEL_TERMS: dict[str, Callable[[_PixelErrors], Tensor]] = {
    "pixels": lambda errors: torch.ones_like(errors.target),
    "squared": lambda errors: errors.difference.square(),
    "absolute": lambda errors: errors.difference,
    "relative": lambda errors: errors.difference / errors.target,
    "log10": lambda errors: errors.log_ratio.abs() / math.log(10),
    "delta1": lambda errors: (errors.ratio < 1.25**1).double(),
    "delta2": lambda errors: (errors.ratio < 1.25**2).double(),
    "delta3": lambda errors: (errors.ratio < 1.25**3).double(),
    "log": lambda errors: errors.log_ratio,
    "log_squared": lambda errors: errors.log_ratio.square(),
}
"""Terms that are summed over the scored pixels; the metrics are formulas of their means."""


@dataclass(frozen=True)
class Score:
    """A column of tables.

    Attributes:
        name: key in result files.
        title: column title in tables, with the unit.
        higher_is_better: direction of improvement.
    """

    name: str
    title: str
    higher_is_better: bool

    @property
    def heading(self) -> str:
        """The title with an arrow towards better values."""
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"


@dataclass(frozen=True)
class Metric(Score):
    """A score of a single image.

    Attributes:
        formula: the metric from the mean of every term in ``_PIXEL_TERMS`` over the scored pixels.
    """

    formula: Callable[[Mapping[str, Tensor]], Tensor]


def _silog(mean: Mapping[str, Tensor]) -> Tensor:
    # Rounding can take the difference of two near-equal means slightly below zero.
    variance = (mean["log_squared"] - mean["log"].square()).clamp_min(0)
    return 100 * variance.sqrt()


METRIC_TABLE: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("rmse", "RMSE (m)", False, lambda mean: mean["squared"].sqrt()),
        Metric("abs_rel", "ABS REL", False, lambda mean: mean["relative"]),
        Metric("log10", "log10", False, lambda mean: mean["log10"]),
        Metric("delta1", "δ1", True, lambda mean: mean["delta1"]),
        Metric("delta2", "δ2", True, lambda mean: mean["delta2"]),
        Metric("delta3", "δ3", True, lambda mean: mean["delta3"]),
        Metric("mae", "MAE (m)", False, lambda mean: mean["absolute"]),
        Metric("silog", "SILog", False, _silog),
    )
}
"""All metrics by name, in the column order of tables."""
METRICS = tuple(METRIC_TABLE)
"""Names of the metrics."""


def bad_predictions(prediction: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
    """Scored pixels whose prediction is not a depth: NaN, infinite, zero or negative."""
    return valid & ~(torch.isfinite(prediction) & (prediction > 0))


def as_scored(prediction: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """The prediction in float64, with ``BAD_PREDICTION_DEPTH`` at every bad prediction on a scored pixel."""
    return prediction.double().masked_fill(bad_predictions(prediction, valid), BAD_PREDICTION_DEPTH)


def check_maps(
    prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> None:
    """Check shapes and target of maps that are to be scored.

    Raises:
        ValueError: the shapes differ, or a scored target is not a positive, finite depth.
    """
    # Without this, [b,1,h,w] against [b,h,w] would broadcast to b*b pairs and give a plausible number.
    if not prediction.shape == target.shape == valid.shape:
        raise ValueError(
            f"prediction {tuple(prediction.shape)}, target {tuple(target.shape)} and"
            f" valid {tuple(valid.shape)} must have one shape [b, 1, h, w]"
        )
    # Without indexing by the mask, which on a GPU would wait for its size.
    if not bool((torch.isfinite(target) & (target > 0) | ~valid).all()):
        raise ValueError("target must be a positive, finite depth in metres wherever valid is true")


def per_image_metrics(
    prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> dict[str, Float[Tensor, " b"]]:
    """All ``METRICS`` of every image.

    Args:
        prediction: metres.
        target: ground truth in metres, positive wherever ``valid``; arbitrary elsewhere.
        valid: the pixels to score.

    Returns:
        Float64 values by metric name, NaN for an image without a scored pixel.

    Raises:
        ValueError: the shapes differ, or a scored target is not a positive, finite depth.
    """
    return _metrics_from_sums(_sums(prediction, target, valid))


def _sums(
    prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b sums"]:
    """The terms of ``_PIXEL_TERMS`` summed over each image's scored pixels, in their order."""
    check_maps(prediction, target, valid)
    bad = bad_predictions(prediction, valid)
    p = as_scored(prediction, valid).masked_fill(~valid, 1.0)
    t = target.double().masked_fill(~valid, 1.0)
    # A ground truth of about 1 mm must not turn the stand-in for a bad prediction into a hit.
    ratio = torch.maximum(p / t, t / p).masked_fill(bad, math.inf)
    errors = _PixelErrors(t, (p - t).abs(), p.log() - t.log(), ratio)
    return torch.stack([(term(errors) * valid).sum(dim=(1, 2, 3)) for term in _PIXEL_TERMS.values()], dim=1)


def _metrics_from_sums(sums: Float[Tensor, "*images sums"]) -> dict[str, Float[Tensor, "*images"]]:
    """The metrics from sums over pixels, of single images or of all images together. 0 / 0 gives NaN."""
    mean = dict(zip(_PIXEL_TERMS, (sums / sums[..., :1]).unbind(-1), strict=True))
    return {metric.name: metric.formula(mean) for metric in METRIC_TABLE.values()}


class DepthMetrics(torchmetrics.Metric):
    """Accumulates ``METRICS`` over a split in float64; the states sum over distributed processes.

    ``compute()`` returns scalars: the mean over images under each metric's name (every image has the same weight, as
    in published results), the metric over all pixels of all images under ``pooled_<name>``, and the counts ``images``
    (those with a scored pixel), ``pixels``, ``images_without_valid`` and ``bad_predictions``.
    """

    full_state_update = False
    sums: Tensor
    totals: Tensor
    images: Tensor
    images_without_valid: Tensor
    bad: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(len(_PIXEL_TERMS), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("totals", torch.zeros(len(METRICS), dtype=torch.float64), dist_reduce_fx="sum")
        for count in ("images", "images_without_valid", "bad"):
            self.add_state(count, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        prediction: Float[Tensor, "b 1 h w"],
        target: Float[Tensor, "b 1 h w"],
        valid: Bool[Tensor, "b 1 h w"],
    ) -> None:
        """Add a batch; see ``per_image_metrics`` for units and errors."""
        prediction, target, valid = (maps.to(self.sums.device) for maps in (prediction, target, valid))
        sums = _sums(prediction, target, valid)
        values = torch.stack(list(_metrics_from_sums(sums).values()), dim=1)
        counted = sums[:, 0] > 0
        self.sums += sums.sum(dim=0)
        self.totals += torch.where(counted[:, None], values, 0).sum(dim=0)
        self.images += counted.sum()
        self.images_without_valid += (~counted).sum()
        self.bad += bad_predictions(prediction, valid).sum()

    def compute(self) -> dict[str, Float[Tensor, ""] | Int[Tensor, ""]]:
        """All metrics and counts as scalar tensors; the metrics are NaN when no image has a scored pixel."""
        means = dict(zip(METRICS, (self.totals / self.images).unbind(), strict=True))
        pooled = {f"pooled_{name}": value for name, value in _metrics_from_sums(self.sums).items()}
        counts = {
            "images": self.images,
            "pixels": self.sums[0].to(torch.int64),
            "images_without_valid": self.images_without_valid,
            "bad_predictions": self.bad,
        }
        return means | pooled | counts

    def _apply(self, fn: Callable[..., Tensor], *args: Any, **kwargs: Any) -> "DepthMetrics":
        # The MPS backend has no float64: the sums stay on the CPU, and `update` moves each batch to them.
        if fn(torch.empty(0)).device.type == "mps":
            return self
        moved: DepthMetrics = super()._apply(fn, *args, **kwargs)  # type: ignore[assignment]
        return moved
