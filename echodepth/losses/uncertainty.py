"""Uncertainty: the predicted Laplace scale is fitted to the error of the predicted depth."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from echodepth.losses import LOSSES
from echodepth.losses.base import Depth, LossInputs, LossTerm, Scalar, Valid, fill_invalid, masked_mean


def laplace_nll(prediction: Depth, uncertainty: Depth, target: Depth, valid: Valid) -> Scalar:
    """Negative log-likelihood of the depth error under a Laplace distribution (arXiv 1703.04977): ``|r| / b + log 2b``.

    Its minimum is at the scale b that equals the mean absolute error. The error r is detached: the uncertainty learns
    from the depth, and the depth from its own loss alone (arXiv 2212.09184). Otherwise a network could raise b in place
    of reducing the error.

    Args:
        prediction: metres; receives no gradient.
        uncertainty: b in metres, positive.
        target: metres.
        valid: where the target is known.
    """
    error = (prediction - fill_invalid(target, valid)).abs().detach()
    return masked_mean(error / uncertainty + torch.log(2 * uncertainty), valid)


@LOSSES.register
@dataclass(frozen=True, kw_only=True)
class Uncertainty(LossTerm):
    """Laplace negative log-likelihood of the predicted uncertainty."""

    name: ClassVar[str] = "uncertainty"
    weight: ClassVar[str] = "lambda_uncertainty"
    order: ClassVar[int] = 3

    lambda_uncertainty: float = 0.1
    """Weight of the uncertainty loss (Laplace negative log-likelihood), with --uncertainty."""

    def __call__(self, inputs: LossInputs) -> Scalar:
        """``laplace_nll``."""
        assert inputs.uncertainty is not None, "the term is active only with an uncertainty head"
        return laplace_nll(inputs.depth, inputs.uncertainty, inputs.ground_truth, inputs.valid)

    def is_active(self, inputs: LossInputs) -> bool:
        """Whether the network predicts uncertainty."""
        return inputs.uncertainty is not None
