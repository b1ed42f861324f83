"""Depth maps of one column, and what the losses take."""

import torch
from torch import Tensor

from echodepth.losses.base import LossInputs


def column(*values: float) -> Tensor:
    return torch.tensor(values).reshape(1, 1, -1, 1)


def everywhere(x: Tensor) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def inputs(
    depth: Tensor, ground_truth: Tensor, image: Tensor | None = None, uncertainty: Tensor | None = None
) -> LossInputs:
    return LossInputs(depth, uncertainty, ground_truth, everywhere(ground_truth), image)
