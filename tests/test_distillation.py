"""Distillation: the terms by hand, the teacher that never moves, the student that never sees."""

from pathlib import Path

import pytest
import torch
from torch import nn

from echodepth.distillation.features import FeatureMatching, feature_loss
from echodepth.distillation.response import Response
from echodepth.distillation.teacher import FrozenTeacher
from echodepth.distillation.terms import Distillation, View
from echodepth.errors import ConfigError
from echodepth.models.store import DepthModel, ModelSpec, save_model
from echodepth.training.losses import l1_loss, silog_loss

RGB = ModelSpec("rgb", {"base_channels": 4, "output_size": 32}, {"image_size": 32})
EARS = ModelSpec("binaural_attention", {"base_channels": 4, "output_size": 32}, {"image_size": 32})


def view(depth: torch.Tensor, **features: torch.Tensor) -> View:
    return View(depth, features)


def test_response_covers_every_pixel() -> None:
    student, teacher = torch.full((1, 1, 4, 4), 3.0), torch.full((1, 1, 4, 4), 2.0)
    teacher[0, 0, 0, 0] = 7.0
    assert Response(l1_loss)(view(student), view(teacher)).item() == pytest.approx((15 * 1 + 4) / 16)
    assert Response(silog_loss)(view(teacher), view(teacher)).item() < 1e-2


def test_response_takes_a_teacher_of_another_size() -> None:
    student, teacher = torch.full((1, 1, 8, 8), 3.0), torch.full((1, 1, 4, 4), 2.0)
    assert Response(l1_loss)(view(student), view(teacher)).item() == pytest.approx(1.0)


def test_feature_loss_by_hand() -> None:
    along_x, along_y = torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1), torch.tensor([0.0, 0.5]).reshape(1, 2, 1, 1)
    assert feature_loss(along_x, along_x * 10).item() == pytest.approx(0.0)
    assert feature_loss(along_x, along_y).item() == pytest.approx(2.0)
    assert feature_loss(along_x, -along_x).item() == pytest.approx(4.0)


def test_feature_matching_averages_levels_and_resizes_the_teacher() -> None:
    channels = {"x5": 2, "d1": 3}
    matching = FeatureMatching(("x5", "d1"), channels, channels)
    student = view(torch.ones(1, 1, 8, 8), x5=torch.ones(1, 2, 4, 4), d1=torch.ones(1, 3, 8, 8))
    teacher = view(torch.ones(1, 1, 8, 8), x5=-torch.ones(1, 2, 4, 4), d1=torch.ones(1, 3, 16, 16))
    assert matching(student, teacher).item() == pytest.approx((4.0 + 0.0) / 2)
    assert not list(matching.parameters())


def test_other_widths_are_bridged_by_a_projection_that_learns() -> None:
    matching = FeatureMatching(("x5",), {"x5": 2}, {"x5": 6})
    student = view(torch.ones(1, 1, 8, 8), x5=torch.randn(2, 2, 4, 4))
    teacher = view(torch.ones(1, 1, 8, 8), x5=torch.randn(2, 6, 4, 4))
    matching(student, teacher).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in matching.parameters())


def test_weights_scale_the_terms() -> None:
    distillation = Distillation({"kd": Response(l1_loss)}, {"kd": 0.25})
    assert distillation(view(torch.full((1, 1, 2, 2), 3.0)), view(torch.ones(1, 1, 2, 2)))["kd"].item() == 0.5


def test_a_teacher_must_see() -> None:
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
    seen = teacher.look(torch.rand(2, 3, 32, 32))
    assert not seen.depth.requires_grad
    assert not any(f.requires_grad for f in seen.features.values())
    assert not teacher.model.training
    assert all(not p.requires_grad for p in teacher.model.parameters())
    assert all(name.startswith("student.") for name in task.state_dict())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.model.state_dict().items())
