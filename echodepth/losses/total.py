"""The training loss: the weighted sum of all active terms."""

from collections.abc import Sequence

from torch import Tensor

from echodepth.core.flags import select
from echodepth.losses import LOSSES
from echodepth.losses.base import LossInputs, LossTerm
from echodepth.losses.config import Curriculum


class TotalLoss:
    """Weighted sum of loss terms.

    Args:
        terms: in the order in which they are computed and added.
        use_adaptive_loss: multiply each weight by the term's ``ramp``.
    """

    def __init__(self, terms: Sequence[LossTerm], use_adaptive_loss: bool = False) -> None:
        self.terms = tuple(terms)
        self.use_adaptive_loss = use_adaptive_loss

    def __call__(self, inputs: LossInputs, progress: float = 0.0) -> dict[str, Tensor]:
        """The unweighted active terms by name, and their weighted sum as ``loss``.

        Args:
            inputs: prediction and ground truth.
            progress: share of the epochs done (0..1), for the curriculum.
        """
        losses: dict[str, Tensor] = {}
        total = inputs.depth.new_zeros(())
        for term in self.terms:
            if term.is_active(inputs):
                losses[term.name] = term(inputs)
                ramp = term.ramp(progress) if self.use_adaptive_loss else 1.0
                total = total + term.weight_value * ramp * losses[term.name]
        return {**losses, "loss": total}


def loss_terms(config: object) -> list[LossTerm]:
    """Every registered term with its flags from a config; a flag that the config lacks keeps its default."""
    return [select(config, term) for term in sorted(LOSSES, key=lambda term: (term.order, term.name))]


def check_losses(config: object) -> None:
    """Raise a ConfigError for a term's flag that is out of range."""
    for term in loss_terms(config):
        term.check()


def build_losses(config: object) -> TotalLoss:
    """The training loss for a config's flags.

    Args:
        config: any object with flags as attributes; a flag that it lacks keeps its default.
    """
    return TotalLoss(loss_terms(config), select(config, Curriculum).use_adaptive_loss)
