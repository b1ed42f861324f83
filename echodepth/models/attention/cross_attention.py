"""Binaural cross-attention: four patterns that differ in the keys of each query.

Rows of a map are frequencies and columns are times, the same for both ears.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.models.attention.local_attention import (
    average_pool,
    band_attention,
    band_columns,
    pooling_matrix,
    time_attention,
)
from echodepth.models.attention.memory_efficient_attention import memory_efficient_attention


class CrossAttention(nn.Module):
    """Attention from the map of one ear to all positions of the other ear's map.

    Queries and keys are an eighth as wide as the values (SAGAN, arXiv 1805.08318). The result is added through a gate
    that starts at zero, so that an untrained network consists of two separate encoders. All patterns have the same
    weights.

    Args:
        channels: of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(channels // 8, 4)
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(
        self, query_map: Float[Tensor, "b c f t"], context_map: Float[Tensor, "b c f2 t2"]
    ) -> Float[Tensor, "b c f t"]:
        """Add the gated attention over ``context_map`` to ``query_map``."""
        # Matrix products are slow on transposed views, and 1x1 convolutions are slower than matrix products. Maps in
        # the channels-last format are contiguous here already.
        queries, context = (x.permute(0, 2, 3, 1).contiguous() for x in (query_map, context_map))
        query, key = _linear(self.query, queries), _linear(self.key, context)
        # Attention is linear in the values: the gate costs less at their weights than at their maps.
        value = _linear(self.value, context, self.gate)
        return query_map + self.attend(query, key, value).permute(0, 3, 1, 2)

    def attend(
        self, query: Float[Tensor, "b f t d"], key: Float[Tensor, "b f2 t2 d"], value: Float[Tensor, "b f2 t2 c"]
    ) -> Float[Tensor, "b f t c"]:
        """Attention of each query over its keys, with channels last."""
        attended = memory_efficient_attention(query.flatten(1, 2), key.flatten(1, 2), value.flatten(1, 2))
        return attended.view(*query.shape[:3], value.shape[3])

    def attention_weights(
        self, query_map: Float[Tensor, "b c f t"], context_map: Float[Tensor, "b c f2 t2"], column: int
    ) -> Float[Tensor, "b f f2 t2"]:
        """Attention weights of the queries of one column over ``context_map``; those of each query sum to 1."""
        query = self.query(query_map[..., column : column + 1]).squeeze(3).mT  # [B,F,d]
        scores = query @ self.key(context_map).flatten(2) / query.shape[-1] ** 0.5  # [B,F,F2*T2]
        size = context_map.shape[2:]
        mask = self.mask(column, query_map.shape[2], *size).to(context_map.device).flatten(1)
        weights: Tensor = torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=-1).unflatten(2, size)
        return weights

    def mask(self, column: int, query_rows: int, rows: int, columns: int) -> Bool[Tensor, "query_rows rows columns"]:
        """Keys that the queries of one column attend to, out of a map of ``rows`` and ``columns``."""
        return torch.ones(query_rows, rows, columns, dtype=torch.bool)


class BandAttention(CrossAttention):
    """Keys are all frequencies, at the same time frame and ``local_attention.BAND`` frames to either side.

    An echo reaches both ears within a millisecond, because of the size of a head. Which frequencies correspond is not
    known in advance, because the head shadows each of them differently.
    """

    def attend(
        self, query: Float[Tensor, "b f t d"], key: Float[Tensor, "b f t d"], value: Float[Tensor, "b f t c"]
    ) -> Float[Tensor, "b f t c"]:
        """Attention of each query over the columns around its own."""
        return band_attention(query, key, value)

    def mask(self, column: int, query_rows: int, rows: int, columns: int) -> Bool[Tensor, "query_rows rows columns"]:
        """All rows of the columns in the band."""
        mask = torch.zeros(query_rows, rows, columns, dtype=torch.bool)
        mask[:, :, band_columns(column, columns)] = True
        return mask


class TimeAttention(CrossAttention):
    """Keys are all times at the same frequency (axial attention along one axis, arXiv 1912.12180)."""

    def attend(
        self, query: Float[Tensor, "b f t d"], key: Float[Tensor, "b f t d"], value: Float[Tensor, "b f t c"]
    ) -> Float[Tensor, "b f t c"]:
        """Attention of each query over its row, with channels last."""
        return time_attention(query, key, value)

    def mask(self, column: int, query_rows: int, rows: int, columns: int) -> Bool[Tensor, "query_rows rows columns"]:
        """All columns of the query's own row."""
        return torch.eye(rows, dtype=torch.bool)[:, :, None].repeat(1, 1, columns)


class PooledAttention(CrossAttention):
    """Keys are 32x32 averages over neighbouring positions (spatial reduction, arXiv 2102.12122)."""

    def forward(
        self, query_map: Float[Tensor, "b c f t"], context_map: Float[Tensor, "b c f t"]
    ) -> Float[Tensor, "b c f t"]:
        """Add the gated attention over the pooled ``context_map``; pooling before the 1x1 convolutions costs less."""
        return super().forward(query_map, average_pool(context_map))

    def attention_weights(
        self, query_map: Float[Tensor, "b c f t"], context_map: Float[Tensor, "b c f t"], column: int
    ) -> Float[Tensor, "b f f2 t2"]:
        """Attention weights of one column; the weight of an average is divided among its positions."""
        weights = super().attention_weights(query_map, average_pool(context_map), column)
        pool_rows, pool_columns = (pooling_matrix(size).to(context_map) for size in context_map.shape[2:])
        return pool_rows.mT @ weights @ pool_columns


def _linear(
    convolution: nn.Conv2d, x: Float[Tensor, "b f t c"], gain: Tensor | None = None
) -> Float[Tensor, "b f t d"]:
    """The 1x1 convolution of a map with channels last, times a gain."""
    weight, bias = convolution.weight.flatten(1), convolution.bias
    assert bias is not None
    return F.linear(x, weight, bias) if gain is None else F.linear(x, gain * weight, gain * bias)


ATTENTIONS: dict[str, type[CrossAttention]] = {
    "full": CrossAttention,
    "band": BandAttention,
    "time": TimeAttention,
    "pooled": PooledAttention,
}
"""Attention patterns by name."""
