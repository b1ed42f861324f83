"""Augmentation of batches on their device. The functions are pure and draw random numbers for each sample.

Random numbers are drawn on the CPU, from the given generator or torch's global one, whatever the batch's device: the
same seed gives the same augmentation on every device. They are sent there without waiting for it (``non_blocking``): a
blocking copy would wait until the device has finished all earlier steps.
"""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from echodepth.data.sample import Sample

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma weights of red, green and blue


def flip_left_right(batch: Sample, flip: Bool[Tensor, " b"]) -> Sample:
    """Mirror selected samples: flip image, depth and mask horizontally and exchange the ears.

    The recording of a mirrored room is that of the original with exchanged ears. Mirrored depth with the original ears
    would contradict the direction of the echoes.

    Args:
        batch: samples with a leading batch axis; absent modalities stay absent, the input is not modified.
        flip: mask of the samples to mirror.

    Returns:
        A new batch; its ``mirrored`` records which samples are mirror images.
    """
    device = next(batch[key] for key in ("image", "audio", "spectrogram", "depth") if key in batch).device
    on_device = flip.to(device, non_blocking=True)

    def flip_selected(tensor: Tensor, axis: int) -> Tensor:
        return torch.where(on_device.view(-1, *[1] * (tensor.dim() - 1)), tensor.flip(axis), tensor)

    flipped = batch.copy()
    if "image" in batch:
        flipped["image"] = flip_selected(batch["image"], -1)
    if "audio" in batch:
        flipped["audio"] = flip_selected(batch["audio"], -2)
    if "spectrogram" in batch:
        swapped = torch.cat([*reversed(batch["spectrogram"].chunk(2, dim=-3))], dim=-3)
        flipped["spectrogram"] = torch.where(on_device.view(-1, 1, 1, 1), swapped, batch["spectrogram"])
    if "depth" in batch:
        flipped["depth"] = flip_selected(batch["depth"], -1)
    if "valid" in batch:
        flipped["valid"] = flip_selected(batch["valid"], -1)
    flipped["mirrored"] = batch["mirrored"] ^ flip if "mirrored" in batch else flip
    return flipped


def random_flip(batch: Sample, generator: Generator | None = None) -> Sample:
    """Mirror each sample with probability 0.5; see ``flip_left_right``."""
    first = next(batch[key] for key in ("image", "audio", "depth") if key in batch)
    return flip_left_right(batch, torch.rand(first.shape[0], generator=generator) < 0.5)


def color_jitter(
    image: Float[Tensor, "b 3 h w"], strength: float, generator: Generator | None = None
) -> Float[Tensor, "b 3 h w"]:
    """Change brightness, contrast and saturation of each image at random, in this order.

    Each factor is uniform in ``1 - strength`` to ``1 + strength``. Hue is kept, because recordings differ in exposure
    and hardly in hue.

    Args:
        image: RGB in 0..1.
        strength: 0 (no change) to 1.
        generator: on the CPU; torch's global one when not given.

    Returns:
        RGB in 0..1.

    Raises:
        ValueError: ``strength`` is outside 0..1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}: give a number from 0 to 1")
    factors = 1 + strength * (2 * torch.rand(3, image.shape[0], 1, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = factors.to(image, non_blocking=True)
    image = (image * brightness).clamp(0, 1)
    image = _blend(_gray(image).mean(dim=(-2, -1), keepdim=True), image, contrast)
    return _blend(_gray(image), image, saturation)


def _gray(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    luma = torch.tensor(_LUMA, dtype=image.dtype).to(image.device, non_blocking=True)
    return (image * luma.view(3, 1, 1)).sum(dim=1, keepdim=True)


def _blend(base: Tensor, image: Float[Tensor, "b 3 h w"], factor: Tensor) -> Float[Tensor, "b 3 h w"]:
    """Interpolate from ``base`` (factor 0) to the image (1), or extrapolate."""
    return (base + factor * (image - base)).clamp(0, 1)


def mask_spectrogram(
    spectrogram: Float[Tensor, "b c f t"], masks: int, width: float = 0.1, generator: Generator | None = None
) -> Float[Tensor, "b c f t"]:
    """Mask random frequency bands and time intervals (SpecAugment, arXiv 1904.08779, without time warping).

    All channels of a sample have the same masks, because a mask in one ear alone would create an interaural difference.
    Masked values are set to the mean of their own sample and channel, which preserves the ears' overall level
    difference and adds no information about other samples.

    Args:
        spectrogram: both ears' channels at the network's input.
        masks: number of frequency bands, and of time intervals; 0 for none.
        width: widest mask as a fraction of its axis; each width is uniform in 0 to this.
        generator: on the CPU; torch's global one when not given.

    Returns:
        The masked spectrogram; the input is not modified.

    Raises:
        ValueError: ``masks`` is negative or ``width`` outside 0..1.
    """
    if masks < 0:
        raise ValueError(f"masks is {masks}: give a number from 0")
    if not 0 <= width <= 1:
        raise ValueError(f"width is {width}: give a fraction of the axis from 0 to 1")
    samples, _, frequencies, times = spectrogram.shape
    masked_rows = _random_bands(samples, frequencies, masks, width, generator)
    masked_columns = _random_bands(samples, times, masks, width, generator)
    rows, columns = (bands.to(spectrogram.device, non_blocking=True) for bands in (masked_rows, masked_columns))
    masked = rows[:, None, :, None] | columns[:, None, None, :]
    return torch.where(masked, spectrogram.mean(dim=(-2, -1), keepdim=True), spectrogram)


def _random_bands(
    samples: int, size: int, masks: int, width: float, generator: Generator | None
) -> Bool[Tensor, "{samples} {size}"]:
    """Mask of positions along an axis, per sample."""
    lengths = torch.rand(samples, masks, 1, generator=generator) * width * size
    starts = torch.rand(samples, masks, 1, generator=generator) * (size - lengths)
    centres = torch.arange(size) + 0.5
    return ((centres >= starts) & (centres < starts + lengths)).any(dim=1)
