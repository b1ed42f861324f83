"""Activation checkpointing: intermediate results are computed again in the backward pass (arXiv 1604.06174)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


def checkpointed(stage: nn.Module, *inputs: Tensor) -> Tensor:
    """``stage(*inputs)``, of which only the inputs and the result are kept if a gradient is needed.

    The second computation leaves the running statistics of batch norms unchanged, because the first has updated them.
    """
    result: Tensor
    if not torch.is_grad_enabled():
        result = stage(*inputs)
        return result
    # No stage draws random numbers, so there is no random state to restore.
    result = checkpoint(
        stage, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=partial(_contexts, stage)
    )
    return result


def _contexts(stage: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _frozen_statistics(stage)


@contextmanager
def _frozen_statistics(stage: nn.Module) -> Iterator[None]:
    # Copies are updated in their place: without buffers a norm would save fewer tensors than in the first computation.
    norms = [module for module in stage.modules() if isinstance(module, _NormBase)]
    originals = [dict(module.named_buffers(recurse=False)) for module in norms]
    for module, buffers in zip(norms, originals, strict=True):
        for name, buffer in buffers.items():
            setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, buffers in zip(norms, originals, strict=True):
            for name, buffer in buffers.items():
                setattr(module, name, buffer)
