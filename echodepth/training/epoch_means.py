"""Means of the training losses over an epoch, summed on the device."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class EpochMeans:
    """Mean of each value over an epoch's frames.

    Lightning's ``log`` costs every value of every step a tenth of a millisecond on the CPU, as much as launching a
    layer. Here a step's values are added by three operations.
    """

    def __init__(self) -> None:
        # By the names of a step's values: nearly always one entry.
        self._sums: dict[tuple[str, ...], tuple[Tensor, int]] = {}

    def add(self, values: Mapping[str, Tensor], frames: int) -> None:
        """Add the scalars of one step, means over ``frames`` frames."""
        names = tuple(values)
        weighted = torch.stack([value.detach() for value in values.values()]) * frames
        if names in self._sums:
            before, counted = self._sums[names]
            weighted, frames = before + weighted, counted + frames
        self._sums[names] = weighted, frames

    def state(self) -> list[Any]:
        """The sums so far, in plain values and tensors."""
        return [[list(names), sums.cpu(), frames] for names, (sums, frames) in self._sums.items()]

    def restore(self, state: list[Any], device: torch.device) -> None:
        """Go on from ``state``."""
        self._sums = {tuple(names): (sums.to(device), frames) for names, sums, frames in state}

    def take(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """The means, after which a new epoch begins.

        Args:
            reduce: sums a tensor over all processes.
        """
        totals: dict[str, Tensor] = {}
        for names, (sums, frames) in self._sums.items():
            for name, pair in zip(names, torch.stack([sums, torch.full_like(sums, frames)], dim=1), strict=True):
                totals[name] = totals[name] + pair if name in totals else pair
        self._sums = {}
        reduced = {name: reduce(pair) for name, pair in totals.items()}
        return {name: total / frames for name, (total, frames) in reduced.items()}
