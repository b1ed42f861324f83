"""Losses against hand-computed values, difference quotients, and invariance to invalid pixels."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from echodepth.core.errors import ConfigError
from echodepth.losses import LOSSES
from echodepth.losses.base import LossInputs, LossTerm, linear_ramp, masked_mean
from echodepth.losses.gradient import DepthGradient, gradient_loss
from echodepth.losses.reconstruction import CRITERIA, Reconstruction, combined_loss, l1_loss, mse_loss, silog_loss
from echodepth.losses.smoothness import Smoothness, smoothness_loss
from echodepth.losses.total import TotalLoss, build_losses, check_losses, loss_terms
from echodepth.losses.uncertainty import Uncertainty, laplace_nll

MASKED = [l1_loss, mse_loss, silog_loss, combined_loss, gradient_loss]
Masked = Callable[[Tensor, Tensor, Tensor], Tensor]


def column(*values: float) -> Tensor:
    return torch.tensor(values).reshape(1, 1, -1, 1)


def everywhere(x: Tensor) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def inputs(
    depth: Tensor, ground_truth: Tensor, image: Tensor | None = None, uncertainty: Tensor | None = None
) -> LossInputs:
    return LossInputs(depth, uncertainty, ground_truth, everywhere(ground_truth), image)


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


def test_the_curriculum_adds_depth_gradients_then_smoothness() -> None:
    def ramps(progress: float) -> tuple[float, ...]:
        return tuple(term.ramp(progress) for term in (Reconstruction(), DepthGradient(), Smoothness(), Uncertainty()))

    assert ramps(0.0) == (1.0, 0.0, 0.0, 1.0)
    assert ramps(0.3) == pytest.approx((1.0, 0.5, 0.0, 1.0))
    assert ramps(0.5) == pytest.approx((1.0, 1.0, 0.5, 1.0))
    assert ramps(1.0) == (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("criterion", list(CRITERIA))
def test_the_total_is_the_weighted_sum_of_the_terms(criterion: str) -> None:
    target = torch.rand(2, 1, 8, 8) + 1
    prediction, image = target + 0.3 * torch.rand_like(target), torch.rand(2, 3, 8, 8)
    uncertainty = torch.rand_like(target) + 0.1
    flags = SimpleNamespace(criterion=criterion, lambda_l1=2.0, lambda_edge=0.5, lambda_smooth=0.25)
    flags.lambda_uncertainty = 0.125
    losses = build_losses(flags)(inputs(prediction, target, image, uncertainty))
    assert list(losses) == ["reconstruction", "edge", "smooth", "uncertainty", "loss"]
    total = 2 * losses["reconstruction"] + 0.5 * losses["edge"] + 0.25 * losses["smooth"]
    assert losses["loss"].item() == pytest.approx((total + 0.125 * losses["uncertainty"]).item(), rel=1e-6)
    masked = prediction, target, everywhere(target)
    by_hand = CRITERIA[criterion](*masked), gradient_loss(*masked), smoothness_loss(prediction, image)  # type: ignore[index]
    assert [losses[name].item() for name in ("reconstruction", "edge", "smooth")] == [loss.item() for loss in by_hand]
    nll = laplace_nll(prediction, uncertainty, target, everywhere(target))
    assert losses["uncertainty"].item() == nll.item()


def test_a_weight_of_zero_leaves_a_term_out_but_never_the_reconstruction() -> None:
    target = torch.rand(1, 1, 8, 8) + 1
    losses = build_losses(SimpleNamespace(lambda_l1=0.0, lambda_smooth=0.0))(inputs(target + 1, target))
    assert set(losses) == {"reconstruction", "loss"}
    assert losses["reconstruction"].item() == pytest.approx(1.0)
    assert losses["loss"].item() == 0


def test_flags_that_a_config_lacks_keep_their_defaults() -> None:
    assert loss_terms(object())[:4] == [Reconstruction(), DepthGradient(), Smoothness(), Uncertainty()]
    assert not build_losses(object()).use_adaptive_loss
    assert build_losses(SimpleNamespace(use_adaptive_loss=True)).use_adaptive_loss


@pytest.mark.parametrize("flag", ["lambda_l1", "lambda_edge", "lambda_smooth", "lambda_uncertainty"])
@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_a_weight_out_of_range_is_named(flag: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"--{flag} must be at least 0, not {value:g}"):
        check_losses(SimpleNamespace(**{flag: value}))


def test_every_term_names_its_weight() -> None:
    built_in = {term.name: term.weight for term in LOSSES if term.__module__.startswith("echodepth.")}
    assert built_in == {
        "reconstruction": "lambda_l1",
        "edge": "lambda_edge",
        "smooth": "lambda_smooth",
        "uncertainty": "lambda_uncertainty",
    }


def test_a_new_term_is_one_registered_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOSSES, "_entries", {term.name: term for term in LOSSES})

    @LOSSES.register
    @dataclass(frozen=True, kw_only=True)
    class Bias(LossTerm):
        """Mean error."""

        name: ClassVar[str] = "bias"
        weight: ClassVar[str] = "lambda_bias"
        lambda_bias: float = 0.0

        def __call__(self, inputs: LossInputs) -> Tensor:
            return (inputs.depth - inputs.ground_truth).mean().abs()

    target = torch.ones(1, 1, 4, 4)
    losses = build_losses(SimpleNamespace(lambda_bias=3.0, lambda_smooth=0.0))(inputs(target + 0.5, target))
    assert list(losses) == ["reconstruction", "bias", "loss"]
    assert losses["loss"].item() == pytest.approx(0.5 + 3 * 0.5)
    assert "bias" not in build_losses(object())(inputs(target + 0.5, target))


def test_without_an_image_smoothness_follows_the_edges_of_the_ground_truth() -> None:
    target = torch.ones(1, 1, 8, 8)
    target[..., 4:] = 3.0
    flat = torch.full_like(target, 2.0)
    smoothness = Smoothness(lambda_smooth=1.0)
    jump_at_the_edge = smoothness(inputs(target, target))
    jump_elsewhere = smoothness(inputs(target.roll(2, dims=3), target))
    assert jump_at_the_edge < 0.01 * jump_elsewhere
    assert smoothness(inputs(flat, target)) == 0


def test_adaptive_weights_follow_the_progress() -> None:
    target = torch.rand(1, 1, 8, 8) + 1
    prediction = target + torch.rand_like(target)
    terms = Reconstruction(), DepthGradient(lambda_edge=1.0), Smoothness(lambda_smooth=1.0)
    objective = TotalLoss(terms, use_adaptive_loss=True)
    early, late = (objective(inputs(prediction, target), progress) for progress in (0.0, 0.9))
    assert early["loss"].item() == pytest.approx(early["reconstruction"].item())
    everything = late["reconstruction"] + late["edge"] + late["smooth"]
    assert late["loss"].item() == pytest.approx(everything.item())


def test_the_weights_are_one_for_reconstruction_and_a_tenth_for_smoothness_and_uncertainty() -> None:
    weights = {term.weight: term.weight_value for term in loss_terms(object()) if term.name != "bias"}
    assert weights == {"lambda_l1": 1.0, "lambda_edge": 0.0, "lambda_smooth": 0.1, "lambda_uncertainty": 0.1}
    assert Reconstruction().criterion == "L1"


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
    truth = depth * torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
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


def test_a_ramp_takes_a_fifth_of_the_training() -> None:
    assert [linear_ramp(progress, 1) for progress in (0.0, 0.2, 0.25, 0.4, 1.0)] == pytest.approx([0, 0, 0.25, 1, 1])
    assert [linear_ramp(progress, 2) for progress in (0.3, 0.4, 0.5, 0.6)] == pytest.approx([0, 0, 0.5, 1])
    assert Uncertainty().is_active(inputs(column(1.0), column(1.0), uncertainty=column(1.0)))
    assert not Uncertainty().is_active(inputs(column(1.0), column(1.0)))
