"""Differentiable sums over the processes of a distributed training run.

Each rank holds a part of the global batch, and Lightning's strategies average the ranks' gradients. Ranks have
different numbers of pixels with ground truth, so the average of their means is not the mean over the batch: a pixel on
a rank with few of them would weigh more. With sums and counts reduced over all ranks first, every rank computes the
loss of the global batch, and the averaged gradient equals that of one process with the whole batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_SYNC: ContextVar[bool] = ContextVar("sync", default=False)


@contextmanager
def sync_ranks(enabled: bool = True) -> Iterator[None]:
    """Make ``all_reduce_sum`` sum over all ranks inside the block.

    Every rank must call it the same number of times with the same quantities in the same order.
    """
    token = _SYNC.set(enabled)
    try:
        yield
    finally:
        _SYNC.reset(token)


def all_reduce_sum(*values: Tensor) -> tuple[Tensor, ...]:
    """Sum scalars over all ranks inside ``sync_ranks``; outside, return them unchanged."""
    if not _SYNC.get():
        return values
    precision = torch.promote_types(values[0].dtype, torch.float32)
    total: Tensor = _AllReduceSum.apply(torch.stack([value.to(precision) for value in values]))  # type: ignore[no-untyped-call]
    return total.unbind()


class _AllReduceSum(torch.autograd.Function):
    """All-reduce whose gradient is the sum of the gradients of all ranks: every rank uses the sum."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        total = local.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _AllReduceSum.forward(ctx, gradients[0])
