"""How far a depth map is from the truth: one implementation, for validation, evaluation and comparison.

The eight figures of monocular depth work (Eigen et al., arXiv 1406.2283) over the pixels that a mask admits,
with p the prediction and t the truth, both in metres and d = log p - log t:

    rmse     sqrt(mean (p - t)^2)     m        delta1..3   share of pixels with max(p/t, t/p) < 1.25^k
    mae      mean |p - t|             m        log10       mean |log10 p - log10 t|
    abs_rel  mean |p - t| / t                  silog       100 sqrt(mean d^2 - (mean d)^2), as KITTI

**A prediction that is NaN, infinite, zero or negative on a scored pixel is an error, never a hit**: it is
scored as a prediction of 1 mm, fails every delta, and is counted in ``bad_predictions``. Elsewhere such
pixels have been dropped from the mean, or have passed as delta1 hits because ``NaN -> 0`` and ``t / p < 0 <
1.25``.

**An image without a scored pixel has no figure** (NaN, counted in ``images_without_valid``) and is left out
of the means, rather than averaged in as a perfect zero.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric

METRICS = ("rmse", "abs_rel", "log10", "delta1", "delta2", "delta3", "mae", "silog")
"""Names of the figures, in the order in which tables show them."""

HIGHER_IS_BETTER = frozenset({"delta1", "delta2", "delta3"})

BAD_PREDICTION_DEPTH = 0.001
"""Metres. Nearer than anything a camera measures, yet finite under a logarithm."""

_SUMS = (
    "pixels",
    "squared",
    "absolute",
    "relative",
    "log10",
    "delta1",
    "delta2",
    "delta3",
    "log",
    "log_squared",
)


def bad_predictions(prediction: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
    """Scored pixels whose prediction is no depth at all: NaN, infinite, zero or negative."""
    return valid & ~(torch.isfinite(prediction) & (prediction > 0))


def as_scored(prediction: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """The prediction in float64, with ``BAD_PREDICTION_DEPTH`` wherever a scored pixel holds no depth at all."""
    return prediction.double().masked_fill(bad_predictions(prediction, valid), BAD_PREDICTION_DEPTH)


def check_maps(
    prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> None:
    """What everything that is scored must be.

    Raises:
        ValueError: the shapes differ, or a scored target is not a positive, finite depth.
    """
    # Without this, [b,1,h,w] against [b,h,w] would broadcast to b*b pairs and give a plausible number.
    if not prediction.shape == target.shape == valid.shape:
        raise ValueError(
            f"prediction {tuple(prediction.shape)}, target {tuple(target.shape)} and"
            f" valid {tuple(valid.shape)} must have one shape [b, 1, h, w]"
        )
    if not bool((torch.isfinite(target) & (target > 0))[valid].all()):
        raise ValueError("target must be a positive, finite depth in metres wherever valid is true")


def per_image_metrics(
    prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> dict[str, Float[Tensor, " b"]]:
    """All ``METRICS`` of every image by itself.

    Args:
        prediction: metres.
        target: metres, positive wherever ``valid``; anything elsewhere.
        valid: the pixels to score.

    Returns:
        Float64 figures by name, NaN for an image without a scored pixel.

    Raises:
        ValueError: the shapes differ, or a scored target is not a positive, finite depth.
    """
    return _figures(_sums(prediction, target, valid))


def _sums(
    prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b sums"]:
    """What every figure is made of, added up over each image's scored pixels, in the order of ``_SUMS``."""
    check_maps(prediction, target, valid)
    bad = bad_predictions(prediction, valid)
    p = as_scored(prediction, valid).masked_fill(~valid, 1.0)
    t = target.double().masked_fill(~valid, 1.0)
    difference = (p - t).abs()
    log_ratio = p.log() - t.log()
    # A truth of about 1 mm must not turn the stand-in for a bad prediction into a hit.
    ratio = torch.maximum(p / t, t / p).masked_fill(bad, math.inf)
    terms = (
        torch.ones_like(p),
        difference.square(),
        difference,
        difference / t,
        log_ratio.abs() / math.log(10),
        *((ratio < 1.25**k).double() for k in (1, 2, 3)),
        log_ratio,
        log_ratio.square(),
    )
    return torch.stack([(term * valid).sum(dim=(1, 2, 3)) for term in terms], dim=1)


def _figures(sums: Float[Tensor, "*images sums"]) -> dict[str, Float[Tensor, "*images"]]:
    """The figures from sums over pixels: of one image each, or of all images together. 0 / 0 gives NaN."""
    mean = dict(zip(_SUMS, (sums / sums[..., :1]).unbind(-1), strict=True))
    # Rounding can take the difference of two near-equal means a hair below zero.
    variance = (mean["log_squared"] - mean["log"].square()).clamp_min(0)
    figures = {
        "rmse": mean["squared"].sqrt(),
        "abs_rel": mean["relative"],
        "mae": mean["absolute"],
        "silog": 100 * variance.sqrt(),
    }
    return {name: figures[name] if name in figures else mean[name] for name in METRICS}


class DepthMetrics(Metric):
    """Accumulates ``METRICS`` over a whole split, in float64, also sharded over processes.

    ``compute()`` gives scalars: the mean over images under each plain name (a large room weighs no more than
    a small one; published figures are of this kind), the same figure over all pixels of all images together
    under ``pooled_<name>``, and the counts ``images`` (those with a figure), ``pixels``,
    ``images_without_valid`` and ``bad_predictions``.
    """

    full_state_update = False
    sums: Tensor
    totals: Tensor
    images: Tensor
    images_without_valid: Tensor
    bad: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(len(_SUMS), dtype=torch.float64), dist_reduce_fx="sum")
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
        figures = torch.stack(list(_figures(sums).values()), dim=1)
        counted = sums[:, 0] > 0
        self.sums += sums.sum(dim=0)
        self.totals += figures[counted].sum(dim=0)
        self.images += counted.sum()
        self.images_without_valid += (~counted).sum()
        self.bad += bad_predictions(prediction, valid).sum()

    def compute(self) -> dict[str, Float[Tensor, ""] | Int[Tensor, ""]]:
        """All figures and counts as scalar tensors; the figures are NaN when no image had a scored pixel."""
        means = dict(zip(METRICS, (self.totals / self.images).unbind(), strict=True))
        pooled = {f"pooled_{name}": figure for name, figure in _figures(self.sums).items()}
        counts = {
            "images": self.images,
            "pixels": self.sums[0].to(torch.int64),
            "images_without_valid": self.images_without_valid,
            "bad_predictions": self.bad,
        }
        return means | pooled | counts

    def _apply(self, fn: Callable[..., Tensor], *args: Any, **kwargs: Any) -> "DepthMetrics":
        # Apple's GPUs have no float64: there the sums stay on the CPU, and each batch is brought to them.
        if fn(torch.empty(0)).device.type == "mps":
            return self
        moved: DepthMetrics = super()._apply(fn, *args, **kwargs)  # type: ignore[assignment]
        return moved
