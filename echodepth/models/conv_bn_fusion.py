"""Fusion of batch norms into the convolutions before them, for inference."""

import copy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_Module = TypeVar("_Module", bound=nn.Module)


def fused_copy(model: _Module) -> _Module:
    """A copy of a model in eval mode with fused batch norms; the model keeps the weights that can be saved."""
    fused = copy.deepcopy(model)
    fuse_conv_bn(fused)
    return fused


def fuse_conv_bn(network: nn.Module) -> None:
    """Fuse each batch norm that follows a convolution into it, which saves one pass over the map.

    The output in eval mode stays the same up to rounding. The network can no longer be trained, and its weights have
    other names and values: fuse a copy of a network that is to be saved.

    Args:
        network: in eval mode; changed in place.

    Raises:
        ValueError: it is in training mode, in which a norm depends on the batch.
    """
    if network.training:
        raise ValueError("batch norms can be fused in eval mode only: call eval() first")
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for (name, layer), (next_name, norm) in pairwise(list(layers.named_children())):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d))
                setattr(layers, name, fused)
                setattr(layers, next_name, nn.Identity())
