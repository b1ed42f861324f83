"""Edge-aware smoothness: depth changes only where the image, or the ground truth, has an edge."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from echodepth.losses import LOSSES
from echodepth.losses.base import (
    MIN_DEPTH,
    Depth,
    LossInputs,
    LossTerm,
    Scalar,
    Valid,
    fill_invalid,
    linear_ramp,
    masked_mean,
    neighbour_differences,
    neighbour_pairs,
)


def smoothness_loss(
    prediction: Depth, guide: Float[Tensor, "b c h w"], valid: Valid | None = None, sharpness: float = 10.0
) -> Scalar:
    """Depth differences between adjacent pixels in metres, down-weighted at the guide's edges (arXiv 1609.03677).

    Args:
        prediction: metres.
        guide: an RGB image in 0..1, or depth scaled to 0..1; depth may jump at its edges.
        valid: where the guide is known; everywhere when None.
        sharpness: an edge of height 1 / sharpness divides a pair's weight by e.
    """
    valid = valid if valid is not None else torch.ones_like(prediction, dtype=torch.bool)
    terms = []
    pairs = zip(neighbour_differences(prediction), neighbour_differences(guide), neighbour_pairs(valid), strict=True)
    for difference, edge, pair in pairs:
        weight = torch.exp(-sharpness * edge.abs().mean(dim=1, keepdim=True))
        terms.append(masked_mean(difference.abs() * weight, pair))
    return torch.stack(terms).mean()


@LOSSES.register
@dataclass(frozen=True, kw_only=True)
class Smoothness(LossTerm):
    """Edge-aware smoothness."""

    name: ClassVar[str] = "smooth"
    weight: ClassVar[str] = "lambda_smooth"
    order: ClassVar[int] = 2

    lambda_smooth: float = 0.1
    """Weight of the edge-aware smoothness loss."""

    def __call__(self, inputs: LossInputs) -> Scalar:
        """``smoothness_loss``, guided by the image, or without one by the ground truth."""
        if inputs.image is not None:
            return smoothness_loss(inputs.depth, inputs.image)
        # Relative to the frame's largest depth, so that an edge has the same weight in rooms of any size.
        max_depth = torch.where(inputs.valid, inputs.ground_truth, 0.0).amax(dim=(1, 2, 3), keepdim=True)
        guide = fill_invalid(inputs.ground_truth, inputs.valid) / max_depth.clamp(min=MIN_DEPTH)
        return smoothness_loss(inputs.depth, guide, inputs.valid)

    def ramp(self, progress: float) -> float:
        """Rises over the third fifth of training: surfaces become smooth once depth edges are in place."""
        return linear_ramp(progress, 2)
