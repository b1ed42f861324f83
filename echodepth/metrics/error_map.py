"""Where in the picture a model is wrong: its mean absolute error in a grid of regions, pooled over pixels."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from echodepth.metrics.depth import as_scored, check_maps

GRID = 8
"""Regions down and across."""
ENOUGH = 0.1
"""Pixels that the worst region must have at least, as a share of the mean region's: a handful of them is chance."""


@dataclass(frozen=True)
class Region:
    """One region of the grid; rows run down, columns to the right, both from 0."""

    row: int
    column: int
    where: str
    mae: float


@dataclass(frozen=True)
class ErrorMap:
    """The grid's figures.

    Attributes:
        mae: mean |p - t| of each region's scored pixels in metres, by rows from the top; NaN of none.
        pixels: how many of those there are.
        worst: the region that is most wrong; None when no pixel was scored.
    """

    mae: list[list[float]]
    pixels: list[list[int]]
    worst: Region | None


class ErrorMapAccumulator:
    """Adds a split up, region by region, in float64.

    A picture whose side does not divide by ``GRID`` has regions that differ by a row or a column of pixels.
    """

    def __init__(self) -> None:
        self.errors = torch.zeros(GRID, GRID, dtype=torch.float64)
        self.pixels = torch.zeros(GRID, GRID, dtype=torch.int64)

    def update(
        self, prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> None:
        """Add a batch; see ``per_image_metrics`` for units and errors."""
        check_maps(prediction, target, valid)
        errors = (as_scored(prediction, valid) - target).abs().masked_fill(~valid, 0.0).sum(dim=(0, 1))
        rows, columns = (_region_of(size) for size in valid.shape[2:])
        region = (GRID * rows[:, None] + columns).flatten()
        self.errors.view(-1).index_add_(0, region, errors.flatten())
        self.pixels.view(-1).index_add_(0, region, valid.sum(dim=(0, 1)).flatten())

    def compute(self) -> ErrorMap:
        """The means, and which is worst."""
        mae = self.errors / self.pixels
        worst = None
        if self.pixels.any():
            considered = mae.masked_fill(self.pixels < ENOUGH * self.pixels.double().mean(), -1.0).nan_to_num(-1.0)
            row, column = divmod(int(considered.argmax()), GRID)
            worst = Region(row, column, _where(row, column), float(mae[row, column]))
        return ErrorMap(mae.tolist(), self.pixels.tolist(), worst)


def _region_of(size: int) -> Int[Tensor, " size"]:
    return torch.arange(size) * GRID // size


def _where(row: int, column: int) -> str:
    """In words: thirds of the picture, the middle one the two innermost regions."""
    down, across = (_third(place) for place in (row, column))
    words = [word for word in (("top", "", "bottom")[down], ("left", "", "right")[across]) if word]
    return " ".join(words) or "middle"


def _third(place: int) -> int:
    return 0 if place < GRID // 2 - 1 else 2 if place > GRID // 2 else 1
