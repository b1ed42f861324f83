"""Binaural cross-attention: each position of one ear's map attends to all positions of the other ear's map.

Rows of a map are frequencies and columns are times, the same for both ears.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.attention.memory_efficient_attention import memory_efficient_attention

Weights = tuple[Tensor, Tensor]
"""Weight [d,c] and bias [d] of a 1x1 convolution."""


class CrossAttention(nn.Module):
    """Attention from the map of one ear to all positions of the other ear's map.

    Queries and keys are an eighth as wide as the values (SAGAN, arXiv 1805.08318). The result is added through a gate
    that starts at zero, so that an untrained network consists of two separate encoders.

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
        context_map: Float[Tensor, "b c f t"],
        opposite: "CrossAttention | None" = None,
    ) -> Float[Tensor, "b _ f t"]:
        """Add the gated attention over ``context_map`` to ``query_map``.

        Args:
            query_map: of the ear that attends.
            context_map: of the other ear.
            opposite: attention of ``context_map`` over ``query_map``. Both directions are computed together then: a GPU
                takes longer to start operations than to compute small ones.

        Returns:
            The attended ``query_map``; with ``opposite`` both attended maps, concatenated along the channels.
        """
        if opposite is None:
            (query,) = _project(query_map, [_weights(self.query)])
            key, value = _project(context_map, self._keys_and_values())
            return query_map + _as_map(memory_efficient_attention(query, key, value), query_map)
        # One product for each ear: each reads the map, and the gradient of each would be added to the map's.
        ear = _project(query_map, [_weights(self.query), *opposite._keys_and_values()])
        other_ear = _project(context_map, [_weights(opposite.query), *self._keys_and_values()])
        query = torch.cat([ear[0], other_ear[0]])
        key, value = (torch.cat(parts) for parts in zip(other_ear[1:], ear[1:], strict=True))
        attended = _as_map(memory_efficient_attention(query, key, value), query_map)
        first, second = attended.unflatten(0, (2, -1)).unbind()
        return torch.cat([query_map + first, context_map + second], dim=1)

    def _keys_and_values(self) -> list[Weights]:
        """Weight and bias of the keys, and those of the values times the gate.

        Attention is linear in the values, and a product with the gate costs less at their weights than at their maps.
        """
        weight, bias = _weights(self.value)
        return [_weights(self.key), (self.gate * weight, self.gate * bias)]

    def attention_weights(
        self, query_map: Float[Tensor, "b c f t"], context_map: Float[Tensor, "b c f t"], column: int
    ) -> Float[Tensor, "b f f t"]:
        """Attention weights of the queries of one column over ``context_map``; those of each query sum to 1."""
        query = self.query(query_map[..., column : column + 1]).squeeze(3).mT  # [B,F,d]
        scores = query @ self.key(context_map).flatten(2) / query.shape[-1] ** 0.5  # [B,F,F*T]
        weights: Tensor = torch.softmax(scores, dim=-1).unflatten(2, context_map.shape[2:])
        return weights


def _weights(convolution: nn.Conv2d) -> Weights:
    assert convolution.bias is not None
    return convolution.weight.flatten(1), convolution.bias


def _project(maps: Float[Tensor, "b c f t"], weights: list[Weights]) -> tuple[Float[Tensor, "b n _"], ...]:
    """1x1 convolutions with channels last; as one matrix product, which is faster than convolutions."""
    # Products are slow on transposed views. Maps in the channels-last format are contiguous here already.
    by_position = maps.permute(0, 2, 3, 1).contiguous().flatten(1, 2)
    projected = F.linear(by_position, *(torch.cat(parts) for parts in zip(*weights, strict=True)))
    # One split, whose gradient is one concatenation: that of each slice would fill a map of all channels.
    parts: tuple[Tensor, ...] = projected.split([len(bias) for _, bias in weights], dim=-1)
    return parts


def _as_map(attended: Float[Tensor, "b2 n c"], like: Float[Tensor, "b c f t"]) -> Float[Tensor, "b2 c f t"]:
    maps: Tensor = attended.mT.unflatten(2, like.shape[2:])
    return maps
