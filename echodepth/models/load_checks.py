"""Checks of what was loaded: weights that are numbers, of one and the same model."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from echodepth.core.array_store import file_stamp
from echodepth.core.errors import CheckpointError

Loaded = TypeVar("Loaded")


def require_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise a CheckpointError that names the first weight that is NaN or infinite.

    A network with such a weight predicts NaN for everything, without an error.
    """
    bad = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if bad:
        more = f" and {len(bad) - 1} more tensors" if len(bad) > 1 else ""
        raise CheckpointError(
            f"{path} holds weights that are not finite ({bad[0]}{more}): its training diverged; use an earlier epoch"
        )


def load_settled(folder: Path, load: Callable[[Path], Loaded]) -> Loaded:
    """Load a model folder, once more if training replaced it meanwhile: config and weights are then of two epochs."""
    before = file_stamp(folder / "config.json")
    with suppress(CheckpointError):
        loaded = load(folder)
        if file_stamp(folder / "config.json") == before:
            return loaded
    return load(folder)
