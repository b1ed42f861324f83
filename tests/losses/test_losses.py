"""Losses against hand-computed values, difference quotients, and invariance to invalid pixels."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from echodepth.losses.base import LossInputs, masked_mean
from echodepth.losses.gradient import gradient_loss
from echodepth.losses.reconstruction import combined_loss, l1_loss, mse_loss, silog_loss
from echodepth.losses.smoothness import Smoothness, smoothness_loss
from echodepth.losses.uncertainty import laplace_nll
from tests.losses.columns import column, everywhere, inputs

MASKED = [l1_loss, mse_loss, silog_loss, combined_loss, gradient_loss]
Masked = Callable[[Tensor, Tensor, Tensor], Tensor]


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
    # Vertical distance 1: |1|, |2|; distance 2: |3|. There are no horizontal pairs, which count as 0.
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


def test_without_an_image_smoothness_follows_the_edges_of_the_ground_truth() -> None:
    target = torch.ones(1, 1, 8, 8)
    target[..., 4:] = 3.0
    flat = torch.full_like(target, 2.0)
    smoothness = Smoothness(lambda_smooth=1.0)
    jump_at_the_edge = smoothness(inputs(target, target))
    jump_elsewhere = smoothness(inputs(target.roll(2, dims=3), target))
    assert jump_at_the_edge < 0.01 * jump_elsewhere
    assert smoothness(inputs(flat, target)) == 0


def test_depth_below_a_millimetre_is_a_millimetre_in_logarithms() -> None:
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    for prediction, target in ((0.0, 1.0), (-2.0, 1.0), (1.0, 1e-9)):
        loss = silog_loss(column(prediction), column(target), mask).item()
        assert loss == pytest.approx(10 * math.sqrt(0.15) * math.log(1000), rel=1e-4)


def test_a_perfect_silog_is_the_root_of_its_epsilon() -> None:
    target = torch.rand(1, 1, 4, 4) + 1
    assert silog_loss(target, target, everywhere(target)).item() == pytest.approx(10 * math.sqrt(1e-8))


def test_gradients_are_compared_at_distances_one_two_four_and_eight() -> None:
    ramp = torch.arange(12.0).view(1, 1, -1, 1)
    # Rows differ by their distance; there are no columns to compare, which count as 0.
    loss = gradient_loss(ramp, torch.ones_like(ramp), everywhere(ramp)).item()
    assert loss == pytest.approx((1 + 2 + 4 + 8) / 8)
    across = ramp.transpose(2, 3)
    assert gradient_loss(across, torch.ones_like(across), everywhere(across)).item() == pytest.approx(15 / 8)


def test_a_pair_counts_where_both_pixels_are_valid() -> None:
    depth = torch.tensor([[0.0, 1.0, 5.0], [0.0, 2.0, 9.0]]).view(1, 1, 2, 3)
    valid = torch.tensor([[1, 1, 0], [1, 1, 1]]).bool().view(1, 1, 2, 3)
    # Distance 1: |1|, |2| and |7| across, |0| and |1| down; distance 2: |9| across.
    loss = gradient_loss(depth, torch.zeros_like(depth), valid, scales=2).item()
    assert loss == pytest.approx((10 / 3 + 0.5 + 9 + 0) / 4)


def test_an_edge_of_the_ground_truth_is_relative_to_the_frames_largest_depth() -> None:
    depth = torch.ones(2, 1, 8, 8)
    depth[..., 4:] = 3.0
    truth = depth * torch.tensor([0.1, 2.0]).view(2, 1, 1, 1)  # the first frame ends at 0.3 m
    truth[0, 0, 0, 0] = 7.0
    valid = everywhere(truth)
    valid[0, 0, 0, 0] = False
    # An edge of two thirds of the largest depth in either frame; 8 of 56 pairs jump, and one is not valid.
    found = Smoothness()(LossInputs(depth, None, truth, valid)).item()
    weight = math.exp(-10 * 2 / 3)
    assert found == pytest.approx(0.5 * 2 * 16 / (112 - 1) * weight, rel=1e-4)


def test_smoothness_takes_the_mean_edge_of_the_colours_and_all_pixels() -> None:
    depth = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    image = torch.tensor([[0.1, 0.4], [0.2, 0.2], [0.9, 0.6]]).view(1, 3, 1, 2)
    half = torch.tensor([True, False]).view(1, 1, 1, 2)
    found = Smoothness()(LossInputs(depth, None, depth, half, image)).item()
    assert found == pytest.approx(2 * math.exp(-10 * 0.2) / 2, rel=1e-5)


def test_the_likelihood_by_hand() -> None:
    # |r| / b + log 2b: 1 / 0.5 + log 1, and 1 / 2 + log 4.
    for uncertainty, expected in ((0.5, 2.0), (2.0, 0.5 + math.log(4))):
        b, target = column(uncertainty), column(2.0)
        assert laplace_nll(column(3.0), b, target, everywhere(target)).item() == pytest.approx(expected)
        assert laplace_nll(column(1.0), b, target, everywhere(target)).item() == pytest.approx(expected)


def test_a_weighted_mean_by_hand() -> None:
    values, weight = column(1.0, 5.0, math.nan), column(3.0, 1.0, 100.0)
    valid = column(1, 1, 0).bool()
    assert masked_mean(values, valid).item() == 3.0
    assert masked_mean(values, valid, weight).item() == 2.0
    assert masked_mean(values, valid, 1e-30 * weight).item() == pytest.approx(2.0)
    nowhere = torch.zeros_like(valid)
    assert masked_mean(values, nowhere).item() == masked_mean(values, nowhere, weight).item() == 0.0
