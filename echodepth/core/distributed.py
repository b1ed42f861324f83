"""Sums over all processes that train together, through which gradients go back.

Each process has a share of a batch, and strategies average their gradients. Pixels without depth are not shared out
evenly, so that the average of the processes' means is not the mean over the batch: a pixel among few would count more.
Where sums and counts are added up over the processes first, every process computes the loss of the whole batch, and
the averaged gradient is that of one process with all of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_TOGETHER: ContextVar[bool] = ContextVar("together", default=False)


@contextmanager
def sync_ranks(together: bool = True) -> Iterator[None]:
    """Within it, ``all_reduce_sum`` sums over all processes, which must call it with the same sums in one order."""
    token = _TOGETHER.set(together)
    try:
        yield
    finally:
        _TOGETHER.reset(token)


def all_reduce_sum(*values: Tensor) -> tuple[Tensor, ...]:
    """Scalars, added up over the processes inside of ``sync_ranks``, as they are elsewhere."""
    if not _TOGETHER.get():
        return values
    precision = torch.promote_types(values[0].dtype, torch.float32)
    total: Tensor = _Sum.apply(torch.stack([value.to(precision) for value in values]))  # type: ignore[no-untyped-call]
    return total.unbind()


class _Sum(torch.autograd.Function):
    """What each process does with the sum goes back to each summand: the gradient is a sum too."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradients[0])
