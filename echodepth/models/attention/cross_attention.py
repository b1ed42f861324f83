"""Binaural cross-attention: four patterns that differ in the keys of each query.

Rows of a map are frequencies and columns are times, the same for both ears.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.models.attention.fused_attention import Parts
from echodepth.models.attention.local_attention import average_pool, band_attention, band_columns, pooling_matrix
from echodepth.models.attention.memory_efficient_attention import grouped_attention

Weights = tuple[Tensor, Tensor]
"""Weight [d,c] and bias [d] of a 1x1 convolution."""


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
        self,
        query_map: Float[Tensor, "b c f t"],
        context_map: Float[Tensor, "b c f2 t2"],
        opposite: "CrossAttention | None" = None,
    ) -> Float[Tensor, "b _ f t"]:
        """Add the gated attention over ``context_map`` to ``query_map``.

        Args:
            query_map: of the ear that attends.
            context_map: of the other ear.
            opposite: attention of ``context_map`` over ``query_map``, of the same pattern. Both directions are computed
                together then: a GPU takes longer to start operations than to compute small ones.

        Returns:
            The attended ``query_map``; with ``opposite`` both attended maps, concatenated along the channels.
        """
        if opposite is None:
            (query,) = _project(query_map, self.queries())
            key, value = _project(self.context(context_map), self.keys_and_values())
            return query_map + self._attend([query], [key], [value])[0]
        ears = [query_map, context_map]
        attended = self._attend(*self._project_ears(ears, opposite))
        return torch.cat([x + y for x, y in zip(ears, attended, strict=True)], dim=1)

    def context(self, maps: Float[Tensor, "b c f t"]) -> Float[Tensor, "b c f2 t2"]:
        """The maps of which keys and values are made."""
        return maps

    def _project_ears(self, ears: list[Tensor], opposite: "CrossAttention") -> tuple[Parts, Parts, Parts]:
        """Queries of both ears, and for each the keys and the values of the other ear."""
        queries = [layer.queries() for layer in (self, opposite)]
        keys_and_values = [layer.keys_and_values() for layer in (opposite, self)]
        contexts = [self.context(ear) for ear in ears]
        if contexts[0] is ears[0]:
            # One product for all: each reads the map, and the gradient of each would be added to the map's.
            projected = [_project(ear, [*q, *kv]) for ear, q, kv in zip(ears, queries, keys_and_values, strict=True)]
            query, key, value = map(list, zip(*projected, strict=True))
        else:
            query = [_project(ear, q)[0] for ear, q in zip(ears, queries, strict=True)]
            projected = [_project(each, kv) for each, kv in zip(contexts, keys_and_values, strict=True)]
            key, value = map(list, zip(*projected, strict=True))
        return query, key[::-1], value[::-1]

    def _attend(self, query: Parts, key: Parts, value: Parts) -> list[Float[Tensor, "b c f t"]]:
        return [x.permute(0, 3, 1, 2) for x in self.attend(query, key, value)]

    def queries(self) -> list[Weights]:
        """Weight and bias of the queries."""
        return [_weights(self.query)]

    def keys_and_values(self) -> list[Weights]:
        """Weight and bias of the keys, and those of the values times the gate.

        Attention is linear in the values, and a product with the gate costs less at their weights than at their maps.
        """
        weight, bias = _weights(self.value)
        return [_weights(self.key), (self.gate * weight, self.gate * bias)]

    def attend(self, query: Parts, key: Parts, value: Parts) -> list[Float[Tensor, "b f t c"]]:
        """Attention of each query over its keys, with channels last; for several parts of a batch at once."""
        flat = ([x.flatten(1, 2)[:, None] for x in parts] for parts in (query, key, value))
        size = query[0].shape[1:3]
        return [x[:, 0].unflatten(1, size) for x in grouped_attention(*flat)]

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

    def attend(self, query: Parts, key: Parts, value: Parts) -> list[Float[Tensor, "b f t c"]]:
        """Attention of each query over the columns around its own."""
        return band_attention(query, key, value)

    def mask(self, column: int, query_rows: int, rows: int, columns: int) -> Bool[Tensor, "query_rows rows columns"]:
        """All rows of the columns in the band."""
        mask = torch.zeros(query_rows, rows, columns, dtype=torch.bool)
        mask[:, :, band_columns(column, columns)] = True
        return mask


class TimeAttention(CrossAttention):
    """Keys are all times at the same frequency (axial attention along one axis, arXiv 1912.12180)."""

    def attend(self, query: Parts, key: Parts, value: Parts) -> list[Float[Tensor, "b f t c"]]:
        """Attention of each query over its row."""
        return grouped_attention(query, key, value)

    def mask(self, column: int, query_rows: int, rows: int, columns: int) -> Bool[Tensor, "query_rows rows columns"]:
        """All columns of the query's own row."""
        return torch.eye(rows, dtype=torch.bool)[:, :, None].repeat(1, 1, columns)


class PooledAttention(CrossAttention):
    """Keys are 32x32 averages over neighbouring positions (spatial reduction, arXiv 2102.12122)."""

    def context(self, maps: Float[Tensor, "b c f t"]) -> Float[Tensor, "b c f2 t2"]:
        """The averages; pooling before the 1x1 convolutions costs less than after them."""
        return average_pool(maps)

    def attention_weights(
        self, query_map: Float[Tensor, "b c f t"], context_map: Float[Tensor, "b c f t"], column: int
    ) -> Float[Tensor, "b f f2 t2"]:
        """Attention weights of one column; the weight of an average is divided among its positions."""
        weights = super().attention_weights(query_map, average_pool(context_map), column)
        pool_rows, pool_columns = (pooling_matrix(size).to(context_map) for size in context_map.shape[2:])
        return pool_rows.mT @ weights @ pool_columns


def _weights(convolution: nn.Conv2d) -> Weights:
    assert convolution.bias is not None
    return convolution.weight.flatten(1), convolution.bias


def _project(maps: Float[Tensor, "b c f t"], weights: list[Weights]) -> tuple[Float[Tensor, "b f t _"], ...]:
    """1x1 convolutions with channels last; as one matrix product, which is faster than convolutions."""
    # Products are slow on transposed views. Maps in the channels-last format are contiguous here already.
    by_position = maps.permute(0, 2, 3, 1).contiguous()
    projected = F.linear(by_position, *(torch.cat(parts) for parts in zip(*weights, strict=True)))
    # One split, whose gradient is one concatenation: that of each slice would fill a map of all channels.
    parts: tuple[Tensor, ...] = projected.split([len(bias) for _, bias in weights], dim=-1)
    return parts


ATTENTIONS: dict[str, type[CrossAttention]] = {
    "full": CrossAttention,
    "band": BandAttention,
    "time": TimeAttention,
    "pooled": PooledAttention,
}
"""Attention patterns by name."""
