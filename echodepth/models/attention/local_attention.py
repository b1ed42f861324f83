"""Attention over fewer keys: each function is exact attention over a part of the positions.

The width of the band follows from geometry. Echoes from up to 30 m arrive within 176 ms, which at level 1 are 256
columns of 0.69 ms and at level 2 half as many of twice that. Sound reaches one ear at most 0.8 ms later than the other:
1.2 columns at level 1, 0.6 at level 2. A band of two columns also covers the length of a window of the spectrogram
(1.45 ms). Columns are shorter with a shorter range: up to 10 m the delay is 3.5, 1.7 and 0.9 columns at levels 1 to 3.
"""

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from echodepth.models.attention.fused_attention import Groups, Parts, fused_attention
from echodepth.models.attention.memory_efficient_attention import tiled_attention

BAND = 2
"""Columns to either side of a query's own."""
EMPTY = torch.finfo(torch.float16).min
"""Score of an empty column, which every float type has."""
POOLED = 32
"""Most rows and columns of the averages that keys and values are pooled to."""


def band_columns(column: int, columns: int) -> slice:
    """The columns of the band around ``column``, out of ``columns``."""
    return slice(max(0, column - BAND), min(columns, column + BAND + 1))


class _Windows(torch.autograd.Function):
    """Windows of ``2 * BAND + 1`` columns around each column: one stretch of memory each, which no key is copied to.

    Columns are contiguous in memory, with ``BAND`` empty columns before the first and after the last, and so are
    samples. The channel after the last one, if there is one, is ``EMPTY`` in the empty columns and zero in the others.
    """

    @staticmethod
    def forward(ctx: Any, width: int, *parts: Float[Tensor, "b f t d"]) -> Float[Tensor, "b2 t n {width}"]:
        ctx.samples = [len(x) for x in parts]
        _, rows, columns, ctx.channels = parts[0].shape
        padded = parts[0].new_zeros(sum(ctx.samples), columns + 2 * BAND, rows, width)
        for target, x in zip(padded.split(ctx.samples), parts, strict=True):
            target[:, BAND : BAND + columns, :, : ctx.channels] = x.transpose(1, 2)
        padded[:, :BAND, :, ctx.channels : ctx.channels + 1] = EMPTY
        padded[:, BAND + columns :, :, ctx.channels : ctx.channels + 1] = EMPTY
        windows: Tensor = padded.flatten(1, 2).unfold(1, (2 * BAND + 1) * rows, rows).mT
        return windows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "b t n width"]) -> tuple[Tensor | None, ...]:
        total: Tensor = sum_windows(grad)
        return None, *total[..., : ctx.channels].transpose(1, 2).split(ctx.samples)


def sum_windows(x: Float[Tensor, "b t n c"]) -> Float[Tensor, "b t f c"]:
    """For each column the sum over all windows of what they have at it; the transpose of making windows."""
    size = 2 * BAND + 1
    parts: Tensor = x.contiguous().unflatten(2, (size, -1))  # [B,T,5,F,C]
    samples, columns, _, rows, channels = parts.shape
    total = parts.new_empty(samples, columns, rows, channels)
    # Column t is at place t - w + BAND of window w. All columns but those at the ends are in as many windows.
    for some in (range(BAND, columns - BAND), *(range(t, t + 1) for t in range(columns) if not _is_inner(t, columns))):
        if not some:
            continue
        windows = range(max(0, some[0] - BAND), min(columns, some[0] + BAND + 1))
        one = rows * channels
        strides = (columns * size * one, size * one, (size - 1) * one, channels, 1)
        first = parts.storage_offset() + (windows[0] * size + some[0] - windows[0] + BAND) * one
        diagonals = parts.as_strided((samples, len(some), len(windows), rows, channels), strides, first)
        torch.sum(diagonals, dim=2, out=total[:, some[0] : some[-1] + 1])
    return total


def _is_inner(column: int, columns: int) -> bool:
    return BAND <= column < columns - BAND


class _Band(Groups):
    """One group for each column, whose keys are those of the window around it."""

    spare_channels = 1

    def query(self, parts: Parts, width: int) -> Float[Tensor, "b t f {width}"]:
        """By column, with ones where the keys of empty columns have a penalty.

        A view of memory in the order of the maps: kernels write their result in the order of the queries.
        """
        x = torch.cat([*parts]) if len(parts) > 1 else parts[0]
        return F.pad(x, (0, width - x.shape[-1]), value=1.0).transpose(1, 2)

    def key(self, parts: Parts, width: int) -> Float[Tensor, "b t n {width}"]:
        """Windows, with a penalty in the empty columns."""
        return cast(Tensor, _Windows.apply(width, *parts))  # type: ignore[no-untyped-call]

    def result(self, found: Float[Tensor, "b t f c"]) -> Float[Tensor, "b f t c"]:
        """By row, as the maps."""
        return found.transpose(1, 2)


_BAND = _Band()


def band_attention(query: Parts, key: Parts, value: Parts) -> list[Tensor]:
    """Attend from each position to all rows of its own column and of ``BAND`` columns to either side.

    Args:
        query: parts of the batch, each [b,f,t,d].
        key: [b,f,t,d].
        value: [b,f,t,c].

    Returns:
        The result [b,f,t,c] of each part.
    """
    with torch.autocast(query[0].device.type, enabled=False):
        attended = fused_attention(query, key, value, _BAND)
        return attended or [_tiled_band(*part) for part in zip(query, key, value, strict=True)]


def _tiled_band(
    query: Float[Tensor, "b f t d"], key: Float[Tensor, "b f t d"], value: Float[Tensor, "b f t c"]
) -> Float[Tensor, "b f t c"]:
    samples, rows, columns, width = query.shape
    # Attention divides by the root of the width, which the additional channel increases by one.
    query = F.pad(query.transpose(1, 2) * math.sqrt((width + 1) / width), (0, 1), value=1.0)
    key, value = (F.pad(x.transpose(1, 2), (0, 0, 0, 0, BAND, BAND)) for x in (key, value))
    penalty = F.pad(key.new_zeros(columns), (BAND, BAND), value=EMPTY)[None, :, None, None]
    key = torch.cat([key, penalty.expand(samples, -1, rows, 1)], dim=-1)
    # Samples are contiguous too, so that all windows are one view. Those between two samples are dropped.
    between = (0, 0, 0, 0, 0, 2 * BAND)
    queries = F.pad(query, between).flatten(0, 1)[: -2 * BAND]
    windows = (x.flatten(0, 2).unfold(0, (2 * BAND + 1) * rows, rows).mT for x in (key, value))
    attended = F.pad(tiled_attention(queries, *windows), between)
    return attended.view(samples, -1, rows, value.shape[3])[:, :columns].transpose(1, 2)


def average_pool(x: Float[Tensor, "b c f t"]) -> Float[Tensor, "b c f2 t2"]:
    """Averages over neighbours, at most ``POOLED`` rows and columns; windows overlap where sizes do not divide."""
    rows, columns = x.shape[2:]
    if rows % min(rows, POOLED) or columns % min(columns, POOLED):
        return F.adaptive_avg_pool2d(x, (min(rows, POOLED), min(columns, POOLED)))
    # The same, whose gradient is deterministic on CUDA.
    return F.avg_pool2d(x, (max(1, rows // POOLED), max(1, columns // POOLED)))


def pooling_matrix(size: int) -> Float[Tensor, "pooled size"]:
    """The matrix of ``average_pool`` along an axis of ``size``: the weights of each average, in rows that sum to 1."""
    return F.adaptive_avg_pool1d(torch.eye(size), min(size, POOLED)).mT
