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
from collections.abc import Sequence
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


Parts = Sequence[Tensor]
"""Parts of a batch, which a kernel takes together: each may be in memory of its own until it is laid out for it."""


class Groups:
    """Layout of queries, keys and values for a kernel: channels zero-padded to a width, groups of queries apart.

    This one is for inputs that already have the axes [b,g,n,c].
    """

    spare_channels = 0
    """Channels that ``query`` and ``key`` need beyond their own."""

    def query(self, parts: Parts, width: int) -> Float[Tensor, "b g n {width}"]:
        """Queries of each group."""
        return _padded(torch.cat([*parts]) if len(parts) > 1 else parts[0], width)

    def key(self, parts: Parts, width: int) -> Float[Tensor, "b g m {width}"]:
        """Keys, or values, of each group. Groups may overlap in memory: they are not copied afterwards."""
        return self.query(parts, width)

    def result(self, found: Float[Tensor, "b g n c"]) -> Tensor:
        """The result, in the axes of the inputs."""
        return found


PLAIN_GROUPS = Groups()


def fused_attention(query: Parts, key: Parts, value: Parts, groups: Groups = PLAIN_GROUPS) -> list[Tensor] | None:
    """softmax(query keyᵀ / √d) value for each group of queries, by a fused kernel.

    Args:
        query: parts of the batch, of any float type, of which ``groups`` makes [b,g,n,d].
        key: of which ``groups`` makes [b,g,m,d].
        value: of which ``groups`` makes [b,g,m,c].
        groups: lays them out for the kernel.

    Returns:
        The result of each part, in the axes that ``groups`` gives it; None if no fused kernel takes these tensors, as
        on any device but CUDA.
    """
    if query[0].device.type != "cuda" or query[0].dtype == torch.float64:
        return None
    if query[0].dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        return _rounded(query, key, value, groups)
    return _attend(query, key, value, groups)


def _attend(query: Parts, key: Parts, value: Parts, groups: Groups) -> list[Tensor] | None:
    channels, scale = value[0].shape[-1], 1 / math.sqrt(query[0].shape[-1])
    heads = math.ceil(channels / WIDEST_HEAD)
    width = _multiple(math.ceil(channels / heads), ALIGNMENT)
    # Each head is one more part of the batch: its queries and keys are those of all heads.
    values = [_padded(x[..., start : start + width], width) for start in range(0, heads * width, width) for x in value]
    found = _kernel([*query] * heads, [*key] * heads, values, groups, scale, width)
    if found is None:
        return None
    parts = groups.result(found).split([len(x) for x in values])
    by_part = [parts[index :: len(query)] for index in range(len(query))]
    return [(torch.cat(part, dim=-1) if heads > 1 else part[0])[..., :channels] for part in by_part]


def _kernel(query: Parts, key: Parts, value: Parts, groups: Groups, scale: float, width: int) -> Tensor | None:
    narrow = _multiple(query[0].shape[-1] + groups.spare_channels, ALIGNMENT)
    wide = max(narrow, width)
    if torch.compiler.is_compiling():
        # The compiler chooses the kernel itself, and cannot trace the questions below.
        tensors = groups.query(query, wide), groups.key(key, wide), groups.key(value, wide)
        return F.scaled_dot_product_attention(*tensors, scale=scale)[..., :width]
    candidates = _candidates(query[0])
    for backend, can_use, key_width, value_width in (
        (SDPBackend.CUDNN_ATTENTION, can_use_cudnn_attention, narrow, width),
        (SDPBackend.FLASH_ATTENTION, can_use_flash_attention, wide, wide),
        (SDPBackend.EFFICIENT_ATTENTION, can_use_efficient_attention, narrow, width),
    ):
        if backend not in candidates:
            continue
        tensors = groups.query(query, key_width), groups.key(key, key_width), groups.key(value, value_width)
        if can_use(SDPAParams(*tensors, None, 0.0, False, False)):
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(*tensors, scale=scale)[..., :width]
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


def _rounded(query: Parts, key: Parts, value: Parts, groups: Groups) -> list[Tensor] | None:
    """Attention of float32 tensors with factors of TF32's precision and sums in float32.

    A factor in TF32 has 10 bits of mantissa, and so has one in half precision, whose kernels are three times as fast
    and for which more of them exist. Half precision has a shorter range: values and gradients are therefore divided by
    a power of two, which is exact, and the result is multiplied by it.
    """
    scale = _GradientScale()
    size = _power_of_two(torch.stack([x.detach().abs().amax() for x in value]).amax())

    def half(x: Tensor) -> Tensor:
        return cast(Tensor, _MultiplyGradient.apply(x, scale)).half()  # type: ignore[no-untyped-call]

    found = _attend([half(x) for x in query], [half(x) for x in key], [half(x / size) for x in value], groups)
    if found is None:
        return None
    # In one tensor, because all parts go through one backward pass.
    together = cast(Tensor, _DivideGradient.apply(torch.cat(found).float(), scale))  # type: ignore[no-untyped-call]
    return [*(size * together).split([len(x) for x in found])]


def _power_of_two(x: Tensor) -> Tensor:
    """The least power of two that is not below ``x``; 1 for zero."""
    return torch.exp2(torch.where(x > 0, x, 1.0).log2().ceil())
