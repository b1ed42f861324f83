"""Exact attention whose memory grows linearly with the number of positions.

At level 2 of a 256x256 input there are 128x128 positions: the full matrix of weights would take 1.07 GB a sample
and direction. Here the queries go by in chunks, only the result is kept, and the backward pass computes each
chunk's weights again (arXiv 2112.05682). The function is the textbook one, softmax(QKᵀ/√d)V (arXiv 1706.03762).
"""

import math
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CHUNK_BYTES = 32 * 2**20
"""Room for one chunk of weights, all samples of the batch together: large enough for matrix products to run at
full speed, small beside the features."""


def _chunk_rows(query: Tensor, key: Tensor) -> int:
    # A traced graph's loop over chunks is fixed, while its batch is not known: chunks are those of one sample there.
    batch = 1 if torch.compiler.is_compiling() else query.shape[0]
    bytes_per_row = batch * key.shape[1] * query.element_size()
    return max(1, CHUNK_BYTES // max(1, bytes_per_row))


def _weights(query: Tensor, key: Tensor) -> Tensor:
    return torch.softmax((query / math.sqrt(query.shape[-1])) @ key.mT, dim=-1)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    rows = _chunk_rows(query, key)
    return torch.cat([_weights(part, key) @ value for part in query.split(rows, dim=1)], dim=1)


class _Recomputed(torch.autograd.Function):
    """Attention that saves its inputs and output only."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        # The three come from one kind of layer in one dtype: keep it, as the backward pass runs without autocast.
        with torch.autocast(query.device.type, enabled=False):
            out = _attend(query, key, value)
        ctx.save_for_backward(query, key, value, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, out = ctx.saved_tensors
        scale = 1 / math.sqrt(query.shape[-1])
        rows = _chunk_rows(query, key)
        grad_query = torch.empty_like(query)
        grad_key, grad_value = torch.zeros_like(key), torch.zeros_like(value)
        # The softmax's own backward needs sum_j w_ij * (g_i . v_j), which equals g_i . out_i.
        dots = (grad_out * out).sum(-1, keepdim=True)
        for start in range(0, query.shape[1], rows):
            part = slice(start, start + rows)
            weights = _weights(query[:, part], key)
            grad_value += weights.mT @ grad_out[:, part]
            grad_scores = grad_out[:, part] @ value.mT
            grad_scores.sub_(dots[:, part]).mul_(weights)
            grad_query[:, part] = (grad_scores @ key) * scale
            grad_key += grad_scores.mT @ (query[:, part] * scale)
        return grad_query, grad_key, grad_value


def attention(
    query: Float[Tensor, "b n d"], key: Float[Tensor, "b m d"], value: Float[Tensor, "b m c"]
) -> Float[Tensor, "b n c"]:
    """softmax(query keyᵀ / √d) value, exact, in memory linear in n and m.

    Args:
        query: what each position looks for.
        key: what each position of the other map offers.
        value: what is carried over; may be of another width than query and key.

    Returns:
        For each query, the mean of the values weighted by likeness. First derivatives only.
    """
    if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad):
        return cast(Tensor, _Recomputed.apply(query, key, value))  # type: ignore[no-untyped-call]
    return _attend(query, key, value)


class CrossAttention(nn.Module):
    """One ear's map, enriched with what matches it in the other ear's map.

    Queries and keys are an eighth as wide as the values (SAGAN, arXiv 1805.08318), and the result joins through
    a gate that starts at zero, so that an untrained network is two plain encoders.

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

    def forward(self, own: Float[Tensor, "b c f t"], other: Float[Tensor, "b c f t"]) -> Float[Tensor, "b c f t"]:
        """Add to ``own`` what it finds in ``other``."""
        query, key, value = (_positions(m) for m in (self.query(own), self.key(other), self.value(other)))
        found = attention(query, key, value)  # [B, F*T, C]
        return own + self.gate * found.mT.reshape(own.shape)

    def look(
        self, own: Float[Tensor, "b c f t"], other: Float[Tensor, "b c f t"], row: int, column: int
    ) -> Float[Tensor, "b f t"]:
        """Where in ``other`` the position (row, column) of ``own`` looks: one row of the weights, summing to 1."""
        query = _positions(self.query(own[:, :, row : row + 1, column : column + 1]))
        return _weights(query, _positions(self.key(other))).reshape(own.shape[0], *own.shape[2:])


def _positions(x: Tensor) -> Tensor:
    """[B,C,F,T] to [B,F*T,C], laid out in memory that way: matrix products are slow on transposed views."""
    return x.flatten(2).mT.contiguous()
