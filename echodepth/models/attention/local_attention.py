"""Attention over fewer keys: each function is exact attention over a part of the positions.

The width of the band follows from geometry. Echoes from up to 30 m arrive within 176 ms, which at level 1 are 256
columns of 0.69 ms and at level 2 half as many of twice that. Sound reaches one ear at most 0.8 ms later than the other:
1.2 columns at level 1, 0.6 at level 2. A band of two columns also covers the length of a window of the spectrogram
(1.45 ms). Columns are shorter with a shorter range: up to 10 m the delay is 3.5, 1.7 and 0.9 columns at levels 1 to 3.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from echodepth.models.attention.memory_efficient_attention import memory_efficient_attention

BAND = 2
"""Columns to either side of a query's own."""
POOLED = 32
"""Most rows and columns of the averages that keys and values are pooled to."""


def band_columns(column: int, columns: int) -> slice:
    """The columns of the band around ``column``, out of ``columns``."""
    return slice(max(0, column - BAND), min(columns, column + BAND + 1))


def band_attention(
    query: Float[Tensor, "b t f d"], key: Float[Tensor, "b t f d"], value: Float[Tensor, "b t f c"]
) -> Float[Tensor, "b t f c"]:
    """Attend from each position to all rows of its own column and of ``BAND`` columns to either side.

    Columns are contiguous in memory, and so are samples, with ``2 * BAND`` empty columns between them. The window
    around a column is then one stretch of memory, and no key is copied. An additional channel gives empty columns a
    weight of zero.
    """
    samples, columns, rows, width = query.shape
    # Attention divides by the root of the width, which the additional channel increases by one.
    query = F.pad(query * math.sqrt((width + 1) / width), (0, 1), value=1.0)
    penalty = F.pad(key.new_zeros(columns), (BAND, BAND), value=torch.finfo(key.dtype).min)
    penalty = penalty[None, :, None, None].expand(samples, -1, rows, 1)
    key, value = (F.pad(x, (0, 0, 0, 0, BAND, BAND)) for x in (key, value))
    windows = _windows(torch.cat([key, penalty], dim=-1)), _windows(value)
    attended = memory_efficient_attention(_columns(query), *windows)
    # The windows between two samples belong to no column and are dropped.
    attended = F.pad(attended, (0, 0, 0, 0, 0, 2 * BAND)).view(samples, -1, rows, value.shape[3])
    return attended[:, :columns]


def _columns(x: Float[Tensor, "b t f c"]) -> Float[Tensor, "w f c"]:
    return F.pad(x, (0, 0, 0, 0, 0, 2 * BAND)).flatten(0, 1)[: -2 * BAND]


def _windows(x: Float[Tensor, "b padded f c"]) -> Float[Tensor, "w n c"]:
    """Views of the ``2 * BAND + 1`` columns that begin at each column."""
    rows = x.shape[2]
    return x.flatten(0, 2).unfold(0, (2 * BAND + 1) * rows, rows).mT


def time_attention(
    query: Float[Tensor, "b f t d"], key: Float[Tensor, "b f t d"], value: Float[Tensor, "b f t c"]
) -> Float[Tensor, "b f t c"]:
    """Attend from each position to all columns of its own row: to all times at the same frequency."""
    attended = memory_efficient_attention(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
    return attended.view(value.shape)


def average_pool(x: Float[Tensor, "b c f t"]) -> Float[Tensor, "b c f2 t2"]:
    """Averages over neighbours, at most ``POOLED`` rows and columns; windows overlap where sizes do not divide."""
    return F.adaptive_avg_pool2d(x, (min(x.shape[2], POOLED), min(x.shape[3], POOLED)))


def pooling_matrix(size: int) -> Float[Tensor, "pooled size"]:
    """The matrix of ``average_pool`` along an axis of ``size``: the weights of each average, in rows that sum to 1."""
    return F.adaptive_avg_pool1d(torch.eye(size), min(size, POOLED)).mT
