"""Mean absolute error by image region, in a grid over the image, pooled over pixels."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from echodepth.metrics.depth import as_scored, check_maps

GRID = 8
"""Regions per image side."""
MIN_PIXEL_SHARE = 0.1
"""A region is a candidate for the worst one only with this share of the mean region's pixels: fewer are noise."""


@dataclass(frozen=True)
class Region:
    """One region of the grid.

    Attributes:
        row: from the top, from 0.
        column: from the left, from 0.
        position: in words, such as "bottom right".
        mae: mean absolute error in metres.
    """

    row: int
    column: int
    position: str
    mae: float


@dataclass(frozen=True)
class ErrorMap:
    """Mean absolute error of every region.

    Attributes:
        mae: mean |p - t| of each region's scored pixels in metres, rows from the top; NaN without such pixels.
        pixels: number of scored pixels of each region.
        worst: the region with the largest error; None when no pixel was scored.
    """

    mae: list[list[float]]
    pixels: list[list[int]]
    worst: Region | None


class ErrorMapAccumulator:
    """Accumulates a split's absolute errors by image region, in float64.

    Regions differ by one row or column of pixels when an image side is not divisible by ``GRID``.
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
        rows, columns = (_region_index(size) for size in valid.shape[2:])
        region = (GRID * rows[:, None] + columns).flatten()
        self.errors.view(-1).index_add_(0, region, errors.flatten())
        self.pixels.view(-1).index_add_(0, region, valid.sum(dim=(0, 1)).flatten())

    def compute(self) -> ErrorMap:
        """The mean errors and the worst region."""
        mae = self.errors / self.pixels
        worst = None
        if self.pixels.any():
            too_few = self.pixels < MIN_PIXEL_SHARE * self.pixels.double().mean()
            row, column = divmod(int(mae.masked_fill(too_few, -1.0).nan_to_num(-1.0).argmax()), GRID)
            worst = Region(row, column, _position(row, column), float(mae[row, column]))
        return ErrorMap(mae.tolist(), self.pixels.tolist(), worst)


def _region_index(size: int) -> Int[Tensor, " size"]:
    return torch.arange(size) * GRID // size


def _position(row: int, column: int) -> str:
    """In words, by thirds of the image; the middle third is the two innermost regions."""
    vertical, horizontal = ("top", "", "bottom")[_third(row)], ("left", "", "right")[_third(column)]
    return f"{vertical} {horizontal}".strip() or "middle"


def _third(index: int) -> int:
    return 0 if index < GRID // 2 - 1 else 2 if index > GRID // 2 else 1
