"""What a distillation term is: a scalar that says how far one view of a batch is from another."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Prediction:
    """What a network makes of a batch.

    Attributes:
        depth: metres, [B,1,S,S].
        features: the maps x1..x5 and d1..d4.
        scale: metres that the depth is expected to be off, [B,1,S,S]; None of a network that does not say.
    """

    depth: Float[Tensor, "b 1 h w"]
    features: Mapping[str, Tensor]
    scale: Float[Tensor, "b 1 h w"] | None = None


class DistillationLoss(nn.Module, ABC):
    """Base of all terms.

    A term may hold layers of its own, such as projections: they are trained with the student, kept in training's
    checkpoints for a resume, and left out of the saved student.
    """

    @abstractmethod
    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """How far the student's view is from the teacher's; ``valid`` is where depth was measured."""


class WeightedLosses(nn.Module):
    """A weighted sum of terms.

    Args:
        terms: by name.
        weights: by the same names.
    """

    def __init__(self, terms: Mapping[str, DistillationLoss], weights: Mapping[str, float]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)
        self.weights = {name: weights[name] for name in terms}

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> dict[str, Tensor]:
        """The terms by name, each times its weight."""
        return {name: self.weights[name] * term(student, teacher, valid) for name, term in self.terms.items()}
