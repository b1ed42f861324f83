"""Predictions of a student and a teacher by hand, and a loss between them."""

import torch

from echodepth.distillation.losses.base import DistillationLoss
from echodepth.models.layers import Prediction


def prediction(depth: torch.Tensor, **features: torch.Tensor) -> Prediction:
    return Prediction(depth, None, features)


def everywhere(depth: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(depth, dtype=torch.bool)


def compared(term: DistillationLoss, student: Prediction, teacher: Prediction) -> torch.Tensor:
    scalar: torch.Tensor = term(student, teacher, everywhere(student.depth))
    return scalar


FLAT = torch.ones(1, 1, 8, 8)
