"""How far off a model is near by and far away: its figures in ranges of the true depth, pooled over pixels.

A range holds its lower end and not its upper one, so that every scored pixel lies in exactly one; the last has no
upper end. That makes the figures of the whole those of the parts: the mean square of all pixels is that of the ranges,
weighted by their shares.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.metrics.depth import as_scored, check_maps

BOUNDS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
"""Metres at which ranges begin."""


@dataclass(frozen=True)
class DepthBin:
    """The figures of the scored pixels whose true depth lies in start <= t < end; NaN of none.

    Attributes:
        start: metres, included.
        end: metres, not included; None: no end.
        pixels: that lie within.
        share: of all scored pixels, 0..1.
        rmse: sqrt(mean (p - t)^2), metres.
        mae: mean |p - t|, metres.
        abs_rel: mean |p - t| / t.
        bias: mean p - t, metres: negative where the model says too near.
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
        """Metres, such as ``1–2`` or, without an end, ``≥ 10``."""
        return f"≥ {self.start:g}" if self.end is None else f"{self.start:g}–{self.end:g}"


class DepthBins:
    """Adds a split up, range by range, in float64.

    Attributes:
        sums: of each range its pixels, and their squared, absolute, relative and signed errors.
    """

    def __init__(self) -> None:
        self.sums = torch.zeros(len(BOUNDS), 5, dtype=torch.float64)

    def update(
        self, prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> None:
        """Add a batch; see ``per_image_metrics`` for units and errors."""
        check_maps(prediction, target, valid)
        p, t = as_scored(prediction, valid)[valid], target[valid].double()
        signed = p - t
        terms = torch.stack([torch.ones_like(p), signed.square(), signed.abs(), signed.abs() / t, signed], dim=1)
        inner = torch.tensor(BOUNDS[1:], dtype=torch.float64)
        self.sums.index_add_(0, torch.bucketize(t, inner, right=True), terms)

    def compute(self) -> list[DepthBin]:
        """Every range, also those without a pixel."""
        total = float(self.sums[:, 0].sum())
        found = []
        for (start, end), sums in zip(pairwise((*BOUNDS, None)), self.sums, strict=True):
            assert start is not None
            squared, absolute, relative, signed = (sums[1:] / sums[0]).tolist()
            pixels = int(sums[0])
            share = pixels / total if total else float("nan")
            found.append(DepthBin(start, end, pixels, share, squared**0.5, absolute, relative, signed))
        return found
