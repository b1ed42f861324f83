"""Exact attention whose memory grows linearly with the number of positions.

At level 2 of a 256x256 input there are 128x128 positions: the full matrix of weights would take 1.07 GB a sample
and direction. Here it is made a tile at a time, each small enough for a processor's cache; only the result is kept, and
the backward pass computes each tile again (arXiv 2112.05682, 2205.14135). The function is the textbook one,
softmax(QKᵀ/√d)V (arXiv 1706.03762). Nothing is left to which kernel torch happens to choose: on a CPU its fused one is
no faster than this, needs keys as wide as values, and falls back to the full matrix without a word where they are not.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.backends.cuda import SDPAParams, can_use_flash_attention

TILE_BYTES = 2**20
"""Room for one tile of weights on a CPU: two of them, and the values they meet, stay in a core's cache."""
DEVICE_TILE_BYTES = 64 * 2**20
"""The same on other devices, which want fewer and larger tiles."""


class _Tile(NamedTuple):
    """Weights of some queries on some keys, of some samples, and two scratch tensors of that shape."""

    queries: tuple[slice, slice]
    keys: tuple[slice, slice]
    scores: Tensor
    weights: Tensor


def _tiles(query: Tensor, key: Tensor) -> Iterator[_Tile]:
    """All there are; those of the same queries come one after the other."""
    samples, n, m = query.shape[0], query.shape[1], key.shape[1]
    room = max(1, (TILE_BYTES if query.device.type == "cpu" else DEVICE_TILE_BYTES) // query.element_size())
    rows = min(n, max(math.isqrt(room), room // m))  # square, where there are many of both
    columns = min(m, max(1, room // rows))
    together = min(samples, max(1, room // (rows * columns)))
    # Asked for again and again, such blocks are given back and fetched anew each time, or tear up the heap.
    scratch = query.new_empty(2, together * rows * columns)
    for sample in _slices(samples, together):
        for row in _slices(n, rows):
            for column in _slices(m, columns):
                size = [part.stop - part.start for part in (sample, row, column)]
                scores, weights = scratch[:, : math.prod(size)].view(2, *size)
                yield _Tile((sample, row), (sample, column), scores, weights)


def _slices(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def _attend(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """The result, and the logarithm of each query's sum of exponentials [b,n,1], by which to find weights again."""
    scaled = query / math.sqrt(query.shape[-1])
    out = value.new_zeros(*query.shape[:2], value.shape[2])
    highest = query.new_full((*query.shape[:2], 1), -math.inf)
    total = torch.zeros_like(highest)
    for here, there, scores, _ in _tiles(query, key):
        torch.bmm(scaled[here], key[there].mT, out=scores)
        higher = torch.maximum(highest[here], scores.amax(dim=-1, keepdim=True))
        # What was summed up relative to another highest score shrinks to fit this one.
        shrunk = torch.exp(highest[here] - higher)
        scores.sub_(higher).exp_()
        out[here].mul_(shrunk).baddbmm_(scores, value[there])
        total[here].mul_(shrunk).add_(scores.sum(dim=-1, keepdim=True))
        highest[here] = higher
    return out.div_(total), highest.add_(total.log_())


class _Recomputed(torch.autograd.Function):
    """Attention that saves its inputs, its output and a number a query."""

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
        less, less_dots = -log_total, -(grad_out * out).sum(dim=-1, keepdim=True)
        for here, there, grad_scores, weights in _tiles(query, key):
            torch.baddbmm(less[here], scaled[here], key[there].mT, out=weights).exp_()
            grad_value[there].baddbmm_(weights.mT, grad_out[here])
            torch.baddbmm(less_dots[here], grad_out[here], value[there].mT, out=grad_scores).mul_(weights)
            grad_query[here].baddbmm_(grad_scores, key[there])
            grad_key[there].baddbmm_(grad_scores.mT, scaled[here])
        return grad_query.mul_(scale), grad_key, grad_value


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
    # The backward pass runs without autocast, and the forward pass must do the same as it.
    with torch.autocast(query.device.type, enabled=False):
        if torch.compiler.is_compiling():
            return _traced(query, key, value)
        if (found := _fused(query, key, value)) is not None:
            return found
        if value.dtype in (torch.float16, torch.bfloat16):
            # Sums over thousands of positions: only a fused kernel adds up in more digits than it was given.
            return attention(query.float(), key.float(), value.float()).to(value.dtype)
        if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad):
            return cast(Tensor, _Recomputed.apply(query, key, value))  # type: ignore[no-untyped-call]
        return _attend(query, key, value)[0]


def _traced(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """For a graph that is written down, such as ONNX: plain operations, and any number of samples."""
    rows = max(1, DEVICE_TILE_BYTES // (4 * key.shape[1]))
    parts = (query / math.sqrt(query.shape[-1])).split(rows, dim=1)
    return torch.cat([torch.softmax(part @ key.mT, dim=-1) @ value for part in parts], dim=1)


def _fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor | None:
    """The same by CUDA's flash kernel, if it takes these tensors, which it is asked: half precision, up to 256 wide."""
    if query.device.type != "cuda":
        return None
    three = padded_heads(query, key, value)
    if not can_use_flash_attention(SDPAParams(*three, None, 0.0, False, False)):
        return None
    return F.scaled_dot_product_attention(*three, scale=1 / math.sqrt(query.shape[-1]))[:, 0]


def padded_heads(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As one head [b,1,n,c], queries and keys as wide as the values, as fused kernels ask: zeros change no product.

    The scale stays that of the width before.
    """
    wider = (0, value.shape[2] - query.shape[2])
    return F.pad(query, wider)[:, None], F.pad(key, wider)[:, None], value.contiguous()[:, None]
