"""Response distillation: the teacher's depth map is a target (arXiv 1503.02531)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.core.errors import ConfigError
from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.distillation.losses.base import (
    DistillationLoss,
    DistillationLossConfig,
    StudentInfo,
    TeacherInfo,
    resize_like,
)
from echodepth.losses.gradient import gradient_loss
from echodepth.losses.reconstruction import l1_loss, mse_loss, silog_loss
from echodepth.models.layers import Prediction

Where = Literal["everywhere", "unmeasured"]
KD_LOSSES = {"l1": l1_loss, "mse": mse_loss, "silog": silog_loss}


def confidence(student: Prediction, teacher: Prediction) -> Float[Tensor, "b 1 h w"]:
    """The teacher's depth divided by its uncertainty, at the student's size.

    Confidence is relative to depth because errors grow with distance. The inverse uncertainty alone would give distant
    pixels a low weight in general; the weight of distant errors is the choice of the loss.
    """
    assert teacher.uncertainty is not None, "Response.build refuses a teacher without uncertainty"
    return resize_like(teacher.depth / teacher.uncertainty, student.depth)


class ResponseLoss(DistillationLoss):
    """Distance of the student's depth to the teacher's.

    Args:
        loss: function of (prediction, target, valid), in metres, and with ``by_confidence`` of a weight.
        where: ``everywhere``, or ``unmeasured``: only at pixels without ground truth, so that the teacher never
            contradicts a measurement.
        by_confidence: weight pixels by the teacher's ``confidence``, relative to its mean over the batch.
    """

    def __init__(self, loss: Callable[..., Tensor], where: Where = "everywhere", by_confidence: bool = False) -> None:
        super().__init__()
        self.loss = loss
        self.where = where
        self.by_confidence = by_confidence

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """The loss against the teacher's depth, resized to the student's size."""
        mask = ~valid if self.where == "unmeasured" else torch.ones_like(valid)
        weight = (confidence(student, teacher),) if self.by_confidence else ()
        return self.loss(student.depth, resize_like(teacher.depth, student.depth), mask, *weight)


@dataclass(frozen=True, kw_only=True)
class ResponseRegion(DistillationLossConfig):
    """The flag that both response losses share."""

    kd_where: Where = "everywhere"
    """Pixels of the KD losses: everywhere, or unmeasured (only where ground truth is missing)."""


@DISTILLATION_LOSSES.register
@dataclass(frozen=True, kw_only=True)
class Response(ResponseRegion):
    """Distance to the teacher's depth."""

    name: ClassVar[str] = "kd"
    weight: ClassVar[str] = "lambda_kd"
    order: ClassVar[int] = 0

    lambda_kd: float = 1.0
    """Weight of the KD loss, the distance to the teacher's depth."""
    kd_loss: Literal["l1", "mse", "silog"] = "l1"
    """KD loss: l1 (m), mse (m²) or silog (scale-invariant log error)."""
    kd_confidence: bool = False
    """Weight the KD loss by teacher confidence (depth / uncertainty); needs a teacher trained with --uncertainty."""

    def needs_uncertainty(self) -> bool:
        """With ``--kd_confidence``."""
        return self.kd_confidence

    def check(self) -> None:
        """Refuse also a confidence without the loss that it weights."""
        super().check()
        if self.kd_confidence and not self.lambda_kd:
            raise ConfigError("--kd_confidence has no effect with --lambda_kd 0: give a --lambda_kd above 0")

    def build(self, student: StudentInfo, teacher: TeacherInfo) -> ResponseLoss:
        """Refuse a teacher without uncertainty where its confidence is needed."""
        if self.kd_confidence and not teacher.has_uncertainty:
            raise ConfigError(
                "--kd_confidence: the depth of this --teacher has no uncertainty; train the teacher with --uncertainty "
                "and use --teacher_align auto, or leave --kd_confidence out"
            )
        return ResponseLoss(KD_LOSSES[self.kd_loss], self.kd_where, self.kd_confidence)


@DISTILLATION_LOSSES.register
@dataclass(frozen=True, kw_only=True)
class ResponseGradient(ResponseRegion):
    """Distance to the depth differences in the teacher's depth (arXiv 1804.00607)."""

    name: ClassVar[str] = "kd_edge"
    weight: ClassVar[str] = "lambda_kd_edge"
    order: ClassVar[int] = 1

    lambda_kd_edge: float = 0.0
    """Weight of the gradient loss against the teacher's depth."""

    def build(self, student: StudentInfo, teacher: TeacherInfo) -> ResponseLoss:
        """The multi-scale gradient loss, with the teacher's depth as its target."""
        return ResponseLoss(gradient_loss, self.kd_where)
