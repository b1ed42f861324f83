"""The loaders: order from seed and epoch alone, every instance once in evaluation, augmentation in training only."""

import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.cache.prepared import AudioCacheFormat, write_prepared
from echodepth.data.config import DataConfig
from echodepth.data.datamodule import DepthDataModule
from echodepth.data.records import Modality
from echodepth.data.sample import Sample
from echodepth.data.samplers import StridedSampler
from tests.roots import write_rgbd_root, write_v2_root


def module(root: Path, modalities: tuple[Modality, ...] = ("depth",), **settings: Any) -> DepthDataModule:
    config = DataConfig(data_dir=root, image_size=16, max_depth=10.0)
    return DepthDataModule(config, modalities, **{"batch_size": 2, "num_workers": 0, **settings})


def place(data: DepthDataModule, world_size: int = 1, rank: int = 0, training: bool = True) -> None:
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=world_size, global_rank=rank, training=training, num_devices=world_size, accelerator=None
    )


def order(data: DepthDataModule, epoch: int) -> list[str]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return [name for batch in loader for name in batch["name"]]


def test_a_batch_is_a_sample_with_a_leading_axis_and_a_list_of_names(tmp_path: Path) -> None:
    data = module(write_v2_root(tmp_path), ("image", "audio", "depth"), batch_size=3)
    batch = next(iter(data.val_dataloader()))
    assert batch["name"] == ["Attic/2", "Attic/3", "Salle_Chevalier/2"]
    shapes = [tuple(batch[key].shape) for key in ("image", "audio", "depth", "valid")]
    assert shapes == [(3, 3, 16, 16), (3, 2, 2594), (3, 1, 16, 16), (3, 1, 16, 16)]


def test_the_training_order_is_a_function_of_seed_and_epoch(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, rows=6, splits=("train",))
    first = order(module(root, seed=1), 0)
    assert order(module(root, seed=1), 0) == first
    assert sorted(first) == sorted(sample["name"] for sample in module(root).train_set)
    others = [order(module(root, seed=1), 1), order(module(root, seed=2), 0)]
    assert first not in others
    assert others[0] != others[1]


def test_reading_batches_leaves_the_global_random_numbers_alone(tmp_path: Path) -> None:
    data = module(write_v2_root(tmp_path))
    state = torch.get_rng_state()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        list(loader)
    assert torch.equal(torch.get_rng_state(), state)


def test_evaluation_sees_every_instance_once_over_three_processes(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, rows=5, splits=("val", "test"))
    seen = []
    for rank in range(3):
        data = module(root)
        place(data, 3, rank)
        seen += [name for batch in data.val_dataloader() for name in batch["name"]]
        assert [name for batch in data.test_dataloader() for name in batch["name"]]
    assert sorted(seen) == sorted(sample["name"] for sample in module(root).val_set)


def test_training_is_shared_out_over_two_processes(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, rows=3, splits=("train",))
    halves = []
    for rank in range(2):
        data = module(root)
        place(data, 2, rank)
        halves.append(order(data, 4))
    assert [len(half) for half in halves] == [3 - 1, 3 - 1]  # of 2 + 1, the single one is dropped
    assert not {*halves[0]} & {*halves[1]}


def test_workers_are_as_many_as_there_are_processors_for_them_and_none_for_what_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    data = module(write_v2_root(tmp_path / "v2"), num_workers=None)
    for processors, neighbours, expected in ((2, 1, 2), (16, 1, 4), (16, 8, 2), (1, 4, 1)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=processors: set(range(n)), raising=False)
        assert data.train_set.default_workers(neighbours) == expected
    place(data, 2)
    assert [loader.num_workers for loader in (data.train_dataloader(), data.val_dataloader())] == [1, 1]
    write_prepared(data.config, "train", AudioCacheFormat())
    prepared = module(tmp_path / "v2", num_workers=None, prepared=(AudioCacheFormat(),))
    assert prepared.train_dataloader().num_workers == 0
    assert module(tmp_path / "v2", num_workers=3, prepared=(AudioCacheFormat(),)).train_dataloader().num_workers == 3


def test_no_process_stays_without_a_batch() -> None:
    assert [list(StridedSampler(5, 3, rank)) for rank in range(3)] == [[0, 3], [1, 4], [2]]
    assert [list(StridedSampler(2, 4, rank)) for rank in range(4)] == [[0], [1], [0], [1]]


@pytest.mark.parametrize(("batch_size", "sizes"), [(2, [2, 2, 2]), (3, [3, 3]), (5, [5]), (6, [6]), (1, [1] * 6)])
def test_a_last_batch_of_one_is_dropped_and_no_other(tmp_path: Path, batch_size: int, sizes: list[int]) -> None:
    data = module(write_v2_root(tmp_path, rows=3, splits=("train",)), batch_size=batch_size)
    assert [len(batch["name"]) for batch in data.train_dataloader()] == sizes


