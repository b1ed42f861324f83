"""Exact attention whose memory grows linearly with the number of positions.

At level 2 of a 256x256 input there are 128x128 positions: the full matrix of weights would take 1.07 GB a sample
and direction. Here it is made a piece at a time, each small enough for a processor's cache, only the result is kept,
and the backward pass computes each piece again (arXiv 2112.05682). The function is the textbook one, softmax(QKᵀ/√d)V
(arXiv 1706.03762). Nothing is left to which kernel torch happens to choose: on a CPU its fused kernel is no faster than
this, needs keys as wide as values, and falls back to the full matrix without a word where they are not.
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

CACHE_BYTES = 2 * 2**20
"""Room for one piece of weights on a CPU. There are two of them, which then stay in a core's cache: 32 MB take twice
the time, half a megabyte is too little for matrix products at full speed."""
DEVICE_BYTES = 128 * 2**20
"""The same on other devices, which want fewer and larger pieces."""


class _Piece(NamedTuple):
    """Some rows of the weights of some samples, and two scratch tensors of that shape."""

    samples: slice
    rows: slice
    scores: Tensor
    weights: Tensor


def _room(query: Tensor) -> int:
    """How many weights make a piece."""
    return max(1, (CACHE_BYTES if query.device.type == "cpu" else DEVICE_BYTES) // query.element_size())


def _pieces(query: Tensor, key: Tensor) -> Iterator[_Piece]:
    samples, n, m = len(query), query.shape[1], key.shape[1]
    together = min(samples, max(1, _room(query) // (n * m)))
    rows = min(n, max(1, _room(query) // m))
    # Asked for again and again, such blocks are given back and fetched anew each time, or tear up the heap.
    scratch = query.new_empty(2, together * rows * m)
    for sample in range(0, samples, together):
        for row in range(0, n, rows):
            size = min(together, samples - sample), min(rows, n - row), m
            scores, weights = scratch[:, : math.prod(size)].view(2, *size)
            yield _Piece(slice(sample, sample + size[0]), slice(row, row + size[1]), scores, weights)


def _weigh(scaled_query: Tensor, key: Tensor, piece: _Piece) -> None:
    torch.bmm(scaled_query[piece.samples, piece.rows], key[piece.samples].mT, out=piece.scores)
    torch.softmax(piece.scores, dim=-1, out=piece.weights)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scaled = query / math.sqrt(query.shape[-1])
    out = value.new_empty(*query.shape[:2], value.shape[2])
    for piece in _pieces(query, key):
        _weigh(scaled, key, piece)
        out[piece.samples, piece.rows] = torch.bmm(piece.weights, value[piece.samples])
    return out


class _Recomputed(torch.autograd.Function):
    """Attention that saves its inputs and output only."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = _attend(query, key, value)
        ctx.save_for_backward(query, key, value, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, out = ctx.saved_tensors
        scale = 1 / math.sqrt(query.shape[-1])
        scaled = query * scale
        grad_query = query.new_empty(query.shape)
        grad_key, grad_value = key.new_zeros(key.shape), value.new_zeros(value.shape)
        # The softmax's own backward needs sum_j w_ij * (g_i . v_j), which equals g_i . out_i.
        dots = (grad_out * out).sum(-1, keepdim=True)
        for piece in _pieces(query, key):
            samples, here = piece.samples, (piece.samples, piece.rows)
            grad_scores, weights = piece.scores, piece.weights
            _weigh(scaled, key, piece)
            grad_value[samples].baddbmm_(weights.mT, grad_out[here])
            torch.bmm(grad_out[here], value[samples].mT, out=grad_scores)
            grad_scores.sub_(dots[here]).mul_(weights)
            grad_query[here] = torch.bmm(grad_scores, key[samples])
            grad_key[samples].baddbmm_(grad_scores.mT, scaled[here])
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
    # The three come from one kind of layer in one dtype: keep it, as the backward pass runs without autocast.
    with torch.autocast(query.device.type, enabled=False):
        if torch.compiler.is_compiling():
            return _traced(query, key, value)
        if (found := _fused(query, key, value)) is not None:
            return found
        if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad):
            return cast(Tensor, _Recomputed.apply(query, key, value))  # type: ignore[no-untyped-call]
        return _attend(query, key, value)


def _traced(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """For a graph that is written down, such as ONNX: plain operations, and any number of samples."""
    rows = max(1, DEVICE_BYTES // (4 * key.shape[1]))
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
