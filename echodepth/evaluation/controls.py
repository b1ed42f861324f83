"""Control inputs: what a network must beat before its metrics mean anything.

A network may score well by predicting the average room. The ``mean_depth`` control predicts exactly that, without an
input. The ``shuffled_audio`` control evaluates a trained network on another frame's audio: the difference to its own
score is what the network takes from the audio.
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
    """A seeded permutation of 0..count-1 without a fixed point: one random cycle over all elements.

    Raises:
        ConfigError: ``count`` is below 2, which has no such permutation.
    """
    if count < 2:
        raise ConfigError(f"--control shuffled_audio needs at least two frames, and the split has {count}")
    cycle = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return torch.empty_like(cycle).scatter_(0, cycle, cycle.roll(-1))


class ShuffledAudio(DepthDataset):
    """A dataset that pairs every frame with the audio of another frame.

    Args:
        dataset: with random access; includes audio among its modalities.
        seed: of the permutation.
    """

    def __init__(self, dataset: SplitDataset, seed: int) -> None:
        records = list(dataset.records)
        super().__init__(records, replace(dataset.decoder, modalities=("depth",)))
        self.recordings = DepthDataset(records, replace(dataset.decoder, modalities=("audio",)))
        self.source = derangement(len(records), seed)
        self.bad_rows = dataset.bad_rows

    def __getitem__(self, index: int) -> Sample:
        """The frame's depth and name with another frame's audio."""
        return {**super().__getitem__(index), "audio": self.recordings[int(self.source[index])]["audio"]}

    def batch(self, indices: list[int], packed: bool = False) -> Sample:
        """Several frames as a batch, never packed."""
        batch: Sample = default_collate([self[index] for index in indices])
        return batch
