"""A teacher in training: frozen, not saved with the student, and without effect on its initial weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from echodepth.core.errors import CheckpointError
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.models.checkpoint import DepthModel
from echodepth.training import train as training
from echodepth.training.config import TrainConfig
from echodepth.training.distillation_task import DistillationTask
from tests.training.runs import assert_bit_equal, binaural, distil, last_weights, rgb, train


@pytest.mark.slow
def test_the_teacher_is_not_moved_by_a_run_nor_saved_with_the_student(
    v2_root: Path, have_run: Callable[[TrainConfig], None]
) -> None:
    have_run(rgb(v2_root))
    folder = Path("checkpoints/rgb/best")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    student = train(distil(v2_root, nb_epochs=2, ema_decay=0.9))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert type(student.network).__name__ == "BinauralAttentionDepthNet"
    checkpoint = torch.load("checkpoints/taught/epoch_0002.pth", weights_only=True)
    assert not any("teacher" in name for name in checkpoint["state_dict"])
    assert student(torch.randn(1, 2, 8000)).shape == (1, 1, 32, 32)
    assert student.run.teacher == "rgb"


def test_the_optimiser_never_sees_the_teacher(v2_root: Path, have_run: Callable[[TrainConfig], None]) -> None:
    have_run(rgb(v2_root))
    config = distil(v2_root)
    teacher = FrozenTeacher.load("rgb")
    task = DistillationTask(DepthModel(training.model_spec(config)), teacher, config)
    own = {id(p) for p in task.parameters()}
    assert not own & {id(p) for p in teacher.model.parameters()}


@pytest.mark.slow
def test_a_student_starts_from_the_same_weights_with_a_teacher_and_without(
    v2_root: Path, have_run: Callable[[TrainConfig], None]
) -> None:
    have_run(rgb(v2_root, base_channels=6))
    train(binaural(v2_root, learning_rate=0.0))
    train(distil(v2_root, learning_rate=0.0))
    alone, taught = last_weights("ears", 1), last_weights("taught", 1)
    learnt = [name for name in alone if "running" not in name and "num_batches" not in name]
    assert_bit_equal({name: alone[name] for name in learnt}, {name: taught[name] for name in learnt})


@pytest.mark.slow
def test_a_checkpoint_file_can_teach(v2_root: Path, have_run: Callable[[TrainConfig], None]) -> None:
    have_run(rgb(v2_root))
    train(distil(v2_root, experiment_name="by_file", teacher="checkpoints/rgb/epoch_0001.pth"))
    train(distil(v2_root, experiment_name="by_name", teacher="rgb"))
    assert_bit_equal(last_weights("by_file", 1), last_weights("by_name", 1))


def test_a_missing_teacher_is_an_error(v2_root: Path) -> None:
    with pytest.raises(CheckpointError, match="no model at nobody"):
        train(distil(v2_root, teacher="nobody"))
