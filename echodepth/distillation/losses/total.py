"""The distillation loss: the weighted distillation losses of a run."""

from collections.abc import Mapping

from jaxtyping import Bool
from torch import Tensor, nn

from echodepth.core.flags import select
from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.distillation.losses.base import DistillationLoss, DistillationLossConfig, StudentInfo, TeacherInfo
from echodepth.models.layers import Prediction


class WeightedLosses(nn.Module):
    """Distillation losses and their weights.

    Args:
        terms: losses by name.
        weights: weights by the same names.
    """

    def __init__(self, terms: Mapping[str, DistillationLoss], weights: Mapping[str, float]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)
        self.weights = {name: weights[name] for name in terms}

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> dict[str, Tensor]:
        """Each loss times its weight, by name."""
        return {name: self.weights[name] * term(student, teacher, valid) for name, term in self.terms.items()}


def distillation_losses(config: object) -> list[DistillationLossConfig]:
    """Every registered loss with its flags from a config, in their order; a flag that it lacks keeps its default."""
    entries = sorted(DISTILLATION_LOSSES, key=lambda entry: (entry.order, entry.name))
    return [select(config, entry) for entry in entries]


def check_distillation(config: object) -> None:
    """Raise a ConfigError for flags of distillation losses that are out of range or make no sense together."""
    for loss in distillation_losses(config):
        loss.check()


def levels_of(config: object) -> dict[str, tuple[str, ...]]:
    """Feature levels that each active loss compares, by the flag of its weight; losses without features are left out.

    Args:
        config: any object with flags as attributes.
    """
    return {loss.weight: loss.levels() for loss in distillation_losses(config) if loss.weight_value and loss.levels()}


def needs_uncertainty(config: object) -> bool:
    """Whether an active loss compares the teacher's uncertainty."""
    return any(loss.needs_uncertainty() for loss in distillation_losses(config) if loss.weight_value)


def build_distillation(config: object, student: StudentInfo, teacher: TeacherInfo) -> WeightedLosses:
    """The losses whose weight is not 0.

    Args:
        config: any object with flags as attributes.
        student: the model to train.
        teacher: the teacher as it is used in training, after alignment and caching.

    Raises:
        ConfigError: the teacher does not predict what a loss compares.
    """
    active = [loss for loss in distillation_losses(config) if loss.weight_value]
    terms = {loss.name: loss.build(student, teacher) for loss in active}
    return WeightedLosses(terms, {loss.name: loss.weight_value for loss in active})
