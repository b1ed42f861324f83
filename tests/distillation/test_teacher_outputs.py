"""The frozen teacher, pseudo-labels from its depth, and the shuffled-teacher control."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from echodepth.core.errors import ConfigError
from echodepth.data.sample import Sample
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.models.checkpoint import DepthModel, ModelSpec, save_model
from echodepth.training.distillation_task import _pseudo_labelled, _shuffled
from tests.distillation.predictions import prediction

RGB = ModelSpec("rgb", {"base_channels": 4, "output_size": 32}, {"image_size": 32})
EARS = ModelSpec("binaural_attention", {"base_channels": 4, "output_size": 32}, {"image_size": 32})


def test_a_teacher_takes_images() -> None:
    with pytest.raises(ConfigError, match="BinauralAttentionDepthNet takes audio, not images"):
        FrozenTeacher(DepthModel(EARS))


def test_a_teacher_is_frozen_and_belongs_to_no_module(tmp_path: Path) -> None:
    save_model(DepthModel(RGB), tmp_path / "best")
    teacher = FrozenTeacher.load(tmp_path / "best")
    before = {name: tensor.clone() for name, tensor in teacher.model.state_dict().items()}

    class Task(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student = DepthModel(EARS)
            self.teacher = teacher

    task = Task().train()
    predicted = teacher.predict(Sample(image=torch.rand(2, 3, 32, 32)))
    assert not predicted.depth.requires_grad
    assert not any(f.requires_grad for f in predicted.features.values())
    assert not teacher.model.training
    assert all(not p.requires_grad for p in teacher.model.parameters())
    assert all(name.startswith("student.") for name in task.state_dict())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.model.state_dict().items())


def test_pseudo_labels_fill_missing_ground_truth_and_keep_the_rest() -> None:
    depth, valid = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[True, False]]]])
    student, teacher = prediction(torch.full((1, 1, 1, 2), 3.0)), prediction(torch.tensor([[[[9.0, 5.0]]]]))
    batch = Sample(depth=depth, valid=valid, name="one")
    labelled = _pseudo_labelled(batch, student, teacher)
    assert labelled["depth"].flatten().tolist() == [2.0, 5.0]
    assert labelled["valid"].all()
    assert labelled["name"] == "one"
    # The distillation losses still need to know where ground truth exists.
    assert batch["valid"].flatten().tolist() == [True, False]


def test_shuffling_moves_image_name_and_mirroring_together() -> None:
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 3, 2, 2)
    mirrored = torch.tensor([True, False, False])
    batch: Any = {"image": images, "name": ["a", "b", "c"], "mirrored": mirrored, "depth": images[:, :1]}
    shuffled: Any = _shuffled(batch)
    assert shuffled["image"][:, 0, 0, 0].tolist() == [2, 0, 1]
    assert shuffled["name"] == ["c", "a", "b"]
    assert shuffled["mirrored"].tolist() == [False, True, False]
    assert torch.equal(shuffled["depth"], batch["depth"])
