"""Gradient loss: depth differences between pixels match those of the ground truth, at several distances."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from echodepth.losses import LOSSES
from echodepth.losses.base import (
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


def gradient_loss(prediction: Depth, target: Depth, valid: Valid, scales: int = 4) -> Scalar:
    """Mean absolute error of depth differences between pixels, in metres (arXiv 1804.00607).

    Args:
        prediction: metres.
        target: metres.
        valid: a pair of pixels counts where both are valid.
        scales: number of pixel distances 1, 2, 4, ...; distances larger than the map contribute 0.
    """
    error = prediction - fill_invalid(target, valid)
    terms = []
    for step in (2**k for k in range(scales)):
        for difference, pair in zip(neighbour_differences(error, step), neighbour_pairs(valid, step), strict=True):
            terms.append(masked_mean(difference.abs(), pair))
    return torch.stack(terms).mean()


@LOSSES.register
@dataclass(frozen=True, kw_only=True)
class DepthGradient(LossTerm):
    """Multi-scale depth gradients."""

    name: ClassVar[str] = "edge"
    weight: ClassVar[str] = "lambda_edge"
    order: ClassVar[int] = 1

    lambda_edge: float = 0.0
    """Weight of the gradient loss: differences between pixels match those of the ground truth."""

    def __call__(self, inputs: LossInputs) -> Scalar:
        """``gradient_loss``."""
        return gradient_loss(inputs.depth, inputs.ground_truth, inputs.valid)

    def ramp(self, progress: float) -> float:
        """Rises over the second fifth of training: depth edges matter once the depth is roughly right."""
        return linear_ramp(progress, 1)
