"""Augmentation of whole batches on their device: pure functions, a draw of its own for every sample.

Random numbers are drawn on the CPU, from the generator given or torch's global one, whatever device the batch is
on: the same seed augments alike everywhere.
"""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from echodepth.data.sample import Sample

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright the eye finds red, green and blue


def flip_left_right(batch: Sample, flip: Bool[Tensor, " b"]) -> Sample:
    """Mirror chosen samples: image, depth and mask left to right, and the ears exchanged.

    A mirrored room heard by swapped ears is as true as the original; mirrored depth beside unswapped ears teaches
    that left is right.

    Args:
        batch: samples with a leading batch axis; absent parts stay absent, the input stays as it is.
        flip: which samples are mirrored.

    Returns:
        A new batch, which says in ``mirrored`` what was done to it.
    """

    def chosen(tensor: Tensor, axis: int) -> Tensor:
        where = flip.to(tensor.device).view(-1, *[1] * (tensor.dim() - 1))
        return torch.where(where, tensor.flip(axis), tensor)

    flipped = batch.copy()
    if "image" in batch:
        flipped["image"] = chosen(batch["image"], -1)
    if "audio" in batch:
        flipped["audio"] = chosen(batch["audio"], -2)
    if "spectrogram" in batch:
        swapped = torch.cat([*reversed(batch["spectrogram"].chunk(2, dim=-3))], dim=-3)
        where = flip.to(swapped.device).view(-1, 1, 1, 1)
        flipped["spectrogram"] = torch.where(where, swapped, batch["spectrogram"])
    if "depth" in batch:
        flipped["depth"] = chosen(batch["depth"], -1)
    if "valid" in batch:
        flipped["valid"] = chosen(batch["valid"], -1)
    flipped["mirrored"] = batch["mirrored"] ^ flip if "mirrored" in batch else flip
    return flipped


def random_flip(batch: Sample, generator: Generator | None = None) -> Sample:
    """Mirror each sample with probability one half; see ``flip_left_right``."""
    part = next(batch[key] for key in ("image", "audio", "depth") if key in batch)
    return flip_left_right(batch, torch.rand(part.shape[0], generator=generator) < 0.5)


def color_jitter(
    image: Float[Tensor, "b 3 h w"], strength: float, generator: Generator | None = None
) -> Float[Tensor, "b 3 h w"]:
    """Change brightness, contrast and saturation of each image at random, in this order.

    Each factor is drawn evenly from ``1 - strength`` to ``1 + strength``. Hue is left alone: exposure differs
    from recording to recording, hue hardly does.

    Args:
        image: RGB in 0..1.
        strength: 0 (as it is) up to 1.
        generator: on the CPU; torch's global one when not given.

    Returns:
        RGB in 0..1.

    Raises:
        ValueError: ``strength`` is outside 0..1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}: give a number from 0 to 1")
    factors = 1 + strength * (2 * torch.rand(3, image.shape[0], 1, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = factors.to(image)
    image = (image * brightness).clamp(0, 1)
    image = _blend(_gray(image).mean(dim=(-2, -1), keepdim=True), image, contrast)
    return _blend(_gray(image), image, saturation)


def _gray(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    return (image * image.new_tensor(_LUMA).view(3, 1, 1)).sum(dim=1, keepdim=True)


def _blend(base: Tensor, image: Float[Tensor, "b 3 h w"], factor: Tensor) -> Float[Tensor, "b 3 h w"]:
    """From ``base`` (factor 0) to the image (1) and beyond."""
    return (base + factor * (image - base)).clamp(0, 1)


def mask_spectrogram(
    spectrogram: Float[Tensor, "b c f t"], masks: int, width: float = 0.1, generator: Generator | None = None
) -> Float[Tensor, "b c f t"]:
    """Hide random bands of frequency and stretches of time (SpecAugment, arXiv 1904.08779, without the warp).

    All channels of a sample lose the same bands: were one ear to lose what the other keeps, the difference
    between them would point to a direction where nothing is. What is hidden takes the mean of its own sample and
    channel: the level that says least, with the ears' overall level difference kept, and no word of other samples.

    Args:
        spectrogram: both ears' channels as the network sees them.
        masks: how many bands of frequency, and as many stretches of time; 0 for none.
        width: the widest mask as a fraction of its axis; each is drawn evenly from nothing to this.
        generator: on the CPU; torch's global one when not given.

    Returns:
        The masked spectrogram; the input stays as it is.

    Raises:
        ValueError: ``masks`` is negative or ``width`` outside 0..1.
    """
    if masks < 0:
        raise ValueError(f"masks is {masks}: give how many, from 0")
    if not 0 <= width <= 1:
        raise ValueError(f"width is {width}: give a fraction of the axis from 0 to 1")
    samples, _, frequencies, times = spectrogram.shape
    hidden_rows = _random_bands(samples, frequencies, masks, width, generator).to(spectrogram.device)
    hidden_columns = _random_bands(samples, times, masks, width, generator).to(spectrogram.device)
    hidden = hidden_rows[:, None, :, None] | hidden_columns[:, None, None, :]
    return torch.where(hidden, spectrogram.mean(dim=(-2, -1), keepdim=True), spectrogram)


def _random_bands(
    samples: int, size: int, masks: int, width: float, generator: Generator | None
) -> Bool[Tensor, "{samples} {size}"]:
    """Which positions along an axis are hidden, per sample."""
    lengths = torch.rand(samples, masks, 1, generator=generator) * width * size
    starts = torch.rand(samples, masks, 1, generator=generator) * (size - lengths)
    centres = torch.arange(size) + 0.5
    return ((centres >= starts) & (centres < starts + lengths)).any(dim=1)
