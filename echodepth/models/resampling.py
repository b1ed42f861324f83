"""Bilinear upsampling and resampling of maps.

Under autocast torch upsamples in single precision, and whatever is concatenated with the result becomes single
precision too. On CUDA devices maps in half precision are therefore upsampled by two matrix products, one for each axis.
Their backward pass is deterministic: torch's own adds up gradients in an order that changes, and its deterministic
replacement is many times slower.
"""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import ParamSpec

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

_Parameters = ParamSpec("_Parameters")
STEPS = 256
"""Weights are multiples of 1/256, which bfloat16 has: a constant stays the same, a position moves by 1/512 pixel."""


def _cached(make: Callable[_Parameters, Tensor]) -> Callable[_Parameters, Tensor]:
    """A function that keeps its tensors, but none that is made while a graph is traced: such a one has no values."""
    kept: dict[Hashable, Tensor] = {}

    @wraps(make)
    def cached(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> Tensor:
        if args not in kept:
            with torch.inference_mode(False):
                made = make(*args, **kwargs)
            if type(made) is not Tensor:
                return made
            kept[args] = made
        return kept[args]

    return cached


def upsample(x: Float[Tensor, "b c h w"], size: tuple[int, int], align_corners: bool) -> Float[Tensor, "b c h2 w2"]:
    """Bilinear interpolation to ``size``, as ``torch.nn.functional.interpolate`` without antialiasing."""
    if x.device.type != "cuda" or x.dtype not in (torch.float16, torch.bfloat16):
        return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)
    rows, columns = (
        interpolation_matrix(old, new, align_corners, x.dtype, x.device)
        for old, new in zip(x.shape[2:], size, strict=True)
    )
    return by_matrices(x, rows, columns)


def by_matrices(
    x: Float[Tensor, "b c h w"], rows: Float[Tensor, "h2 h"], columns: Float[Tensor, "w2 w"]
) -> Float[Tensor, "b c h2 w2"]:
    """Resample both axes of a map, each by a matrix."""
    channels = x.shape[1]
    wide = columns @ x.permute(0, 2, 3, 1)  # [B,H,W2,C]
    tall: Tensor = (rows @ wide.flatten(2)).unflatten(2, (-1, channels))  # [B,H2,W2,C]
    return tall.permute(0, 3, 1, 2)


@_cached
def interpolation_matrix(
    size: int, new_size: int, align_corners: bool, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "new_size size"]:
    """Weights of bilinear interpolation along an axis, two in each row, rounded to multiples of 1 / ``STEPS``."""
    index = torch.arange(new_size, dtype=torch.float64)
    if align_corners:
        position = index * ((size - 1) / max(new_size - 1, 1))
    else:
        position = ((index + 0.5) * (size / new_size) - 0.5).clamp(0, size - 1)
    before = position.floor().long()
    fraction = torch.round((position - before) * STEPS) / STEPS
    matrix = torch.zeros(new_size, size, dtype=torch.float64)
    matrix.scatter_add_(1, before[:, None], 1 - fraction[:, None])
    matrix.scatter_add_(1, (before + 1).clamp(max=size - 1)[:, None], fraction[:, None])
    return matrix.to(device, dtype)


def resample(x: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """Antialiased bilinear interpolation, by matrices, which export formats have."""
    if x.shape[2:] == size:
        return x
    rows, columns = (
        antialiased_matrix(old, new, x.dtype, x.device) for old, new in zip(x.shape[2:], size, strict=True)
    )
    return by_matrices(x, rows, columns)


@_cached
def antialiased_matrix(
    size: int, new_size: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "{new_size} {size}"]:
    """Weights of antialiased bilinear interpolation along an axis."""
    return resize_matrix(size, new_size).to(device, dtype)


def resize_matrix(length: int, size: int, antialias: bool = True) -> Float[Tensor, "{size} {length}"]:
    """The matrix that resizes an axis from ``length`` to ``size`` as ``resize`` does.

    Not torch computes it, so that it is a constant of every graph: export formats have no antialiased resizing.
    """
    identity = np.eye(length, dtype=np.float32)
    if antialias:
        resized = np.array(Image.fromarray(identity).resize((length, size), Image.Resampling.BILINEAR))
    else:
        position = (np.arange(size) + 0.5) * (length / size) - 0.5
        resized = np.stack([np.interp(position, np.arange(length), unit) for unit in identity], axis=1)
    return torch.from_numpy(resized.astype(np.float32))
