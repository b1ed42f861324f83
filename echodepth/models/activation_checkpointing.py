"""Activations that are computed again on the way back instead of being kept (arXiv 1604.06174)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


def recomputed(stage: nn.Module, *inputs: Tensor) -> Tensor:
    """``stage(*inputs)``, of which only the inputs and the result are kept where a gradient is asked for.

    The second time, batch norms leave their running statistics alone: they have seen this batch already.
    """
    result: Tensor
    if not torch.is_grad_enabled():
        result = stage(*inputs)
        return result
    # Nothing in a stage is random, so that there is no state to restore.
    result = checkpoint(
        stage, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=partial(_contexts, stage)
    )
    return result


def _contexts(stage: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_at_rest(stage)


@contextmanager
def _statistics_at_rest(stage: nn.Module) -> Iterator[None]:
    # Copies to move in their place: without any, a norm would keep fewer tensors than the first time.
    norms = [module for module in stage.modules() if isinstance(module, _NormBase)]
    own = [dict(module.named_buffers(recurse=False)) for module in norms]
    for module, buffers in zip(norms, own, strict=True):
        for name, buffer in buffers.items():
            setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, buffers in zip(norms, own, strict=True):
            for name, buffer in buffers.items():
                setattr(module, name, buffer)
