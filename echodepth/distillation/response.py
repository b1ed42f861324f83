"""Matching the teacher's answer: its depth map is a target, also where no depth was measured (arXiv 1503.02531)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from echodepth.distillation.terms import Term, View


class Response(Term):
    """The student's depth against the teacher's, over every pixel.

    Ground truth knows nothing of the pixels that the camera lost; the teacher has an opinion on all of them.

    Args:
        loss: of (prediction, target, valid), in metres.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, student: View, teacher: View) -> Float[Tensor, ""]:
        """The loss, with all pixels valid. A teacher's map of another size is resized to the student's."""
        target = teacher.depth
        if target.shape != student.depth.shape:
            target = F.interpolate(target, student.depth.shape[-2:], mode="bilinear", antialias=True)
        return self.loss(student.depth, target, torch.ones_like(target, dtype=torch.bool))
