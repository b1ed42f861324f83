"""The distillation losses together: weights, schedule, order, and a new one by registration."""

import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from echodepth.core.errors import ConfigError
from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.distillation.losses.base import DistillationLoss, DistillationLossConfig, StudentInfo, TeacherInfo
from echodepth.distillation.losses.response import ResponseLoss
from echodepth.distillation.losses.total import (
    WeightedLosses,
    build_distillation,
    check_distillation,
    distillation_losses,
    levels_of,
)
from echodepth.losses.reconstruction import l1_loss
from echodepth.models.layers import DECODER_LEVELS, Prediction
from echodepth.training.distillation_task import schedule
from tests.distillation.predictions import everywhere, prediction


def test_the_weights_of_distillation_are_one_for_depth_and_features_alone() -> None:
    built_in = [each for each in distillation_losses(object()) if type(each).__module__.startswith("echodepth.")]
    assert {each.weight: each.weight_value for each in built_in} == {
        **dict.fromkeys(WEIGHTS.values(), 0.0),
        **{"lambda_kd": 1.0, "lambda_feat": 1.0},
    }
    defaults = {name: getattr(each, name) for each in built_in for name in vars(each) if not name.startswith("lambda")}
    assert defaults == {
        **{"kd_loss": "l1", "kd_confidence": False, "kd_where": "everywhere", "feature_distance": "cosine"},
        **{"feature_levels": ("d1", "d2", "d3", "d4"), "align_levels": ("x3", "x4", "x5")},
    }


def test_weights_scale_the_terms() -> None:
    distillation = WeightedLosses({"kd": ResponseLoss(l1_loss)}, {"kd": 0.25})
    depth = torch.full((1, 1, 2, 2), 3.0)
    assert distillation(prediction(depth), prediction(torch.ones(1, 1, 2, 2)), everywhere(depth))["kd"].item() == 0.5


def test_schedules_by_hand() -> None:
    assert [schedule("constant", p) for p in (0.0, 0.5, 1.0)] == [1, 1, 1]
    assert [schedule("warmup", p) for p in (0.0, 0.1, 0.2, 1.0)] == pytest.approx([0, 0.5, 1, 1])
    assert [schedule("decay", p) for p in (0.0, 0.25, 1.0)] == [1, 0.75, 0]


class Features:
    """A student or teacher with two channels at x5, and uncertainty or not."""

    def __init__(self, has_uncertainty: bool = False) -> None:
        self.has_uncertainty = has_uncertainty

    def feature_channels(self) -> dict[str, int]:
        return dict.fromkeys(("x5", *DECODER_LEVELS), 2)

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        return dict.fromkeys(("x5", *DECODER_LEVELS), (4, 4))


WEIGHTS = {
    **{"kd": "lambda_kd", "kd_edge": "lambda_kd_edge", "rank": "lambda_rank", "feat": "lambda_feat"},
    **{"align": "lambda_align", "attention": "lambda_attention"},
    **{"affinity": "lambda_affinity", "contrast": "lambda_contrast"},
}


def test_every_loss_is_built_with_its_weight_in_a_fixed_order() -> None:
    """The order decides which initial weights each loss draws, and the order of parameters in the optimiser's state."""
    weights = {flag: 0.1 + index for index, flag in enumerate(WEIGHTS.values())}
    config = SimpleNamespace(**weights, align_levels=("x5",))
    built = build_distillation(config, Features(), Features())
    assert built.weights == dict(zip(WEIGHTS, weights.values(), strict=True))
    assert list(built.weights) == list(built.terms) == list(WEIGHTS)
    entries = [entry for entry in DISTILLATION_LOSSES if entry.__module__.startswith("echodepth.")]
    assert {entry.name: entry.weight for entry in entries} == WEIGHTS


def test_levels_are_those_of_active_losses_with_features() -> None:
    assert levels_of(object()) == {"lambda_feat": DECODER_LEVELS}
    config = SimpleNamespace(lambda_feat=0.0, lambda_contrast=0.5, lambda_align=1.0, align_levels=("x4",))
    assert levels_of(config) == {"lambda_align": ("x4",), "lambda_contrast": ("x5",)}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"feature_levels": ()}, "--feature_levels names no level: give some, or --lambda_feat 0"),
        ({"lambda_align": 1.0, "align_levels": ()}, "--align_levels names no level: give some, or --lambda_align 0"),
        ({"kd_confidence": True, "lambda_kd": 0.0}, "--kd_confidence has no effect with --lambda_kd 0"),
        *(({flag: -1.0}, f"--{flag} must be at least 0, not -1") for flag in WEIGHTS.values()),
    ],
    ids=str,
)
def test_senseless_flags_are_refused(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_distillation(SimpleNamespace(**flags))


def test_confidence_needs_a_teacher_with_uncertainty() -> None:
    config = SimpleNamespace(kd_confidence=True, lambda_feat=0.0)
    assert list(build_distillation(config, Features(), Features(has_uncertainty=True)).terms) == ["kd"]
    with pytest.raises(ConfigError, match=r"--kd_confidence: the depth of this --teacher has no uncertainty; train"):
        build_distillation(config, Features(), Features())


def test_a_new_loss_is_one_registered_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DISTILLATION_LOSSES, "_entries", {entry.name: entry for entry in DISTILLATION_LOSSES})

    class BiasLoss(DistillationLoss):
        def forward(self, student: Prediction, teacher: Prediction, valid: torch.Tensor) -> torch.Tensor:
            return (student.depth - teacher.depth).mean().abs()

    @DISTILLATION_LOSSES.register
    @dataclass(frozen=True, kw_only=True)
    class Bias(DistillationLossConfig):
        name: ClassVar[str] = "bias"
        weight: ClassVar[str] = "lambda_bias"
        lambda_bias: float = 0.0

        def build(self, student: StudentInfo, teacher: TeacherInfo) -> BiasLoss:
            return BiasLoss()

    config = SimpleNamespace(lambda_bias=2.0, lambda_kd=0.0, lambda_feat=0.0)
    losses = build_distillation(config, Features(), Features())
    depth = torch.full((1, 1, 2, 2), 3.0)
    assert losses(prediction(depth), prediction(depth - 0.5), everywhere(depth)) == {"bias": torch.tensor(1.0)}
    assert "bias" not in build_distillation(object(), Features(), Features()).terms
