"""Matching the teacher's answer: its depth map is a target (arXiv 1503.02531)."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.distillation.losses.base import DistillationLoss, Prediction

Where = Literal["everywhere", "unmeasured"]


def teacher_depth(student: Prediction, teacher: Prediction) -> Float[Tensor, "b 1 h w"]:
    """The teacher's depth at the student's size."""
    return _at_size_of(student, teacher.depth)


def confidence(student: Prediction, teacher: Prediction) -> Float[Tensor, "b 1 h w"]:
    """The teacher's depth over its scale, at the student's size: 20 where it expects to be off by a twentieth.

    Relative, because errors grow with distance, for this teacher as for any. The inverse scale by itself would weigh
    down whatever is far, sure or not; how much a metre far away counts against one nearby is for the loss to say.
    """
    assert teacher.scale is not None, "a teacher without uncertainty is refused before a run begins"
    return _at_size_of(student, teacher.depth / teacher.scale)


def _at_size_of(student: Prediction, seen: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
    if seen.shape == student.depth.shape:
        return seen
    return F.interpolate(seen, student.depth.shape[-2:], mode="bilinear", antialias=True)


class Response(DistillationLoss):
    """The student's depth against the teacher's.

    Args:
        loss: of (prediction, target, valid), in metres, and with ``by_confidence`` of a weight too.
        where: ``everywhere``, or ``unmeasured``: only where the depth was not measured, so that a measurement is never
            contradicted.
        by_confidence: pixels count by the teacher's ``confidence`` relative to its mean over the batch, so that the
            term stays as large as without.
    """

    def __init__(self, loss: Callable[..., Tensor], where: Where = "everywhere", by_confidence: bool = False) -> None:
        super().__init__()
        self.loss = loss
        self.where = where
        self.by_confidence = by_confidence

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """The loss; a teacher's map of another size is resized to the student's."""
        taught = ~valid if self.where == "unmeasured" else torch.ones_like(valid)
        weight = (confidence(student, teacher),) if self.by_confidence else ()
        return self.loss(student.depth, teacher_depth(student, teacher), taught, *weight)


class Ranking(DistillationLoss):
    """Which of two places is nearer, as the teacher sees it (arXiv 1604.03901).

    What is near and what is far is often right where the metres are not. Of pairs that the teacher holds apart by
    ``apart`` at least, the student pays the softplus of the log ratio by which it has them in the wrong order.

    Args:
        pairs: of places, drawn anew for each batch, the same in all its frames.
        apart: ratio of the teacher's depths from which on a pair counts.
        sharpness: how fast the price falls once the order is right; 10 halves it every 7 % of depth.
    """

    def __init__(self, pairs: int = 1024, apart: float = 1.1, sharpness: float = 10.0) -> None:
        super().__init__()
        self.pairs = pairs
        self.least = float(torch.tensor(apart).log())
        self.sharpness = sharpness

    def forward(self, student: Prediction, teacher: Prediction, valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Mean over the pairs that count; 0 where none does."""
        places = torch.randint(student.depth[0].numel(), (2, self.pairs)).to(student.depth.device)
        ratios = []
        for depth in (student.depth, teacher_depth(student, teacher)):
            log_depth = depth.clamp(min=1e-3).log().flatten(1)
            ratios.append(log_depth[:, places[0]] - log_depth[:, places[1]])
        own, seen = ratios
        counts = seen.abs() > self.least
        price = F.softplus(-self.sharpness * seen.sign() * own) / self.sharpness
        return torch.where(counts, price, 0.0).sum() / counts.sum().clamp(min=1)
