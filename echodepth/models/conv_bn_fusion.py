"""Norms that have nothing left to learn, taken into the convolutions before them."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fuse_conv_bn(network: nn.Module) -> None:
    """Let each convolution that a batch norm follows do the norm's work too, which spares a pass over its result.

    What the network answers in eval mode stays the same, up to rounding. It can be trained no more, and its weights
    have other names and values: fold a copy of what is to be saved.

    Args:
        network: in eval mode; is changed.

    Raises:
        ValueError: it is in training mode, in which a norm depends on the batch.
    """
    if network.training:
        raise ValueError("norms can be folded in eval mode only: call eval() first")
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for (place, layer), (after, norm) in pairwise(list(layers.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(layers, place, fuse_conv_bn_eval(layer, norm))
                setattr(layers, after, nn.Identity())
