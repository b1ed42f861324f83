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


class Groups:
    """Layout of queries, keys and values for a kernel: channels zero-padded to a width, groups of queries apart.

    This one is for inputs that already have the axes [b,g,n,c].
    """

    spare_channels = 0
    """Channels that ``query`` and ``key`` need beyond their own."""

    def query(self, x: Float[Tensor, "b g n d"], width: int) -> Float[Tensor, "b g n {width}"]:
        """Queries of each group."""
        return _padded(x, width)

    def key(self, x: Tensor, width: int) -> Float[Tensor, "b g m {width}"]:
        """Keys of each group. Groups may overlap in memory: they are not copied afterwards."""
        return _padded(x, width)

    def value(self, x: Tensor, width: int) -> Float[Tensor, "b g m {width}"]:
        """Values of each group, as ``key``."""
        return _padded(x, width)


PLAIN_GROUPS = Groups()


def fused_attention(
    query: Float[Tensor, "b *q d"],
    key: Float[Tensor, "b *k d"],
    value: Float[Tensor, "b *k c"],
    groups: Groups = PLAIN_GROUPS,
) -> Float[Tensor, "b g n c"] | None:
    """softmax(query keyᵀ / √d) value for each group of queries, by a fused kernel.

    Args:
        query: of any float type.
        key: of which ``groups`` makes [b,g,m,d].
        value: of which ``groups`` makes [b,g,m,c].
        groups: applied after everything else that copies the inputs.

    Returns:
        The result; None if no fused kernel takes these tensors, as on any device but CUDA.
    """
    if query.device.type != "cuda" or query.dtype == torch.float64:
        return None
    if query.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        return _rounded(query, key, value, groups)
    return _attend(query, key, value, groups)


def _attend(query: Tensor, key: Tensor, value: Tensor, groups: Groups) -> Tensor | None:
    samples, channels, scale = len(value), value.shape[-1], 1 / math.sqrt(query.shape[-1])
    heads = math.ceil(channels / WIDEST_HEAD)
    if heads > 1:
        # One more part of the batch for each head: its queries and keys are those of all heads.
        value = torch.cat(_padded(value, _multiple(channels, heads)).chunk(heads, dim=-1))
        query, key = (x.repeat(heads, *[1] * (x.ndim - 1)) for x in (query, key))
    found = _kernel(query, key, value, groups, scale)
    if found is not None and heads > 1:
        found = torch.cat(found.split(samples), dim=-1)
    return None if found is None else found[..., :channels]


def _kernel(query: Tensor, key: Tensor, value: Tensor, groups: Groups, scale: float) -> Tensor | None:
    narrow, width = (_multiple(size, ALIGNMENT) for size in (query.shape[-1] + groups.spare_channels, value.shape[-1]))
    wide = max(narrow, width)
    if torch.compiler.is_compiling():
        # The compiler chooses the kernel itself, and cannot trace the questions below.
        tensors = groups.query(query, wide), groups.key(key, wide), groups.value(value, wide)
        return F.scaled_dot_product_attention(*tensors, scale=scale)[..., : value.shape[-1]]
    for backend, can_use, key_width, value_width in (
        (SDPBackend.CUDNN_ATTENTION, can_use_cudnn_attention, narrow, width),
        (SDPBackend.FLASH_ATTENTION, can_use_flash_attention, wide, wide),
        (SDPBackend.EFFICIENT_ATTENTION, can_use_efficient_attention, narrow, width),
    ):
        if backend not in _candidates(query):
            continue
        tensors = groups.query(query, key_width), groups.key(key, key_width), groups.value(value, value_width)
        if can_use(SDPAParams(*tensors, None, 0.0, False, False)):
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(*tensors, scale=scale)[..., : value.shape[-1]]
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


class _GradientScale:
    """The power of two by which gradients are divided on their way through half precision."""

    factor: Tensor


class _DivideGradient(torch.autograd.Function):
    """Identity, whose gradient is divided so that no sum of the backward pass exceeds half precision."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: _GradientScale) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # A row's sum bounds its products with values in -1..1, and thereby the gradients of the weights.
        ctx.scale.factor = _power_of_two(grad.abs().sum(dim=-1).amax())
        return grad / ctx.scale.factor, None


class _MultiplyGradient(torch.autograd.Function):
    """Identity, whose gradient is multiplied by what ``_DivideGradient`` divided by."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: _GradientScale) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.scale.factor, None


def _rounded(query: Tensor, key: Tensor, value: Tensor, groups: Groups) -> Tensor | None:
    """Attention of float32 tensors with factors of TF32's precision and sums in float32.

    A factor in TF32 has 10 bits of mantissa, and so has one in half precision, whose kernels are three times as fast
    and for which more of them exist. Half precision has a shorter range: values and gradients are therefore divided by
    a power of two, which is exact, and the result is multiplied by it.
    """
    scale, size = _GradientScale(), _power_of_two(value.detach().abs().amax())
    q, k, v = (
        cast(Tensor, _MultiplyGradient.apply(x, scale)).half()  # type: ignore[no-untyped-call]
        for x in (query, key, value / size)
    )
    found = _attend(q, k, v, groups)
    if found is None:
        return None
    return size * cast(Tensor, _DivideGradient.apply(found.float(), scale))  # type: ignore[no-untyped-call]


def _power_of_two(x: Tensor) -> Tensor:
    """The least power of two that is not below ``x``; 1 for zero."""
    return torch.exp2(torch.where(x > 0, x, 1.0).log2().ceil())
