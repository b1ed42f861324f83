"""The total loss: weights, curriculum, flags, and a new term by registration."""

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from echodepth.core.errors import ConfigError
from echodepth.losses import LOSSES
from echodepth.losses.base import LossInputs, LossTerm, linear_ramp
from echodepth.losses.gradient import DepthGradient, gradient_loss
from echodepth.losses.reconstruction import CRITERIA, Reconstruction
from echodepth.losses.smoothness import Smoothness, smoothness_loss
from echodepth.losses.total import TotalLoss, build_losses, check_losses, loss_terms
from echodepth.losses.uncertainty import Uncertainty, laplace_nll
from tests.losses.columns import column, everywhere, inputs


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


def test_a_ramp_takes_a_fifth_of_the_training() -> None:
    assert [linear_ramp(progress, 1) for progress in (0.0, 0.2, 0.25, 0.4, 1.0)] == pytest.approx([0, 0, 0.25, 1, 1])
    assert [linear_ramp(progress, 2) for progress in (0.3, 0.4, 0.5, 0.6)] == pytest.approx([0, 0, 0.5, 1])
    assert Uncertainty().is_active(inputs(column(1.0), column(1.0), uncertainty=column(1.0)))
    assert not Uncertainty().is_active(inputs(column(1.0), column(1.0)))
