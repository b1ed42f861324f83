"""Attention on CUDA devices through torch's fused kernels, none of which builds the matrix of weights.

======== ======================= =========================================================================
inputs   kernel                  condition
======== ======================= =========================================================================
16 bits  cuDNN                   Hopper or newer; queries may be narrower than values
16 bits  FlashAttention          queries are zero-padded to the width of the values (arXiv 2205.14135)
32 bits  memory-efficient        exact: float32 matmul precision "highest" (arXiv 2112.05682)
32 bits  those of 16 bits        float32 matmul precision "high" or "medium": TF32's rounding, see ``_rounded``
======== ======================= =========================================================================
"""

import math
from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.backends.cuda import (
    SDPAParams,
    can_use_cudnn_attention,
    can_use_efficient_attention,
    can_use_flash_attention,
)
from torch.nn.attention import SDPBackend, sdpa_kernel

WIDEST_HEAD = 256
"""Widest values that the kernels of 16 bits take; wider ones are split."""
ALIGNMENT = 8
"""Kernels read groups of so many channels."""
HOPPER = (9, 0)


def fused_attention(
    query: Float[Tensor, "b n d"], key: Float[Tensor, "b m d"], value: Float[Tensor, "b m c"]
) -> Float[Tensor, "b n c"] | None:
    """softmax(query keyᵀ / √d) value, of any float type, by a fused kernel.

    Returns:
        The result; None if no fused kernel takes these tensors, as on any device but CUDA.
    """
    if query.device.type != "cuda" or query.dtype == torch.float64:
        return None
    if query.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        return _rounded(query, key, value)
    return _attend(query, key, value)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor | None:
    channels, scale = value.shape[-1], 1 / math.sqrt(query.shape[-1])
    heads = math.ceil(channels / WIDEST_HEAD)
    width = _multiple(math.ceil(channels / heads), ALIGNMENT)
    if heads > 1:
        # Each head is one more part of the batch: its queries and keys are those of all heads.
        query, key = query.repeat(heads, 1, 1), key.repeat(heads, 1, 1)
        value = torch.cat(_padded(value, heads * width).split(width, dim=-1))
    found = _kernel(query, key, value, scale, width)
    if found is not None and heads > 1:
        found = torch.cat(found.chunk(heads), dim=-1)
    return None if found is None else found[..., :channels]


def _kernel(query: Tensor, key: Tensor, value: Tensor, scale: float, width: int) -> Tensor | None:
    narrow = _multiple(query.shape[-1], ALIGNMENT)
    wide = max(narrow, width)

    def padded(key_width: int, value_width: int) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = _padded(query, key_width), _padded(key, key_width), _padded(value, value_width)
        return q[:, None], k[:, None], v[:, None]

    if torch.compiler.is_compiling():
        # The compiler chooses the kernel itself, and cannot trace the questions below.
        return F.scaled_dot_product_attention(*padded(wide, wide), scale=scale)[:, 0, :, :width]
    candidates = _candidates(query)
    for backend, can_use, *widths in (
        (SDPBackend.CUDNN_ATTENTION, can_use_cudnn_attention, narrow, width),
        (SDPBackend.FLASH_ATTENTION, can_use_flash_attention, wide, wide),
        (SDPBackend.EFFICIENT_ATTENTION, can_use_efficient_attention, narrow, width),
    ):
        if backend not in candidates:
            continue
        tensors = padded(*widths)
        if can_use(SDPAParams(*tensors, None, 0.0, False, False)):
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(*tensors, scale=scale)[:, 0, :, :width]
    return None


def _candidates(query: Tensor) -> list[SDPBackend]:
    """Kernels that may take these tensors, without those that are slower here or break a promise."""
    if query.dtype == torch.float32:
        return [SDPBackend.EFFICIENT_ATTENTION]
    # On older devices cuDNN's kernels are no faster than FlashAttention, and its backward pass is not deterministic.
    use_cudnn = _capability(query.device) >= HOPPER and not torch.are_deterministic_algorithms_enabled()
    cudnn = [SDPBackend.CUDNN_ATTENTION] if use_cudnn else []
    return [*cudnn, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]


@lru_cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


def _multiple(size: int, of: int) -> int:
    return math.ceil(size / of) * of


def _padded(x: Tensor, width: int) -> Tensor:
    """Zero channels up to a width, which change neither products nor the other channels' result."""
    return x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))


class _ScaledGradient(torch.autograd.Function):
    """Identity. The gradient of the result is divided by a power of two, by which those of the inputs are multiplied.

    The backward pass meets the result first: ``powers`` hands its power of two on to the inputs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, powers: list[Tensor], is_result: bool) -> Tensor:
        ctx.powers, ctx.is_result = powers, is_result
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        if not ctx.is_result:
            return grad * ctx.powers[-1], None, None
        # A row's sum bounds its products with values in -1..1, and thereby the gradients of the weights.
        ctx.powers.append(_power_of_two(grad.abs().sum(dim=-1).amax()))
        return grad / ctx.powers[-1], None, None


def _rounded(query: Tensor, key: Tensor, value: Tensor) -> Tensor | None:
    """Attention of float32 tensors with factors of TF32's precision and sums in float32.

    A factor in TF32 has 10 bits of mantissa, and so has one in half precision, whose kernels are three times as fast
    and for which more of them exist. Half precision has a shorter range: values and gradients are therefore divided by
    a power of two, which is exact, and the result is multiplied by it.
    """
    powers: list[Tensor] = []
    size = _power_of_two(value.detach().abs().amax())

    def scaled(x: Tensor, is_result: bool) -> Tensor:
        return cast(Tensor, _ScaledGradient.apply(x, powers, is_result))  # type: ignore[no-untyped-call]

    found = _attend(*(scaled(x, is_result=False).half() for x in (query, key, value / size)))
    return None if found is None else size * scaled(found.float(), is_result=True)


def _power_of_two(x: Tensor) -> Tensor:
    """The least power of two that is not below ``x``; 1 for zero."""
    return torch.exp2(torch.where(x > 0, x, 1.0).log2().ceil())
