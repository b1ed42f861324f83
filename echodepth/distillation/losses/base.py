"""Interface of a distillation loss: a config that is registered and the module that it builds."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.core.errors import require_at_least
from echodepth.models.layers import Prediction
from echodepth.models.resampling import resample

EncoderLevel = Literal["x1", "x2", "x3", "x4", "x5"]
Level = Literal["x1", "x2", "x3", "x4", "x5", "d1", "d2", "d3", "d4"]
BOTTLENECK: Level = "x5"
"""The level whose map nearly summarises its frame: the encoder's last."""


@runtime_checkable
class StudentInfo(Protocol):
    """What a distillation loss needs to know of the student to build its layers."""

    def feature_channels(self) -> dict[str, int]:
        """Channels of each feature map by level."""

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of each feature map by level."""


@runtime_checkable
class TeacherInfo(StudentInfo, Protocol):
    """As ``StudentInfo``, for the teacher."""

    @property
    def has_uncertainty(self) -> bool:
        """Whether its predictions include uncertainty."""


class DistillationLoss(nn.Module, ABC):
    """Base of all distillation losses.

    A loss may have layers of its own, such as projections. They are trained with the student and kept in training
    checkpoints for a resume, but they are no part of the saved student.
    """

    @abstractmethod
    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Distance of the student's prediction to the teacher's; ``valid`` is where ground truth exists."""


class DistillationLossConfig(ABC):
    """Config of one distillation loss.

    A config is a keyword-only frozen dataclass whose fields are flags of ``echodepth train distill``; a field's
    docstring is the flag's help text.

    Attributes:
        name: key in ``DISTILLATION_LOSSES``; the loss is logged as ``train/<name>``.
        weight: name of the field that holds the loss's weight in the sum.
        order: position in the sum, and in drawing initial weights; losses of equal order are sorted by name.
    """

    name: ClassVar[str]
    weight: ClassVar[str]
    order: ClassVar[int] = 100

    @property
    def weight_value(self) -> float:
        """The loss's weight in the sum; 0 leaves the loss out."""
        return float(getattr(self, self.weight))

    def levels(self) -> tuple[str, ...]:
        """Feature levels that the loss compares, out of x1..x5 and d1..d4; none by default."""
        return ()

    def needs_uncertainty(self) -> bool:
        """Whether the teacher's uncertainty is compared; no by default."""
        return False

    def check(self) -> None:
        """Raise a ConfigError for flags that make no sense; also called when the weight is 0."""
        require_at_least(0, **{self.weight: self.weight_value})

    @abstractmethod
    def build(self, student: StudentInfo, teacher: TeacherInfo) -> DistillationLoss:
        """The loss for this student and teacher.

        Raises:
            ConfigError: the teacher does not predict what the loss compares.
        """


def resize_like(x: Float[Tensor, "b c h w"], reference: Float[Tensor, "b c2 h2 w2"]) -> Float[Tensor, "b c h2 w2"]:
    """Resize a map to the rows and columns of another: bilinear, antialiased."""
    return resample(x, (reference.shape[-2], reference.shape[-1]))
