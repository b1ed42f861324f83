"""Bad steps: each is named with its batch and files, and stops the run or is left out; ordinary ones are let alone."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from echodepth.core.errors import CheckpointError, ConfigError, DataError
from echodepth.data.dataset import DepthDataset
from echodepth.data.finite import not_finite, without_values
from echodepth.models.checkpoint import load_depth_model
from echodepth.training.depth_task import DepthTask
from echodepth.training.step_guard import MEMORY, StepGuard
from tests.tiny import save_tiny_rgb
from tests.training.runs import curve, last_weights, rgb, train


def steps(guard: StepGuard, loss: float, gradient: float, count: int = 1, step: int = 1) -> list[bool]:
    """Whether steps with this loss and gradient norm are allowed."""
    network, allowed = nn.Linear(1, 1, bias=False), []
    for number in range(count):
        network.weight.grad = torch.full((1, 1), gradient)
        guard.add(torch.tensor(loss), {"name": [f"frame_{step + number}"]})  # type: ignore[typeddict-item]
        allowed.append(guard.allows(network, 1, step + number, step + number))
    return allowed


@pytest.mark.parametrize(
    ("loss", "gradient", "what"),
    [
        (float("nan"), 1.0, "a loss of nan"),
        (float("inf"), 1.0, "a loss of inf"),
        (1.0, float("nan"), "a gradient norm of nan"),
        (3e6, 1.0, "a loss of 3e[+]06, 1.5e[+]06 times the usual 2"),
        (2.0, 1001.0, "a gradient norm of 1e[+]03, 1e[+]03 times the usual 1"),
    ],
)
def test_a_bad_step_is_named_and_stops_or_is_skipped(
    loss: float, gradient: float, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A spike of 1e6 took the RMSE from 5 to 24 m, with exit status 0."""
    guard = StepGuard("stop", 1000)
    assert all(steps(guard, 2.0, 1.0, count=MEMORY))
    with pytest.raises(ConfigError, match=rf"epoch 1, step 77: {what}.* in batch 77, of frame_77; .*--on_nan skip"):
        steps(guard, loss, gradient, step=77)
    guard = StepGuard("skip", 1000)
    steps(guard, 2.0, 1.0, count=MEMORY)
    with caplog.at_level(logging.WARNING):
        assert steps(guard, loss, gradient, step=77) == [False]
    assert "in batch 77, of frame_77: skipped" in caplog.text
    assert steps(guard, 2.0, 1.0) == [True], "what is usual does not change by a step that was skipped"


def test_what_is_no_spike() -> None:
    guard = StepGuard("stop", 1000)
    assert all(steps(guard, 1e9, 1e9, 1) + steps(guard, 1.0, 1.0, 3)), "before any steps are usual"
    guard = StepGuard("stop", 1000)
    assert all(steps(guard, 2.0, 1.0, MEMORY) + steps(guard, 1999.0, 999.0)), "just below"
    assert all(steps(StepGuard("stop", 0), 2.0, 1.0, MEMORY) + steps(StepGuard("stop", 0), 1e12, 1e12)), "switched off"
    guard = StepGuard("stop", 1000)
    assert all(steps(guard, 0.0, 0.0, MEMORY) + steps(guard, 5.0, 5.0)), "after batches that teach nothing"
    scaled = StepGuard("stop", 1000, scales_gradients=True)
    assert steps(scaled, float("inf"), float("inf")) == [True], "mixed precision tries a scale"


def test_a_resumed_run_knows_what_is_usual() -> None:
    guard, resumed = StepGuard("stop", 1000), StepGuard("stop", 1000)
    steps(guard, 2.0, 1.0, MEMORY)
    resumed.restore(guard.state())
    with pytest.raises(ConfigError, match="times the usual 2"):
        steps(resumed, 1e7, 1.0)


