"""A training step never waits for its device: what it needs to decide is known on the CPU.

The device is torch's ``meta`` device, which has shapes and no values: reading a value from it is an error, and every
copy to it must be one that a GPU would make without waiting.
"""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from echodepth.data.datamodule import DepthDataModule
from echodepth.losses.base import LossInputs
from echodepth.models.checkpoint import DepthModel
from echodepth.training.compose import train_config
from echodepth.training.depth_task import DepthTask
from echodepth.training.epoch_means import EpochMeans
from echodepth.training.train import model_spec

SIDE, FRAMES = 32, 3
SMALL: dict[str, Any] = {"image_size": SIDE, "base_channels": 2, "batch_size": FRAMES}


class Waits(TorchDispatchMode):
    """Lists the operations for which a CPU waits for its GPU: values that are read, and copies that block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, source = str(func), args[0] if args and isinstance(args[0], Tensor) else None
        crosses = name.startswith("aten._to_copy") and torch.device(kwargs.get("device") or "cpu").type == "meta"
        if crosses and source is not None and source.device.type == "cpu" and not kwargs.get("non_blocking"):
            self.found.append(f"{name} of {list(source.shape)}")
        if name.startswith(("aten._local_scalar_dense", "aten.is_nonzero", "aten.nonzero", "aten.masked_select")):
            self.found.append(name)
        return func(*args, **kwargs)


def packed_batch() -> Any:
    return {
        "name": ["a", "b", "c"],
        "image": torch.zeros(FRAMES, 3, SIDE, SIDE, dtype=torch.uint8),
        "audio": torch.rand(FRAMES, 2, 900),
        "depth": torch.full((FRAMES, 1, SIDE, SIDE), 1500, dtype=torch.int16),
    }


def step(kind: str, monkeypatch: pytest.MonkeyPatch, batch: Any, **flags: Any) -> tuple[Any, list[str], DepthTask]:
    """One training step on the meta device, as the Trainer takes it: its loss, what it waited for, and the task."""
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **options: nullcontext())  # meta has none
    config = train_config(kind, **SMALL, **flags)
    data, task = DepthDataModule(config.data, color_jitter=0.2), DepthTask(DepthModel(model_spec(config)), config)
    task.to("meta").train()
    trainer: Any = SimpleNamespace(
        training=True, world_size=1, current_epoch=0, precision="32-true", is_last_batch=False, strategy=None
    )
    data.trainer, task._trainer = trainer, trainer
    waits = Waits()
    for _ in range(2):  # what is sent once, in the first step, is not sent again
        waits.found.clear()
        with waits:
            sent = data.on_before_batch_transfer(dict(batch), 0)  # type: ignore[arg-type]
            of_cpu = len(waits.found)
            moved: Any = {
                key: value.to("meta", non_blocking=True) if isinstance(value, Tensor) else value
                for key, value in sent.items()
            }
            loss = task.training_step(data.on_after_batch_transfer(moved, 0), 0)
    return loss, waits.found[of_cpu:], task


@pytest.mark.parametrize("flags", [{"kind": "rgb"}, {"kind": "binaural", "spec_masks": 2, "attention_levels": (5,)}])
def test_a_step_reads_nothing_from_its_device(monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any]) -> None:
    loss, waits, _ = step(flags.pop("kind"), monkeypatch, packed_batch(), **flags)
    assert waits == []
    assert loss.device.type == "meta"
    assert loss.requires_grad


def test_a_batch_without_a_valid_pixel_is_skipped_without_asking_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = packed_batch()
    batch["depth"].zero_()
    loss, waits, task = step("rgb", monkeypatch, batch)
    assert (loss, waits, task.skipped_batches) == (None, [], 2)
    batch["depth"][2, 0, 5, 5] = -1  # 65,535 units
    loss, _, task = step("rgb", monkeypatch, batch)
    assert (loss is not None, task.skipped_batches) == (True, 0)


def test_files_are_asked_for_valid_pixels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = packed_batch()
    batch |= {"image": torch.rand(FRAMES, 3, SIDE, SIDE), "depth": torch.ones(FRAMES, 1, SIDE, SIDE)}
    valid = torch.zeros(FRAMES, 1, SIDE, SIDE, dtype=torch.bool)
    loss, waits, task = step("rgb", monkeypatch, batch | {"valid": valid})
    assert (loss, waits, task.skipped_batches) == (None, [], 2)
    loss, waits, _ = step("rgb", monkeypatch, batch | {"valid": ~valid})
    assert loss is not None
    assert waits == []


def test_the_check_sees_a_step_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the tests above would prove nothing."""

    def asks(task: DepthTask, inputs: LossInputs, progress: float) -> dict[str, Tensor]:
        weights = torch.ones(2).to(inputs.depth.device)
        return {"loss": inputs.depth.sum() * weights.sum()}

    monkeypatch.setattr("echodepth.losses.total.TotalLoss.__call__", asks)
    assert step("rgb", monkeypatch, packed_batch())[1] == ["aten._to_copy.default of [2]"]


def test_means_weigh_every_step_by_its_frames() -> None:
    means = EpochMeans()
    for value, frames in ((1.0, 4), (4.0, 2)):
        means.add({"loss": torch.tensor(value), "smooth": torch.tensor(10 * value)}, frames)
    means.add({"loss": torch.tensor(5.0)}, 2)  # a term may be inactive
    two_processes = means.take(lambda sums: 2 * sums)
    assert {name: float(mean) for name, mean in two_processes.items()} == {"loss": 22 / 8, "smooth": 120 / 6 / 1}
    assert means.take(lambda sums: sums) == {}
