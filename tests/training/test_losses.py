"""Losses by hand-worked numbers, by their gradients, and by what invalid pixels may not do."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from echodepth.training.losses import (
    CRITERIA,
    DepthLoss,
    combined_loss,
    curriculum,
    gradient_loss,
    l1_loss,
    mse_loss,
    silog_loss,
    smoothness_loss,
)

MASKED = [l1_loss, mse_loss, silog_loss, combined_loss, gradient_loss]
Masked = Callable[[Tensor, Tensor, Tensor], Tensor]


def column(*values: float) -> Tensor:
    return torch.tensor(values).reshape(1, 1, -1, 1)


def everywhere(x: Tensor) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def test_l1_and_mse_by_hand() -> None:
    prediction, target = column(1.0, 2.0, 9.0), column(2.0, 4.0, 0.0)
    valid = column(1, 1, 0).bool()
    assert l1_loss(prediction, target, valid).item() == 1.5  # (1 + 2) / 2
    assert mse_loss(prediction, target, valid).item() == 2.5  # (1 + 4) / 2


def test_silog_by_hand() -> None:
    prediction, target = column(2.0, 8.0), column(1.0, 2.0)
    logs = math.log(2.0), math.log(4.0)
    mean = sum(logs) / 2
    variance = sum((g - mean) ** 2 for g in logs) / 2
    expected = 10 * math.sqrt(variance + 0.15 * mean**2)
    assert silog_loss(prediction, target, everywhere(target)).item() == pytest.approx(expected, rel=1e-5)


def test_silog_forgives_most_of_a_common_factor() -> None:
    target = torch.rand(1, 1, 8, 8) + 0.5
    scaled = silog_loss(1.5 * target, target, everywhere(target)).item()
    assert scaled == pytest.approx(10 * math.sqrt(0.15) * math.log(1.5), rel=1e-3)


def test_gradient_loss_by_hand() -> None:
    prediction, target = column(0.0, 1.0, 3.0), column(0.0, 0.0, 0.0)
    # One pixel down: |1|, |2|; two pixels down: |3|; across there are no pairs, which count as 0.
    loss = gradient_loss(prediction, target, everywhere(target), scales=2)
    assert loss.item() == pytest.approx((1.5 + 0 + 3.0 + 0) / 4)


def test_gradient_loss_ignores_a_common_offset() -> None:
    target = torch.rand(1, 1, 16, 16)
    assert gradient_loss(target + 2, target, everywhere(target)).item() == pytest.approx(0.0, abs=1e-6)


def test_smoothness_forgives_a_jump_where_the_image_has_an_edge() -> None:
    depth = torch.ones(1, 1, 8, 8)
    depth[..., 4:] = 3.0
    flat, edged = torch.full((1, 3, 8, 8), 0.5), torch.zeros(1, 3, 8, 8)
    edged[..., 4:] = 1.0
    # 8 of the 56 horizontal pairs jump by 2 m; vertical pairs do not.
    assert smoothness_loss(depth, flat).item() == pytest.approx(0.5 * 2 * 8 / 56)
    assert smoothness_loss(depth, edged).item() == pytest.approx(0.5 * 2 * 8 / 56 * math.exp(-10), rel=1e-4)


@pytest.mark.parametrize("loss", MASKED)
def test_invalid_pixels_change_nothing(loss: Masked) -> None:
    target = torch.rand(2, 1, 8, 8) + 1
    prediction = (target + 0.1 * torch.randn_like(target)).requires_grad_()
    valid = torch.rand_like(target) > 0.4
    value = loss(prediction, target, valid)
    (gradient,) = torch.autograd.grad(value, prediction)
    assert (gradient[~valid] == 0).all()
    spoilt = torch.where(valid, target, float("nan"))
    assert loss(prediction, spoilt, valid).item() == pytest.approx(value.item())


@pytest.mark.parametrize("loss", MASKED)
def test_without_a_valid_pixel_the_loss_is_zero_and_not_nan(loss: Masked) -> None:
    target = torch.full((1, 1, 4, 4), float("nan"))
    prediction = torch.ones(1, 1, 4, 4, requires_grad=True)
    value = loss(prediction, target, torch.zeros_like(target, dtype=torch.bool))
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-2)
    assert prediction.grad is not None
    assert (prediction.grad == 0).all()


@pytest.mark.parametrize("loss", MASKED)
def test_gradients_equal_the_difference_quotient(loss: Masked) -> None:
    target = torch.rand(1, 1, 5, 5, dtype=torch.float64) + 1
    prediction = (target + 0.2 * torch.randn_like(target)).requires_grad_()
    valid = torch.rand_like(target) > 0.3
    assert torch.autograd.gradcheck(lambda p: loss(p, target, valid), (prediction,))


@pytest.mark.parametrize("loss", MASKED)
def test_a_perfect_prediction_has_a_finite_gradient(loss: Masked) -> None:
    target = torch.rand(1, 1, 6, 6) + 1
    prediction = target.clone().requires_grad_()
    loss(prediction, target, everywhere(target)).backward()
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()


def test_curriculum_brings_in_edges_then_smoothness() -> None:
    assert curriculum(0.0) == (1.0, 0.0, 0.0)
    assert curriculum(0.3) == pytest.approx((1.0, 0.5, 0.0))
    assert curriculum(0.5) == pytest.approx((1.0, 1.0, 0.5))
    assert curriculum(1.0) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("criterion", list(CRITERIA))
def test_the_sum_is_the_weighted_terms(criterion: str) -> None:
    target = torch.rand(2, 1, 8, 8) + 1
    prediction, image = target + 0.3 * torch.rand_like(target), torch.rand(2, 3, 8, 8)
    objective = DepthLoss(criterion, lambda_l1=2.0, lambda_edge=0.5, lambda_smooth=0.25)  # type: ignore[arg-type]
    terms = objective(prediction, target, everywhere(target), image)
    expected = 2 * terms["reconstruction"] + 0.5 * terms["edge"] + 0.25 * terms["smooth"]
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert terms["smooth"].item() == pytest.approx(smoothness_loss(prediction, image).item())


def test_a_weight_of_zero_leaves_the_term_out() -> None:
    target = torch.rand(1, 1, 8, 8) + 1
    terms = DepthLoss(lambda_smooth=0.0)(target, target, everywhere(target))
    assert set(terms) == {"reconstruction", "loss"}


def test_without_an_image_smoothness_follows_the_edges_of_the_target() -> None:
    target = torch.ones(1, 1, 8, 8)
    target[..., 4:] = 3.0
    flat = torch.full_like(target, 2.0)
    objective = DepthLoss(lambda_smooth=1.0)
    jump_at_the_edge = objective(target, target, everywhere(target))["smooth"]
    jump_elsewhere = objective(target.roll(2, dims=3), target, everywhere(target))["smooth"]
    assert jump_at_the_edge < 0.01 * jump_elsewhere
    assert objective(flat, target, everywhere(target))["smooth"] == 0


def test_adaptive_weights_follow_the_progress() -> None:
    target = torch.rand(1, 1, 8, 8) + 1
    prediction = target + torch.rand_like(target)
    objective = DepthLoss(lambda_edge=1.0, lambda_smooth=1.0, adaptive=True)
    early = objective(prediction, target, everywhere(target), progress=0.0)
    late = objective(prediction, target, everywhere(target), progress=0.9)
    assert early["loss"].item() == pytest.approx(early["reconstruction"].item())
    everything = late["reconstruction"] + late["edge"] + late["smooth"]
    assert late["loss"].item() == pytest.approx(everything.item())
