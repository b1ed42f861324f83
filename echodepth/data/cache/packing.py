"""Batches of prepared data in their stored types, which the device converts to those of a ``Sample``.

A packed batch has a third of the bytes of a converted one, and a GPU converts it in microseconds. It differs from a
``Sample`` in three entries, each of integers so that Lightning leaves them as they are::

    image        uint8 [B,3,S,S]   0..255
    depth        int16 [B,1,S,S]   the bits of uint16: stored units, 0 where invalid; there is no ``valid``
    spectrogram  int16 [B,C,S,S]   the bits of float16

Mirroring moves values without computing with them, so that ``random_flip`` takes packed batches too.
"""

import torch
from torch import Tensor

from echodepth.data.sample import Sample


def is_packed(batch: Sample) -> bool:
    """Whether a batch is in its stored types."""
    return any(key in batch and not batch[key].is_floating_point() for key in ("image", "depth", "spectrogram"))


def unpack(batch: Sample, depth_units: float) -> Sample:
    """Convert a packed batch on its device; entries that are converted already stay as they are.

    Args:
        batch: packed; it is not modified.
        depth_units: stored depth units per metre.
    """
    unpacked = batch.copy()
    if "image" in batch and batch["image"].dtype == torch.uint8:
        unpacked["image"] = _divide(batch["image"], 255.0)
    if "spectrogram" in batch and batch["spectrogram"].dtype == torch.int16:
        unpacked["spectrogram"] = batch["spectrogram"].view(torch.float16).float()
    if "depth" in batch and batch["depth"].dtype == torch.int16:
        stored = batch["depth"].int().bitwise_and_(0xFFFF)
        unpacked["depth"] = _divide(stored, depth_units)
        unpacked["valid"] = stored > 0
    return unpacked


def _divide(stored: Tensor, divisor: float) -> Tensor:
    values = stored.float()
    # By a tensor: CUDA multiplies by the reciprocal of a plain number, which rounds differently.
    return values.div_(values.new_full((), divisor))
