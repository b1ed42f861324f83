"""Reconstruction: distance of the predicted depth to the ground truth, in metres, in log depth, or both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from echodepth.losses import LOSSES
from echodepth.losses.base import MIN_DEPTH, Depth, LossInputs, LossTerm, Scalar, Valid, fill_invalid, masked_mean

Criterion = Literal["L1", "SILog", "Combined"]

SILOG_VARIANCE_FOCUS = 0.85
"""Share of the squared mean log error that the loss leaves out (lambda of arXiv 1907.10326, section 3.4)."""
SILOG_FACTOR = 10.0
"""Constant factor that brings the loss to the range of the others (alpha of arXiv 1907.10326)."""


def l1_loss(prediction: Depth, target: Depth, valid: Valid, weight: Depth | None = None) -> Scalar:
    """Mean absolute error in metres; ``weight`` is the pixels' relative weight."""
    return masked_mean((prediction - fill_invalid(target, valid)).abs(), valid, weight)


def mse_loss(prediction: Depth, target: Depth, valid: Valid, weight: Depth | None = None) -> Scalar:
    """Mean squared error in square metres; ``weight`` is the pixels' relative weight."""
    return masked_mean((prediction - fill_invalid(target, valid)).square(), valid, weight)


def silog_loss(prediction: Depth, target: Depth, valid: Valid, weight: Depth | None = None) -> Scalar:
    """Scale-invariant logarithmic error (arXiv 1406.2283), with the square root of arXiv 1907.10326.

    ``10 * sqrt(var(g) + 0.15 * mean(g)²)`` for g = log prediction - log target; ``weight`` is the pixels' relative
    weight.
    """
    log_target = torch.log(fill_invalid(target, valid).clamp(min=MIN_DEPTH))
    log_ratio = torch.log(prediction.clamp(min=MIN_DEPTH)) - log_target
    mean = masked_mean(log_ratio, valid, weight)
    variance = masked_mean((log_ratio - mean).square(), valid, weight)
    # The square root's slope is infinite at 0: without the epsilon, a perfect prediction has a NaN gradient.
    return SILOG_FACTOR * torch.sqrt(variance + (1 - SILOG_VARIANCE_FOCUS) * mean.square() + 1e-8)


def combined_loss(prediction: Depth, target: Depth, valid: Valid) -> Scalar:
    """Sum of ``l1_loss`` and ``silog_loss``."""
    return l1_loss(prediction, target, valid) + silog_loss(prediction, target, valid)


CRITERIA: dict[Criterion, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "L1": l1_loss,
    "SILog": silog_loss,
    "Combined": combined_loss,
}


@LOSSES.register
@dataclass(frozen=True, kw_only=True)
class Reconstruction(LossTerm):
    """Distance of the predicted depth to the ground truth."""

    name: ClassVar[str] = "reconstruction"
    weight: ClassVar[str] = "lambda_l1"
    order: ClassVar[int] = 0

    criterion: Criterion = "L1"
    """Reconstruction loss: L1 in metres, SILog (scale-invariant log error), or Combined, their sum."""
    lambda_l1: float = 1.0
    """Weight of the reconstruction loss, whichever --criterion it has."""

    def __call__(self, inputs: LossInputs) -> Scalar:
        """The criterion's value."""
        return CRITERIA[self.criterion](inputs.depth, inputs.ground_truth, inputs.valid)

    def is_active(self, inputs: LossInputs) -> bool:
        """Always: the term is logged and keeps the graph of the prediction even with weight 0."""
        return True
