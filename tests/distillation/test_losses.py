"""Distillation: the terms by hand, the teacher that never moves, the student that never sees."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from echodepth.core.errors import ConfigError
from echodepth.data.sample import Sample
from echodepth.distillation.losses.base import DistillationLoss, Prediction, WeightedLosses
from echodepth.distillation.losses.feature_matching import (
    MARGIN,
    AttentionTransfer,
    FeatureMatching,
    _UnitDistance,
    feature_loss,
)
from echodepth.distillation.losses.learned_alignment import Alignment
from echodepth.distillation.losses.relational import ContrastiveLoss, SimilarityPreserving
from echodepth.distillation.losses.response import Ranking, Response
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.models.checkpoint import DepthModel, ModelSpec, save_model
from echodepth.training.distillation_task import DistillationTask, schedule
from echodepth.training.losses import l1_loss, silog_loss

RGB = ModelSpec("rgb", {"base_channels": 4, "output_size": 32}, {"image_size": 32})
EARS = ModelSpec("binaural_attention", {"base_channels": 4, "output_size": 32}, {"image_size": 32})


def view(depth: torch.Tensor, **features: torch.Tensor) -> Prediction:
    return Prediction(depth, features)


def everywhere(depth: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(depth, dtype=torch.bool)


def compared(term: DistillationLoss, student: Prediction, teacher: Prediction) -> torch.Tensor:
    scalar: torch.Tensor = term(student, teacher, everywhere(student.depth))
    return scalar


FLAT = torch.ones(1, 1, 8, 8)


# ---- the answer ----


def test_response_covers_every_pixel() -> None:
    student, teacher = torch.full((1, 1, 4, 4), 3.0), torch.full((1, 1, 4, 4), 2.0)
    teacher[0, 0, 0, 0] = 7.0
    assert compared(Response(l1_loss), view(student), view(teacher)).item() == pytest.approx((15 * 1 + 4) / 16)
    assert compared(Response(silog_loss), view(teacher), view(teacher)).item() < 1e-2


def test_response_where_nothing_was_measured_contradicts_no_measurement() -> None:
    student = torch.full((1, 1, 2, 2), 3.0, requires_grad=True)
    valid = torch.tensor([[True, True], [True, False]]).reshape(1, 1, 2, 2)
    loss = Response(l1_loss, "unmeasured")(view(student), view(torch.full((1, 1, 2, 2), 1.5)), valid)
    loss.backward()
    assert loss.item() == pytest.approx(1.5)
    assert student.grad is not None
    assert torch.equal(student.grad != 0, ~valid)


def test_response_takes_a_teacher_of_another_size() -> None:
    student, teacher = torch.full((1, 1, 8, 8), 3.0), torch.full((1, 1, 4, 4), 2.0)
    assert compared(Response(l1_loss), view(student), view(teacher)).item() == pytest.approx(1.0)


def test_ranking_asks_for_the_order_and_not_for_the_metres() -> None:
    ramp = torch.linspace(1, 4, 64).reshape(1, 1, 8, 8)
    right, wrong = (compared(Ranking(), view(depth), view(ramp)) for depth in (10 * ramp, ramp.flip(3).flip(2)))
    assert right < 0.02 < wrong
    assert compared(Ranking(), view(FLAT), view(ramp)).item() == pytest.approx(math.log(2) / 10, rel=1e-4)
    assert compared(Ranking(), view(ramp), view(FLAT)).item() == 0


def test_ranking_pulls_a_pair_apart() -> None:
    student = torch.full((1, 1, 1, 2), 2.0, requires_grad=True)
    compared(Ranking(), view(student), view(torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2))).backward()
    assert student.grad is not None
    nearer, farther = student.grad.flatten().tolist()
    assert nearer > 0 > farther


# ---- the features ----


def test_feature_loss_by_hand() -> None:
    along_x, along_y = torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1), torch.tensor([0.0, 0.5]).reshape(1, 2, 1, 1)
    assert feature_loss(along_x, along_x * 10).item() == pytest.approx(0.0, abs=1e-6)
    assert feature_loss(along_x, along_y).item() == pytest.approx(2.0)
    assert feature_loss(along_x, -along_x).item() == pytest.approx(4.0)
    assert feature_loss(along_x, along_y, "margin").item() == pytest.approx(2.0 - MARGIN)
    nearly = torch.tensor([1.0, 0.5]).reshape(1, 2, 1, 1)
    assert feature_loss(along_x, nearly, "margin").item() == 0
    assert feature_loss(along_x, along_y, "squared").item() == pytest.approx((9 + 0.25) / 2)


def test_the_distance_of_unit_vectors_is_that_of_the_normalised_maps_and_so_is_its_gradient() -> None:
    own, seen = torch.randn(2, 5, 4, 4, dtype=torch.float64), torch.randn(2, 5, 4, 4, dtype=torch.float64)
    own[0, :, 0, 0], seen[1, :, 1, 1] = 0.0, 0.0  # after a ReLU, all channels of a place may be 0
    gradients = []
    for distance in (
        lambda a, b: (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean(),
        feature_loss,
    ):
        leaf = own.clone().requires_grad_()
        loss = distance(leaf.relu(), seen)
        loss.backward()
        assert leaf.grad is not None
        gradients.append((loss.detach().double(), leaf.grad))
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


def test_the_way_back_of_the_unit_vectors_distance_is_its_derivative() -> None:
    own, seen = torch.randn(2, 3, 2, 2, dtype=torch.float64), torch.randn(2, 3, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(_UnitDistance.apply, (own.requires_grad_(), seen))
    nothing = torch.zeros(1, 3, 1, 1, requires_grad=True)
    feature_loss(nothing, seen[:1, :, :1, :1]).backward()
    assert nothing.grad is not None
    assert not nothing.grad.any()


def test_feature_matching_averages_levels_and_resizes_the_teacher() -> None:
    channels = {"x5": 2, "d1": 3}
    matching = FeatureMatching(("x5", "d1"), channels, channels)
    student = view(FLAT, x5=torch.ones(1, 2, 4, 4), d1=torch.ones(1, 3, 8, 8))
    teacher = view(FLAT, x5=-torch.ones(1, 2, 4, 4), d1=torch.ones(1, 3, 16, 16))
    assert compared(matching, student, teacher).item() == pytest.approx((4.0 + 0.0) / 2)
    assert not list(matching.parameters())


def test_other_widths_are_bridged_by_a_projection_that_learns() -> None:
    matching = FeatureMatching(("x5",), {"x5": 2}, {"x5": 6})
    student, teacher = view(FLAT, x5=torch.randn(2, 2, 4, 4)), view(FLAT, x5=torch.randn(2, 6, 4, 4))
    compared(matching, student, teacher).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in matching.parameters())


def test_attention_transfer_compares_where_and_not_what() -> None:
    term = AttentionTransfer(("d1",))
    lit = torch.zeros(1, 4, 2, 2)
    lit[0, 0, 0, 0] = 5.0
    same_place, other_place = torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)
    same_place[0, 3, 0, 0] = -0.1
    other_place[0, 0, 1, 1] = 5.0
    assert compared(term, view(FLAT, d1=lit), view(FLAT, d1=same_place)).item() == pytest.approx(0, abs=1e-6)
    assert compared(term, view(FLAT, d1=lit), view(FLAT, d1=other_place)).item() == pytest.approx(2.0)


# ---- frames among each other ----


def test_affinity_needs_no_common_grid() -> None:
    term = SimilarityPreserving(("x5",))
    pattern = torch.tensor([1.0, 1.0, -1.0, -1.0])
    student = view(FLAT, x5=pattern.reshape(4, 1, 1, 1).expand(4, 3, 2, 5))
    alike = view(FLAT, x5=(7 * pattern).reshape(4, 1, 1, 1).expand(4, 6, 4, 4))
    crossed = view(FLAT, x5=torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(4, 1, 1, 1).expand(4, 6, 4, 4))
    assert compared(term, student, alike).item() == pytest.approx(0, abs=1e-6)
    # Each row holds four entries of +-1/2, and half of all 16 entries have the other sign.
    assert compared(term, student, crossed).item() == pytest.approx(8 * 1 / 16)


def test_contrast_is_learnt_and_is_blind_for_a_batch_of_one() -> None:
    term = ContrastiveLoss("x5", {"x5": 8}, {"x5": 8}, width=8)
    codes = torch.eye(8).reshape(8, 8, 1, 1)
    student, teacher = view(FLAT, x5=codes), view(FLAT, x5=codes.flip(1))
    optimiser = torch.optim.Adam(term.parameters(), 0.02)
    start = compared(term, student, teacher).item()
    for _ in range(100):
        optimiser.zero_grad()
        loss = compared(term, student, teacher)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1 < start
    assert compared(term, view(FLAT, x5=codes[:1]), view(FLAT, x5=codes[:1])).item() == pytest.approx(0, abs=1e-6)


# ---- learned alignment ----


def test_alignment_finds_an_image_that_lies_transposed_in_the_sound() -> None:
    """What is a row for the eye is a column for the ear: no comparison position by position can find that."""
    sent = torch.randn(32, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    student, teacher = view(FLAT, x3=sent.transpose(2, 3).flip(2)), view(FLAT, x3=sent)
    term = Alignment(("x3",), {"x3": 4}, {"x3": 4}, {"x3": (6, 6)})
    optimiser = torch.optim.Adam(term.parameters(), 0.01)
    for _ in range(400):
        optimiser.zero_grad()
        loss = compared(term, student, teacher)
        loss.backward()
        optimiser.step()
    pixelwise = compared(FeatureMatching(("x3",), {"x3": 4}, {"x3": 4}), student, teacher)
    assert loss.item() < 0.5 * pixelwise.item()


def test_alignment_takes_any_grids_and_reaches_the_student() -> None:
    term = Alignment(("x4", "x5"), {"x4": 6, "x5": 8}, {"x4": 3, "x5": 5}, {"x4": (4, 7), "x5": (2, 3)})
    heard = {"x4": torch.randn(2, 6, 9, 5, requires_grad=True), "x5": torch.randn(2, 8, 3, 3, requires_grad=True)}
    student = Prediction(FLAT, heard)
    teacher = view(FLAT, x4=torch.randn(2, 3, 4, 7), x5=torch.randn(2, 5, 2, 3))
    compared(term, student, teacher).backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in heard.values())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in term.parameters())


def test_weights_scale_the_terms() -> None:
    distillation = WeightedLosses({"kd": Response(l1_loss)}, {"kd": 0.25})
    depth = torch.full((1, 1, 2, 2), 3.0)
    assert distillation(view(depth), view(torch.ones(1, 1, 2, 2)), everywhere(depth))["kd"].item() == 0.5


def test_schedules_by_hand() -> None:
    assert [schedule("constant", p) for p in (0.0, 0.5, 1.0)] == [1, 1, 1]
    assert [schedule("warmup", p) for p in (0.0, 0.1, 0.2, 1.0)] == pytest.approx([0, 0.5, 1, 1])
    assert [schedule("decay", p) for p in (0.0, 0.25, 1.0)] == [1, 0.75, 0]


# ---- the teacher ----


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
    seen = teacher.predict(Sample(image=torch.rand(2, 3, 32, 32)))
    assert not seen.depth.requires_grad
    assert not any(f.requires_grad for f in seen.features.values())
    assert not teacher.model.training
    assert all(not p.requires_grad for p in teacher.model.parameters())
    assert all(name.startswith("student.") for name in task.state_dict())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.model.state_dict().items())


def test_where_nothing_was_measured_the_teacher_fills_in_and_measurements_stay() -> None:
    depth, valid = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[True, False]]]])
    student, teacher = Prediction(torch.full((1, 1, 1, 2), 3.0), {}), Prediction(torch.tensor([[[[9.0, 5.0]]]]), {})
    batch = Sample(depth=depth, valid=valid, name="one")
    filled = DistillationTask._filled(batch, student, teacher)
    assert filled["depth"].flatten().tolist() == [2.0, 5.0]
    assert filled["valid"].all()
    assert filled["name"] == "one"
    # The batch itself is what the other terms are told of measurements.
    assert batch["valid"].flatten().tolist() == [True, False]
