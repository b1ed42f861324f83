"""Attention that does not look everywhere: each form is the exact one, asked about fewer places.

How narrow a band may be is geometry. Up to 30 m, sound is heard for 176 ms, which at level 1 are 256 columns of
0.69 ms and at level 2 half as many of twice that. The way round a head takes at most 0.8 ms longer to one ear than to
the other: 1.2 columns at level 1, 0.6 at level 2. Two columns also hold what a window of the spectrogram (1.45 ms)
smears. With a shorter range columns are shorter, too: up to 10 m that is 3.5, 1.7 and 0.9 columns at levels 1 to 3.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from echodepth.models.attention.memory_efficient_attention import attention

BAND = 2
"""Columns to either side."""
POOLED = 32
"""Rows and columns that keys and values are pooled to, where there are more."""


def band(column: int, columns: int) -> slice:
    """The columns around ``column`` that there are."""
    return slice(max(0, column - BAND), min(columns, column + BAND + 1))


def attend_band(
    query: Float[Tensor, "b t f d"], key: Float[Tensor, "b t f d"], value: Float[Tensor, "b t f c"]
) -> Float[Tensor, "b t f c"]:
    """Each position attends to all rows of its own column and ``BAND`` to either side.

    Columns lie one after the other in memory, and so do samples, with ``2 * BAND`` empty columns between them: the
    window around a column is a stretch of it, and no key is copied. By an extra channel, empty columns say no to all.
    """
    samples, columns, rows, width = query.shape
    # Attention divides by the root of the width, which is one more with that channel.
    query = F.pad(query * math.sqrt((width + 1) / width), (0, 1), value=1.0)
    no = F.pad(key.new_zeros(columns), (BAND, BAND), value=torch.finfo(key.dtype).min)
    no = no[None, :, None, None].expand(samples, -1, rows, 1)
    key, value = (F.pad(x, (0, 0, 0, 0, BAND, BAND)) for x in (key, value))
    found = attention(_columns(query), _windows(torch.cat([key, no], dim=-1)), _windows(value))
    # One after the other, samples have windows between them, too, which belong to no column.
    found = F.pad(found, (0, 0, 0, 0, 0, 2 * BAND)).view(samples, -1, rows, value.shape[3])
    return found[:, :columns]


def _columns(x: Float[Tensor, "b t f c"]) -> Float[Tensor, "w f c"]:
    return F.pad(x, (0, 0, 0, 0, 0, 2 * BAND)).flatten(0, 1)[: -2 * BAND]


def _windows(x: Float[Tensor, "b padded f c"]) -> Float[Tensor, "w n c"]:
    """Stretches of ``2 * BAND + 1`` columns, beginning at each, as views."""
    rows = x.shape[2]
    return x.flatten(0, 2).unfold(0, (2 * BAND + 1) * rows, rows).mT


def attend_time(
    query: Float[Tensor, "b f t d"], key: Float[Tensor, "b f t d"], value: Float[Tensor, "b f t c"]
) -> Float[Tensor, "b f t c"]:
    """Each position attends to all columns of its own row: to all times, at its own frequency."""
    found = attention(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
    return found.view(value.shape)


def pool(x: Float[Tensor, "b c f t"]) -> Float[Tensor, "b c f2 t2"]:
    """Means over neighbours, down to at most ``POOLED`` rows and columns; windows overlap where sizes do not divide."""
    return F.adaptive_avg_pool2d(x, (min(x.shape[2], POOLED), min(x.shape[3], POOLED)))


def pooling(size: int) -> Float[Tensor, "pooled size"]:
    """The matrix of ``pool`` along an axis of ``size``: what each mean is the mean of, in rows that sum to 1."""
    return F.adaptive_avg_pool1d(torch.eye(size), min(size, POOLED)).mT
