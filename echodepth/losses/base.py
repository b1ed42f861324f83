"""Interface of a loss term, and the masked arithmetic that the terms share.

Losses compare depth in metres on valid pixels. Without a valid pixel (or pair of pixels) a loss and its gradient are 0,
never NaN.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.core.distributed import all_reduce_sum
from echodepth.core.errors import require_at_least

Depth = Float[Tensor, "b 1 h w"]
Valid = Bool[Tensor, "b 1 h w"]
Scalar = Float[Tensor, ""]

MIN_DEPTH = 1e-3
"""Metres: depth is clamped to this before its logarithm or inverse is taken."""


@dataclass(frozen=True)
class LossInputs:
    """What a loss term can compare.

    Attributes:
        depth: predicted depth, metres, [B,1,H,W].
        uncertainty: predicted Laplace scale, metres, [B,1,H,W]; None for a network without an uncertainty head.
        ground_truth: metres, [B,1,H,W]; undefined where not valid.
        valid: where the ground truth is known, [B,1,H,W].
        image: RGB in 0..1, [B,3,H,W]; None for a network that takes audio.
    """

    depth: Depth
    uncertainty: Depth | None
    ground_truth: Depth
    valid: Valid
    image: Float[Tensor, "b 3 h w"] | None = None


class LossTerm(ABC):
    """One term of the training loss, and its own config.

    A term is a keyword-only frozen dataclass whose fields are flags of the training commands; a field's docstring is
    the flag's help text.

    Attributes:
        name: key in ``LOSSES``; the term is logged as ``train/<name>``.
        weight: name of the field that holds the term's weight in the sum.
        order: position in the sum; terms of equal order are sorted by name.
    """

    name: ClassVar[str]
    weight: ClassVar[str]
    order: ClassVar[int] = 100

    @abstractmethod
    def __call__(self, inputs: LossInputs) -> Scalar:
        """The unweighted loss."""

    @property
    def weight_value(self) -> float:
        """The term's weight in the sum."""
        return float(getattr(self, self.weight))

    def check(self) -> None:
        """Raise a ConfigError if the weight is negative or not finite."""
        require_at_least(0, **{self.weight: self.weight_value})

    def is_active(self, inputs: LossInputs) -> bool:
        """Whether the term is computed: its weight is not 0."""
        return self.weight_value != 0

    def ramp(self, progress: float) -> float:
        """Factor of the weight under ``--use_adaptive_loss``, after this share of the epochs (0..1)."""
        return 1.0


def linear_ramp(progress: float, start: int) -> float:
    """0 during the first ``start`` fifths of the training run, linear over the next fifth, then 1."""
    return min(max(progress * 5 - start, 0.0), 1.0)


def masked_mean(
    values: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"], weight: Float[Tensor, "*shape"] | None = None
) -> Scalar:
    """Mean of the valid values; 0 without any. Inside ``sync_ranks``, the mean over all ranks.

    Args:
        values: may be NaN where not valid.
        valid: which values count.
        weight: relative weight of each value, not negative; a common factor has no effect. Equal weights when None.
    """
    if weight is None:
        total, count = all_reduce_sum(torch.where(valid, values, 0.0).sum(), valid.sum())
        return total / count.clamp(min=1)
    masked_weight = torch.where(valid, weight, 0.0)
    total, weight_sum = all_reduce_sum((masked_weight * torch.where(valid, values, 0.0)).sum(), masked_weight.sum())
    return total / weight_sum.clamp(min=torch.finfo(weight_sum.dtype).tiny)


def fill_invalid(target: Tensor, valid: Tensor) -> Tensor:
    """The target with 1 m where not valid: it may be NaN there, and a mask does not stop the gradient of NaN."""
    return torch.where(valid, target, 1.0)


def neighbour_differences(x: Tensor, step: int = 1) -> tuple[Tensor, Tensor]:
    """Differences between pixels ``step`` columns apart, and between pixels ``step`` rows apart."""
    return x[..., :, step:] - x[..., :, :-step], x[..., step:, :] - x[..., :-step, :]


def neighbour_pairs(valid: Tensor, step: int = 1) -> tuple[Tensor, Tensor]:
    """Where both pixels of a pair are valid, in the layout of ``neighbour_differences``."""
    return valid[..., :, step:] & valid[..., :, :-step], valid[..., step:, :] & valid[..., :-step, :]