def bad_step(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Multiply the loss of the second step."""
    losses = DepthTask.losses

    def spoilt(self: DepthTask, prepared: Tensor, batch: Any) -> dict[str, Tensor]:
        found = losses(self, prepared, batch)
        return {**found, "loss": found["loss"] * factor} if self.trainer.global_step == 1 else found

    monkeypatch.setattr(DepthTask, "losses", spoilt)


def test_a_nan_loss_names_files_and_is_left_out(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_step(monkeypatch, float("nan"))
    with pytest.raises(ConfigError, match=r"epoch 1, step 2: a loss of nan in batch 2, of .*train\.csv.*\.npy"):
        train(rgb(v2_root))
    train(rgb(v2_root, experiment_name="skips", on_nan="skip"))
    (row,) = curve("skips")
    assert float(row["train/skipped_batches"]) == 1
    assert float(row["train/loss"]) < 100, "a step that is left out is not in the mean"
    assert all(torch.isfinite(tensor).all() for tensor in last_weights("skips", 1).values())


def test_a_skipped_step_moves_no_weight(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a gradient of zero, AdamW's momentum and weight decay would."""
    seen: list[Tensor] = []
    ended = DepthTask.on_train_batch_start

    def noted(self: DepthTask, *arguments: Any) -> Any:
        seen.append(torch.cat([each.detach().flatten() for each in self.parameters()]))
        return ended(self, *arguments)

    bad_step(monkeypatch, float("nan"))
    monkeypatch.setattr(DepthTask, "on_train_batch_start", noted)
    train(rgb(v2_root, on_nan="skip"))
    assert len(seen) == 3
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])


def test_a_nan_sample_is_named_by_its_file(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was blamed on the learning rate; and batch norm keeps it even if the step is left out."""
    load = DepthDataset.__getitem__

    def spoilt(self: DepthDataset, index: int) -> Any:
        sample = load(self, index)
        if self.records[index].name == self.records[0].name and self.records[0].source.endswith(where):
            sample["image"][0, 3, 3] = float("nan")
        return sample

    monkeypatch.setattr(DepthDataset, "__getitem__", spoilt)
    where = "train.csv, line 2"
    with pytest.raises(
        DataError, match=r"values that are not finite in image of .*train\.csv, line 2: .*camera"
    ) as bad:
        train(rgb(v2_root))
    assert "learning_rate" not in str(bad.value)
    train(rgb(v2_root, experiment_name="skips", on_nan="skip"))
    assert float(curve("skips")[0]["train/skipped_batches"]) == 1
    assert all(torch.isfinite(tensor).all() for tensor in last_weights("skips", 1).values())
    where = "val.csv, line 2"
    with pytest.raises(DataError, match=r"not finite in image of .*val\.csv, line 2"):
        train(rgb(v2_root, experiment_name="validated", on_nan="skip"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_values_that_are_not_finite_are_found_by_frame(dtype: torch.dtype) -> None:
    audio = torch.zeros(3, 2, 40, dtype=dtype)
    batch: Any = {"name": ["a", "b", "c"], "audio": audio, "depth": torch.full((3, 1, 2, 2), 65535, dtype=torch.int32)}
    assert not_finite(batch) == {}
    audio[1, 0, 5], audio[2, 1, 7] = float("inf"), float("-inf")
    assert not_finite(batch) == {"audio": ["b", "c"]}
    mended: Any = without_values(batch, {"audio": ["b", "c"]})
    assert not mended["audio"].any()
    assert not mended["depth"].any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_of_weights_that_are_not_finite_is_refused(v2_root: Path, value: float) -> None:
    """Its predictions were written as "nan m", with exit status 0."""
    model = save_tiny_rgb(Path("sick"), v2_root)
    with torch.no_grad():
        model.network.get_parameter(name := next(iter(dict(model.network.named_parameters())))).view(-1)[3] = value
    from echodepth.models.checkpoint import save_model

    save_model(model, Path("sick/best"))
    with pytest.raises(CheckpointError, match=rf"holds weights that are not finite \({name}\): its training diverged"):
        load_depth_model("sick")
