"""Prepared data in their stored types, which the device converts to those of a ``Sample``.

A packed batch has a third of the bytes of a converted one, and a GPU converts it in microseconds. It differs from a
``Sample`` in three entries, each of integers so that Lightning leaves them as they are::

    image        uint8 [B,3,S,S]   0..255
    depth        int16 [B,1,S,S]   the bits of uint16: stored units, 0 where invalid; there is no ``valid``
    spectrogram  int16 [B,C,S,S]   the bits of float16

Mirroring moves values without computing with them, so that ``random_flip`` takes packed batches too.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from echodepth.data.sample import Sample

MAX_UINT16 = 65535
FrontEndTransform = Callable[[Tensor], Tensor]
"""Waveforms [B,2,T] to the network's input [B,C,S,S]."""


def encode(
    samples: list[Sample], units: int | float, audio_array: str, transform: FrontEndTransform | None
) -> dict[str, np.ndarray]:
    """Samples as they are stored, by array.

    Args:
        samples: with the same entries.
        units: stored depth units per metre.
        audio_array: name of the array of the audio.
        transform: makes spectrograms, which are stored in place of waveforms.
    """
    encoded: dict[str, np.ndarray] = {}
    if "depth" in samples[0]:
        depth = torch.stack([sample["depth"][0] for sample in samples]).numpy()
        valid = torch.stack([sample["valid"][0] for sample in samples]).numpy()
        # At least 1 where valid: 0 encodes an invalid pixel.
        whole = np.where(valid, np.clip(np.rint(depth * units), 1, MAX_UINT16), 0).astype(np.uint16)
        same = np.divide(whole, np.float32(units), dtype=np.float32) == depth
        encoded |= {"depth": whole, "depth_exact": (same | ~valid).all(axis=(1, 2))}
    if "image" in samples[0]:
        image = torch.stack([sample["image"] for sample in samples]).numpy()
        encoded["image"] = np.rint(255 * image).astype(np.uint8)
    if "audio" in samples[0]:
        audio = torch.stack([sample["audio"] for sample in samples])
        stored = audio if transform is None else transform(audio).half()
        encoded[audio_array] = stored.numpy()
    return encoded


def is_packed(batch: Sample) -> bool:
    """Whether a batch is in its stored types."""
    return any(key in batch and not batch[key].is_floating_point() for key in ("image", "depth", "spectrogram"))


def unpack(batch: Sample, depth_units: int | float) -> Sample:
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
