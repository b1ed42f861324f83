"""What a network must beat before its figures mean anything.

A network may score well by drawing the average room. ``mean_depth`` does just that, with no input at all; and
``shuffled_audio`` gives a trained network the echoes of another frame, so that whatever it loses is what it had heard.
"""

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from echodepth.core.errors import ConfigError
from echodepth.data.dataset import DepthDataset
from echodepth.data.sample import Sample


def derangement(count: int, seed: int) -> Int[Tensor, " count"]:
    """A seeded shuffle of 0..count-1 that leaves nothing in its place: everyone takes from the next in a random ring.

    Raises:
        ConfigError: there are fewer than two, so that nobody can take another's.
    """
    if count < 2:
        raise ConfigError(f"--control shuffled_audio needs two frames or more, and the split has {count}")
    ring = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return torch.empty_like(ring).scatter_(0, ring, ring.roll(-1))


class ShuffledAudio(Dataset[Sample]):
    """A dataset in which every frame hears another frame's echoes.

    Args:
        dataset: with audio among its parts.
        seed: decides which.

    Attributes:
        bad_rows: the dataset's.
    """

    def __init__(self, dataset: DepthDataset, seed: int) -> None:
        self.frames = DepthDataset(dataset.records, replace(dataset.decoder, modalities=("depth",)))
        self.echoes = DepthDataset(dataset.records, replace(dataset.decoder, modalities=("audio",)))
        self.source = derangement(len(dataset), seed)
        self.bad_rows = dataset.bad_rows

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        """The frame's depth and name with another's audio."""
        return {**self.frames[index], "audio": self.echoes[int(self.source[index])]["audio"]}
