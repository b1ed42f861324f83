"""Exact attention whose memory grows linearly with the number of positions.

At level 2 of a 256x256 input there are 128x128 positions. The full matrix of weights takes 1.07 GB for each sample and
direction. This implementation computes it in tiles that fit a processor's cache and keeps only the result. The backward
pass computes each tile again (arXiv 2112.05682, 2205.14135). The function is the standard softmax(QKᵀ/√d)V (arXiv
1706.03762). On CUDA a fused kernel computes it (``fused_attention``). On a CPU torch's fused kernel is no faster, needs
keys as wide as values, and otherwise falls back to the full matrix without a warning.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from echodepth.models.attention.fused_attention import fused_attention

TILE_BYTES = 2**20
"""Size of one tile of weights on a CPU: two of them and their values fit into the cache of a core."""
DEVICE_TILE_BYTES = 64 * 2**20
"""Size of one tile on other devices, which are faster with fewer and larger tiles."""


class _Tile(NamedTuple):
    """Ranges of samples, queries and keys, and two scratch tensors of their shape."""

    queries: tuple[slice, slice]
    keys: tuple[slice, slice]
    scores: Tensor
    weights: Tensor


def _tiles(query: Tensor, key: Tensor) -> Iterator[_Tile]:
    """All tiles; those of the same queries follow each other."""
    samples, n, m = query.shape[0], query.shape[1], key.shape[1]
    numbers = max(1, (TILE_BYTES if query.device.type == "cpu" else DEVICE_TILE_BYTES) // query.element_size())
    rows = min(n, max(math.isqrt(numbers), numbers // m))  # square, if there are many of both
    columns = min(m, max(1, numbers // rows))
    batch = min(samples, max(1, numbers // (rows * columns)))
    # Allocated once: blocks of this size would be returned to the system and fetched again, or fragment the heap.
    scratch = query.new_empty(2, batch * rows * columns)
    for sample in _slices(samples, batch):
        for row in _slices(n, rows):
            for column in _slices(m, columns):
                size = [part.stop - part.start for part in (sample, row, column)]
                scores, weights = scratch[:, : math.prod(size)].view(2, *size)
                yield _Tile((sample, row), (sample, column), scores, weights)


def _slices(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def _attend(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """The result, and the logarithm of each query's sum of exponentials [b,n,1], which the backward pass needs."""
    scaled = query / math.sqrt(query.shape[-1])
    out = value.new_zeros(*query.shape[:2], value.shape[2])
    running = query.new_full((*query.shape[:2], 1), -math.inf)
    total = torch.zeros_like(running)
    for q, k, scores, _ in _tiles(query, key):
        torch.bmm(scaled[q], key[k].mT, out=scores)
        maximum = torch.maximum(running[q], scores.amax(dim=-1, keepdim=True))
        # Earlier sums are relative to an earlier maximum: rescale them to this one.
        rescale = torch.exp(running[q] - maximum)
        scores.sub_(maximum).exp_()
        out[q].mul_(rescale).baddbmm_(scores, value[k])
        total[q].mul_(rescale).add_(scores.sum(dim=-1, keepdim=True))
        running[q] = maximum
    return out.div_(total), running.add_(total.log_())


class _TiledAttention(torch.autograd.Function):
    """Attention that saves its inputs, its output and one number for each query."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out, log_total = _attend(query, key, value)
        ctx.save_for_backward(query, key, value, out, log_total)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, out, log_total = ctx.saved_tensors
        scale = 1 / math.sqrt(query.shape[-1])
        scaled = query * scale
        grad_query, grad_key, grad_value = (x.new_zeros(x.shape) for x in (query, key, value))
        # The softmax's own backward needs sum_j w_ij * (g_i . v_j), which equals g_i . out_i.
        grad_out = grad_out.contiguous()
        minus_log_total, minus_dots = -log_total, -(grad_out * out).sum(dim=-1, keepdim=True)
        for q, k, grad_scores, weights in _tiles(query, key):
            torch.baddbmm(minus_log_total[q], scaled[q], key[k].mT, out=weights).exp_()
            grad_value[k].baddbmm_(weights.mT, grad_out[q])
            torch.baddbmm(minus_dots[q], grad_out[q], value[k].mT, out=grad_scores).mul_(weights)
            grad_query[q].baddbmm_(grad_scores, key[k])
            grad_key[k].baddbmm_(grad_scores.mT, scaled[q])
        return grad_query.mul_(scale), grad_key, grad_value


def memory_efficient_attention(
    query: Float[Tensor, "b n d"], key: Float[Tensor, "b m d"], value: Float[Tensor, "b m c"]
) -> Float[Tensor, "b n c"]:
    """softmax(query keyᵀ / √d) value, exact, in memory linear in n and m.

    Args:
        query: n queries of width d.
        key: m keys of the same width.
        value: m values, whose width may differ from that of queries and keys.

    Returns:
        For each query the weighted mean of the values. Only first derivatives are available.
    """
    # The backward pass runs without autocast, and the forward pass must compute the same.
    with torch.autocast(query.device.type, enabled=False):
        fused = fused_attention(query, key, value)
        return _tiled(query, key, value) if fused is None else fused


def _tiled(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if torch.compiler.is_compiling():
        return _traced(query, key, value)
    if value.dtype in (torch.float16, torch.bfloat16):
        # Sums over thousands of positions need single precision, which only a fused kernel uses internally.
        return _tiled(query.float(), key.float(), value.float()).to(value.dtype)
    if 4 * query.shape[1] * key.shape[1] <= TILE_BYTES:
        # The whole matrix is one tile.
        scores = torch.baddbmm(query.new_empty(1), query, key.mT, beta=0, alpha=1 / math.sqrt(query.shape[-1]))
        return torch.softmax(scores, dim=-1) @ value
    if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad):
        return cast(Tensor, _TiledAttention.apply(query, key, value))  # type: ignore[no-untyped-call]
    return _attend(query, key, value)[0]


def _traced(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """For traced graphs such as ONNX: elementary operations, and any number of samples."""
    rows = max(1, DEVICE_TILE_BYTES // (4 * key.shape[1]))
    parts = (query / math.sqrt(query.shape[-1])).split(rows, dim=1)
    return torch.cat([torch.softmax(part @ key.mT, dim=-1) @ value for part in parts], dim=1)
