"""What a network must beat before its figures mean anything.

A network may score well by drawing the average room. ``mean_depth`` does just that, with no input at all; and
``shuffled_audio`` gives a trained network the echoes of another frame, so that whatever it loses is what it had heard.
"""

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import default_collate

from echodepth.core.errors import ConfigError
from echodepth.data.dataset import DepthDataset
from echodepth.data.sample import Sample
from echodepth.data.split_dataset import SplitDataset


def derangement(count: int, seed: int) -> Int[Tensor, " count"]:
    """A seeded shuffle of 0..count-1 that leaves nothing in its place: everyone takes from the next in a random ring.

    Raises:
        ConfigError: there are fewer than two, so that nobody can take another's.
    """
    if count < 2:
        raise ConfigError(f"--control shuffled_audio needs two frames or more, and the split has {count}")
    ring = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return torch.empty_like(ring).scatter_(0, ring, ring.roll(-1))


class ShuffledAudio(DepthDataset):
    """A dataset in which every frame has another frame's audio.

    Args:
        dataset: with random access and audio.
        seed: decides the pairing.
    """

    def __init__(self, dataset: SplitDataset, seed: int) -> None:
        records = list(dataset.records)
        super().__init__(records, replace(dataset.decoder, modalities=("depth",)))
        self.echoes = DepthDataset(records, replace(dataset.decoder, modalities=("audio",)))
        self.source = derangement(len(records), seed)
        self.bad_rows = dataset.bad_rows

    def __getitem__(self, index: int) -> Sample:
        """The frame's depth and name with another frame's audio."""
        return {**super().__getitem__(index), "audio": self.echoes[int(self.source[index])]["audio"]}

    def batch(self, indices: list[int]) -> Sample:
        """Several frames as a batch."""
        batch: Sample = default_collate([self[index] for index in indices])
        return batch
