"""Both ears of a frame: through one encoder as a batch, and fused to one map."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Fusion(nn.Sequential):
    """1x1 convolution that reduces the concatenated maps of both ears to the channels of one."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(2 * channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )


def as_batch_of_ears(spectrograms: Float[Tensor, "b c f t"]) -> Float[Tensor, "b2 c2 f t"]:
    """A batch in which left and right ear of each frame follow each other, in the same memory format."""
    ears: Tensor = spectrograms.unflatten(1, (2, -1)).flatten(0, 1)
    is_channels_last = spectrograms.is_contiguous(memory_format=torch.channels_last)
    return ears.contiguous(memory_format=torch.channels_last) if is_channels_last else ears


def left_and_right(ears: Float[Tensor, "b2 c f t"]) -> tuple[Float[Tensor, "b c f t"], Float[Tensor, "b c f t"]]:
    """The maps of the left and of the right ears."""
    left, right = ears.unflatten(0, (-1, 2)).unbind(1)
    return left, right


def concatenated(ears: Float[Tensor, "b2 c f t"]) -> Float[Tensor, "b c2 f t"]:
    """The channels of the left ear, then those of the right ear."""
    if ears.is_contiguous():
        return ears.view(-1, 2 * ears.shape[1], *ears.shape[2:])  # ears that follow each other are concatenated already
    return torch.cat(left_and_right(ears), dim=1)
