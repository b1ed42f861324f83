"""Losses on the teacher's depth, response and ranking, by hand and by gradient."""

import math
from typing import Any

import pytest
import torch

from echodepth.distillation.losses.ranking import RankingLoss
from echodepth.distillation.losses.response import ResponseLoss
from echodepth.losses.reconstruction import l1_loss, silog_loss
from echodepth.models.layers import Prediction
from tests.distillation.predictions import FLAT, compared, prediction


def test_response_covers_every_pixel() -> None:
    student, teacher = torch.full((1, 1, 4, 4), 3.0), torch.full((1, 1, 4, 4), 2.0)
    teacher[0, 0, 0, 0] = 7.0
    assert compared(ResponseLoss(l1_loss), prediction(student), prediction(teacher)).item() == pytest.approx(
        (15 * 1 + 4) / 16
    )
    assert compared(ResponseLoss(silog_loss), prediction(teacher), prediction(teacher)).item() < 1e-2


def test_response_at_unmeasured_pixels_gives_measured_pixels_no_gradient() -> None:
    student = torch.full((1, 1, 2, 2), 3.0, requires_grad=True)
    valid = torch.tensor([[True, True], [True, False]]).reshape(1, 1, 2, 2)
    loss = ResponseLoss(l1_loss, "unmeasured")(prediction(student), prediction(torch.full((1, 1, 2, 2), 1.5)), valid)
    loss.backward()
    assert loss.item() == pytest.approx(1.5)
    assert student.grad is not None
    assert torch.equal(student.grad != 0, ~valid)


def test_response_resizes_a_teacher_of_another_size() -> None:
    student, teacher = torch.full((1, 1, 8, 8), 3.0), torch.full((1, 1, 4, 4), 2.0)
    assert compared(ResponseLoss(l1_loss), prediction(student), prediction(teacher)).item() == pytest.approx(1.0)


def test_ranking_depends_on_the_depth_order_alone() -> None:
    ramp = torch.linspace(1, 4, 64).reshape(1, 1, 8, 8)
    right, wrong = (
        compared(RankingLoss(), prediction(depth), prediction(ramp)) for depth in (10 * ramp, ramp.flip(3).flip(2))
    )
    assert right < 0.02 < wrong
    assert compared(RankingLoss(), prediction(FLAT), prediction(ramp)).item() == pytest.approx(
        math.log(2) / 10, rel=1e-4
    )
    assert compared(RankingLoss(), prediction(ramp), prediction(FLAT)).item() == 0


def test_the_gradient_of_ranking_separates_a_pair() -> None:
    student = torch.full((1, 1, 1, 2), 2.0, requires_grad=True)
    compared(RankingLoss(), prediction(student), prediction(torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2))).backward()
    assert student.grad is not None
    nearer, farther = student.grad.flatten().tolist()
    assert nearer > 0 > farther


def test_a_pair_is_ranked_if_the_teachers_depths_differ_by_a_tenth() -> None:
    def loss(ratio: float, **settings: Any) -> float:
        teacher = torch.tensor([1.0, ratio]).reshape(1, 1, 1, 2)
        return compared(RankingLoss(**settings), prediction(FLAT[..., :1, :2]), prediction(teacher)).item()

    assert loss(1.09) == 0
    assert loss(1 / 1.09) == 0
    assert loss(1.11) == loss(1 / 1.11) == pytest.approx(math.log(2) / 10, rel=1e-4)
    assert loss(1.5, min_ratio=2.0) == 0
    assert loss(1.5, sharpness=1.0) == pytest.approx(math.log(2), rel=1e-4)


def test_ranking_by_hand() -> None:
    """The softplus of the student's log ratio in the wrong direction, mean over the pairs that count."""
    student = torch.tensor([2.0, 2.2, 3.0, 1e-9]).reshape(1, 1, 2, 2)
    teacher = torch.tensor([1.0, 0.5, 1.05, 2.0]).reshape(1, 1, 2, 2)
    torch.manual_seed(4)
    found = compared(RankingLoss(), prediction(student), prediction(teacher)).item()
    torch.manual_seed(4)
    pairs = torch.randint(4, (2, 1024)).T.tolist()
    values = []
    for first, second in pairs:
        s, t = ([max(x, 1e-3) for x in depth.flatten().tolist()] for depth in (student, teacher))
        ratio = math.log(t[first] / t[second])
        if abs(ratio) > math.log(1.1):
            wrong = -10 * math.copysign(1, ratio) * math.log(s[first] / s[second])
            values.append((max(wrong, 0) + math.log1p(math.exp(-abs(wrong)))) / 10)
    assert found == pytest.approx(sum(values) / len(values), rel=1e-4)


def test_a_teacher_that_is_nearly_certain_weighs_most() -> None:
    """Confidence is depth over uncertainty, and the weights are relative to their mean."""
    student = prediction(torch.tensor([2.0, 5.0]).reshape(1, 1, 1, 2))
    teacher = Prediction(torch.tensor([1.0, 8.0]).reshape(1, 1, 1, 2), torch.tensor([0.5, 1.0]).reshape(1, 1, 1, 2), {})
    found = compared(ResponseLoss(l1_loss, by_confidence=True), student, teacher).item()
    assert found == pytest.approx((2 * 1 + 8 * 3) / (2 + 8))
