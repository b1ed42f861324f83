"""Shards of a tiny set: how tests name, open and list them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from echodepth.data.config import DataConfig, data_config
from echodepth.data.datamodule import DepthDataModule
from echodepth.data.opening import open_split
from echodepth.data.records import Modality, Split
from echodepth.data.streaming.dataset import ShardedDataset

SHORT: dict[str, Any] = {"max_depth": 10.0, "workers": 1}
SMALL: dict[str, Any] = {"shard_mb": 1}
"""Five of the samples below to a shard."""


def settings(place: Path | str, **flags: Any) -> DataConfig:
    return data_config(**{"dataset": "batvisionv2", "image_size": 16, "max_depth": 10.0, **flags}, data_dir=place)


def as_file(
    place: Path | str, split: Split = "train", modalities: tuple[Modality, ...] = ("depth",), **flags: Any
) -> ShardedDataset:
    dataset = open_split(settings(place, **flags), split, modalities)
    assert isinstance(dataset, ShardedDataset)
    return dataset


def names(place: Path | str, split: Split = "train", **flags: Any) -> list[str]:
    return [sample["name"] for sample in open_split(settings(place, **flags), split, ("depth",))]


def module(place: Path | str, rank: int = 0, world_size: int = 1, **flags: Any) -> DepthDataModule:
    data = DepthDataModule(settings(place), ("depth",), **{"batch_size": 3, "num_workers": 0, **flags})
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=world_size, global_rank=rank, training=True, num_devices=world_size, accelerator=None
    )
    return data


def order(data: DepthDataModule, epoch: int | None = None) -> list[str]:
    loader = data.train_dataloader()
    if epoch is not None:
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    batches = [batch["name"] for batch in loader]
    assert len(batches) == len(loader)
    return [name for batch in batches for name in batch]
