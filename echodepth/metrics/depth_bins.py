"""Errors by ground-truth depth, pooled over pixels.

A bin includes its lower bound and excludes its upper one, so every scored pixel lies in exactly one bin; the last bin
has no upper bound. The metrics of all pixels are therefore those of the bins weighted by their shares of the pixels
(for the RMSE: the mean squares).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.metrics.depth import as_scored, check_maps

BIN_STARTS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
"""Lower bounds of the bins in metres."""


@dataclass(frozen=True)
class DepthBin:
    """Errors of the scored pixels with ground truth in start <= t < end; NaN without such pixels.

    Attributes:
        start: lower bound in metres, included.
        end: upper bound in metres, excluded; None for the last bin.
        pixels: number of pixels in the bin.
        share: of all scored pixels, 0..1.
        rmse: sqrt(mean (p - t)^2), metres.
        mae: mean |p - t|, metres.
        abs_rel: mean |p - t| / t.
        bias: mean p - t, metres; negative where the model predicts too near.
    """

    start: float
    end: float | None
    pixels: int
    share: float
    rmse: float
    mae: float
    abs_rel: float
    bias: float

    @property
    def label(self) -> str:
        """The range in metres, such as ``1–2`` or ``≥ 10``."""
        return f"≥ {self.start:g}" if self.end is None else f"{self.start:g}–{self.end:g}"


class DepthBinAccumulator:
    """Accumulates a split's errors by depth bin, in float64.

    Attributes:
        sums: [bins, 5]: pixels, and squared, absolute, relative and signed errors.
    """

    def __init__(self) -> None:
        self.sums = torch.zeros(len(BIN_STARTS), 5, dtype=torch.float64)

    def update(
        self, prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> None:
        """Add a batch; see ``per_image_metrics`` for units and errors."""
        check_maps(prediction, target, valid)
        p, t = as_scored(prediction, valid)[valid], target[valid].double()
        signed = p - t
        terms = torch.stack([torch.ones_like(p), signed.square(), signed.abs(), signed.abs() / t, signed], dim=1)
        inner = torch.tensor(BIN_STARTS[1:], dtype=torch.float64)
        self.sums.index_add_(0, torch.bucketize(t, inner, right=True), terms)

    def compute(self) -> list[DepthBin]:
        """All bins, including those without pixels."""
        total = float(self.sums[:, 0].sum())
        bins = []
        for (start, end), sums in zip(pairwise((*BIN_STARTS, None)), self.sums, strict=True):
            assert start is not None
            squared, absolute, relative, signed = (sums[1:] / sums[0]).tolist()
            pixels = int(sums[0])
            share = pixels / total if total else float("nan")
            bins.append(DepthBin(start, end, pixels, share, squared**0.5, absolute, relative, signed))
        return bins
