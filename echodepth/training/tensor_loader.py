"""Batches of plain tensors, for a training loop of one's own.

``echodepth train`` computes spectrograms on the device and masks what the camera did not measure. A loop that takes
everything from its loader can have it like this::

    dataloader = tensor_loader("data/batvisionv2", batch_size=64)
    for epoch in range(num_epochs):
        for spectrogram, image, depth in dataloader:
            ...
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from echodepth.core.errors import names_arguments
from echodepth.data.config import DataConfig
from echodepth.data.opening import open_split
from echodepth.data.records import ALL_MODALITIES, Split
from echodepth.data.split_dataset import SplitDataset
from echodepth.models.frontends.base import FrontEnd
from echodepth.models.frontends.echo import EchoFrontEnd

Tensors = tuple[Float[Tensor, "b c f t"], Float[Tensor, "b 3 s s"], Float[Tensor, "b 1 s s"]]


class TensorLoader:
    """Batches (spectrogram, image, depth) of a split, on the CPU; each iteration is an epoch.

    Args:
        dataset: a split with images, audio and depth.
        front_end: from waveforms to spectrograms.
        batch_size: frames of a batch.
        shuffle: draw a new order for each epoch.
        num_workers: processes that read files.
        seed: of the order.
    """

    def __init__(
        self, dataset: SplitDataset, front_end: FrontEnd, batch_size: int, shuffle: bool, num_workers: int, seed: int
    ) -> None:
        self.dataset, self.front_end = dataset, front_end
        self.epoch = 0
        self._batches = dataset.loader(batch_size, num_workers, shuffle_seed=seed if shuffle else None)

    def __repr__(self) -> str:
        return f"TensorLoader({len(self)} batches (spectrogram, image, depth) of {self.dataset!r})"

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Tensors]:
        """The batches of the next epoch.

        Raises:
            DataError: a row cannot be decoded; the message names row and file.
        """
        if (set_epoch := getattr(self._batches.sampler, "set_epoch", None)) is not None:
            set_epoch(self.epoch)
        self.epoch += 1
        for batch in self._batches:
            with torch.no_grad():
                spectrogram = self.front_end(batch["audio"])
            yield spectrogram, batch["image"], batch["depth"]


@names_arguments
def tensor_loader(
    data: DataConfig | str | Path,
    split: Split = "train",
    batch_size: int = 16,
    *,
    front_end: FrontEnd | None = None,
    shuffle: bool | None = None,
    num_workers: int = 0,
    seed: int = 0,
) -> TensorLoader:
    """Batches (spectrogram, image, depth) of one split, as tensors.

    Args:
        data: root of BatVision V2, or the config of any dataset with audio and images.
        split: train, val or test.
        batch_size: frames of a batch; of training batches, a last one of a single frame is dropped.
        front_end: from waveforms [B,2,T] to spectrograms. By default ``EchoFrontEnd(image_size)``: decibels, square,
            of the same size as image and depth.
        shuffle: draw a new order for each epoch; by default of the training split only.
        num_workers: processes that read files; 0 reads in this one.
        seed: of the order.

    Returns:
        An iterable with a length: spectrogram [B,2,S,S], image [B,3,S,S] in 0..1, and depth [B,1,S,S] in metres, which
        is 0 where it is unknown. A loss must leave these pixels out.

    Raises:
        ConfigError: a setting is out of range.
        DataError: a file is missing or, without ``skip_bad``, unusable.
    """
    config = data if isinstance(data, DataConfig) else DataConfig(data_dir=data)
    dataset = open_split(config, split, ALL_MODALITIES)
    return TensorLoader(
        dataset,
        EchoFrontEnd(config.image_size) if front_end is None else front_end,
        batch_size,
        split == "train" if shuffle is None else shuffle,
        num_workers,
        seed,
    )
