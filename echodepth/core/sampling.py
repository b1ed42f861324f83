"""Nearest-neighbour sampling of measured maps: one rule for training, evaluation and drawing."""

import numpy as np
from jaxtyping import Int


def pixel_centres(source: int, target: int) -> Int[np.ndarray, " {target}"]:
    """Indices of the ``source`` pixels that lie under the centres of ``target`` pixels along one axis."""
    return (2 * np.arange(target) + 1) * source // (2 * target)
