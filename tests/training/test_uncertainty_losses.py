"""The losses with uncertainty by hand: the likelihood, its weights, and the weights of a teacher's confidence."""

import math
from collections.abc import Callable

import pytest
import torch

from echodepth.distillation.losses.response import ResponseLoss, confidence
from echodepth.losses.base import masked_mean
from echodepth.losses.reconstruction import l1_loss, mse_loss, silog_loss
from echodepth.losses.uncertainty import laplace_nll
from echodepth.models.layers import Prediction


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


# ---- the losses ----


def test_the_likelihood_is_greatest_where_the_uncertainty_is_the_mean_error() -> None:
    """Errors of 1, 2 and 6 m: |r|/b + log 2b has the slope -3/b² + 1/b, which is zero at b = 3."""
    prediction, target = row(4.0, 4.0, 4.0, 4.0), row(5.0, 2.0, 10.0, 0.0)
    valid = row(1, 1, 1, 0).bool()
    uncertainty = torch.tensor(3.0, requires_grad=True)
    loss = laplace_nll(prediction, uncertainty.expand(1, 1, 1, 4), target, valid)
    loss.backward()
    assert loss.item() == pytest.approx(1 + math.log(6))
    assert uncertainty.grad is not None
    assert uncertainty.grad.item() == pytest.approx(0, abs=1e-6)
    for wrong in (2.5, 3.5):
        assert laplace_nll(prediction, row(*[wrong] * 4), target, valid) > loss


def test_the_likelihood_gives_depth_and_invalid_pixels_no_gradient() -> None:
    prediction, uncertainty = row(1.0, 2.0).requires_grad_(), row(0.5, 0.5).requires_grad_()
    loss = laplace_nll(prediction, uncertainty, row(2.0, float("nan")), row(1, 0).bool())
    loss.backward()
    assert prediction.grad is None
    assert uncertainty.grad is not None
    assert uncertainty.grad.flatten().tolist() == pytest.approx([-1 / 0.25 + 1 / 0.5, 0])


@pytest.mark.parametrize("loss", [l1_loss, mse_loss, silog_loss])
def test_a_common_factor_of_the_weights_has_no_effect(loss: Callable[..., torch.Tensor]) -> None:
    """A pixel of weight three is the same as three pixels."""
    prediction, target = row(1.0, 2.0), row(2.0, 5.0)
    thrice, thrice_target = row(1.0, 1.0, 1.0, 2.0), row(2.0, 2.0, 2.0, 5.0)
    expected = loss(thrice, thrice_target, row(1, 1, 1, 1).bool())
    for factor in (1.0, 1e-3, 40.0):
        weighted = loss(prediction, target, row(1, 1).bool(), factor * row(3.0, 1.0))
        assert weighted.item() == pytest.approx(expected.item(), rel=1e-5)


def test_weights_of_invalid_pixels_have_no_effect() -> None:
    values, weight = row(5.0, float("nan"), 7.0), row(1.0, float("nan"), 3.0)
    assert masked_mean(values, row(1, 0, 1).bool(), weight).item() == pytest.approx((5 + 21) / 4)
    assert masked_mean(values, row(0, 0, 0).bool(), weight).item() == 0


# ---- the teacher's confidence ----


def test_confident_pixels_weigh_more_and_the_weights_are_relative() -> None:
    """Depths of 2 and 8 m, off by 0.5 and 4: confidences of 4 and 2, so the first counts twice."""
    teacher = Prediction(row(2.0, 8.0), row(0.5, 4.0), {})
    student = Prediction(row(3.0, 12.0), None, {})
    valid = row(1, 1).bool()
    assert confidence(student, teacher).flatten().tolist() == [4.0, 2.0]
    assert ResponseLoss(l1_loss)(student, teacher, valid).item() == pytest.approx((1 + 4) / 2)
    assert ResponseLoss(l1_loss, by_confidence=True)(student, teacher, valid).item() == pytest.approx((2 * 1 + 4) / 3)


def test_uniform_confidence_has_no_effect() -> None:
    depth = torch.rand(2, 1, 8, 8) + 0.5
    student, teacher = Prediction(depth + torch.rand_like(depth), None, {}), Prediction(depth, depth / 7, {})
    valid = torch.rand_like(depth) > 0.5
    for where in ("everywhere", "unmeasured"):
        plain, weighted = (ResponseLoss(l1_loss, where, by)(student, teacher, valid) for by in (False, True))
        assert weighted.item() == pytest.approx(plain.item(), rel=1e-5)


def test_the_confidence_of_a_teacher_of_another_size_is_resized() -> None:
    teacher = Prediction(torch.full((1, 1, 4, 4), 2.0), torch.full((1, 1, 4, 4), 0.5), {})
    assert torch.equal(confidence(Prediction(torch.ones(1, 1, 8, 8), None, {}), teacher), torch.full((1, 1, 8, 8), 4.0))