def test_the_only_instance_is_kept(tmp_path: Path) -> None:
    data = module(write_v2_root(tmp_path, ("Attic",), rows=1, splits=("train",)), batch_size=4)
    assert [len(batch["name"]) for batch in data.train_dataloader()] == [1]


def full_batch() -> Sample:
    depth = torch.rand(64, 1, 4, 4)
    return Sample(image=torch.rand(64, 3, 4, 4), audio=torch.randn(64, 2, 9), depth=depth, valid=depth > 0.1)


def changed(before: Tensor, after: Tensor) -> int:
    """How many samples of a batch differ."""
    return int((before != after).flatten(1).any(dim=1).sum())


def test_training_batches_alone_are_augmented(tmp_path: Path) -> None:
    data, batch = module(tmp_path, flip=True, color_jitter=0.3), full_batch()
    assert data.on_after_batch_transfer(batch, 0) is batch  # no trainer: nobody is training
    place(data, training=False)
    assert data.on_after_batch_transfer(batch, 0) is batch
    place(data, training=True)
    after = data.on_after_batch_transfer(batch, 0)
    assert 16 < changed(batch["depth"], after["depth"]) == changed(batch["audio"], after["audio"]) < 48
    assert changed(batch["image"], after["image"]) == 64


def test_each_augmentation_has_its_switch(tmp_path: Path) -> None:
    batch = full_batch()
    counts = {}
    for flip, jitter in ((False, 0.0), (True, 0.0), (False, 0.3)):
        data = module(tmp_path, flip=flip, color_jitter=jitter)
        place(data)
        after = data.on_after_batch_transfer(batch, 0)
        counts[flip, jitter] = (
            changed(batch["depth"], after["depth"]) > 0,
            changed(batch["image"], after["image"]) == 64,
        )
    assert counts == {(False, 0.0): (False, False), (True, 0.0): (True, False), (False, 0.3): (False, True)}


def test_without_an_image_there_is_nothing_to_colour(tmp_path: Path) -> None:
    data, batch = module(tmp_path, flip=False, color_jitter=0.3), Sample(audio=torch.randn(2, 2, 9))
    place(data)
    assert torch.equal(data.on_after_batch_transfer(batch, 0)["audio"], batch["audio"])


def test_the_global_seed_decides_the_augmentation(tmp_path: Path) -> None:
    data, batch = module(tmp_path, flip=True, color_jitter=0.3), full_batch()
    place(data)
    results = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        results.append(data.on_after_batch_transfer(batch, 0)["image"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


class Listener(lightning.LightningModule):
    """A model that only notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[str, list[tuple[str, ...]]] = {"train": [], "val": []}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.seen["train"].append(tuple(batch["name"]))
        loss: Tensor = self.weight * batch["depth"].mean()
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen["val"].append(tuple(batch["name"]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(data: DepthDataModule, epochs: int) -> Listener:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model = Listener()
    lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    ).fit(model, datamodule=data)
    return model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec")
def test_lightning_gives_each_epoch_its_own_order_and_repeats_it(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, rows=4)
    one, two = (fit(module(root, seed=5), 2).seen for _ in range(2))
    assert one == two
    epochs = one["train"][:4], one["train"][4:]
    assert epochs[0] != epochs[1]
    assert sorted(sum(epochs[0], ())) == sorted(sum(epochs[1], ()))
    assert one["val"][:4] == one["val"][4:]
    for epoch in (0, 1):
        assert order(module(root, seed=5), epoch) == list(sum(epochs[epoch], ()))


def test_workers_give_what_reading_alone_gives(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, rows=2)
    alone = list(module(root, ("image", "audio", "depth")).test_dataloader())
    data = module(root, ("image", "audio", "depth"), num_workers=2)
    for _ in range(2):
        for one, other in zip(alone, data.test_dataloader(), strict=True):
            assert one["name"] == other["name"]
            assert torch.equal(one["audio"], other["audio"])
            assert torch.equal(one["depth"], other["depth"])


def test_setup_opens_what_its_stage_needs_once(tmp_path: Path) -> None:
    data = module(write_v2_root(tmp_path, splits=("train", "val")))
    data.setup("fit")
    train, val = data.train_set, data.val_set
    data.setup("fit")
    data.setup("validate")
    assert (data.train_set, data.val_set) == (train, val)
    with pytest.raises(DataError, match=r"no test\.csv"):
        data.setup("test")


def test_rgbd_feeds_the_same_loaders(tmp_path: Path) -> None:
    config = DataConfig("rgbd", write_rgbd_root(tmp_path), image_size=16)
    data = DepthDataModule(config, ("image", "depth"), batch_size=7, num_workers=0)
    assert [len(batch["name"]) for batch in data.train_dataloader()] == [7, 7]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0: give at least 1"),
        ({"num_workers": -1}, "num_workers is -1"),
        ({"color_jitter": 1.5}, r"color_jitter is 1\.5"),
    ],
)
def test_senseless_settings_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        module(tmp_path, **settings)
