"""Predicted uncertainty: its range, training without effect on depth, and the teacher's confidence."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.data.sample import Sample
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.losses.uncertainty import laplace_nll
from echodepth.models.checkpoint import DepthModel, ModelSpec, load_depth_model, save_model
from echodepth.models.heads import UncertaintyHead
from echodepth.models.layers import DepthNet
from echodepth.models.networks.binaural_attention import create_binaural_attention_model
from echodepth.models.networks.rgb_depth import create_rgb_depth_model
from tests.training.runs import assert_bit_equal, binaural, curve, distil, last_weights, rgb, train

MAKERS: dict[str, tuple[Callable[[bool], DepthNet], int]] = {
    "rgb": (lambda uncertainty: create_rgb_depth_model(4, output_size=24, uncertainty=uncertainty), 3),
    "binaural": (lambda uncertainty: create_binaural_attention_model(4, output_size=24, uncertainty=uncertainty), 2),
}
each_network = pytest.mark.parametrize(("make", "channels"), MAKERS.values(), ids=list(MAKERS))
SPEC = ModelSpec("rgb", {"base_channels": 4, "output_size": 32, "uncertainty": True}, {"image_size": 32})


# ---- the head ----


def test_uncertainty_ranges_from_a_centimetre_to_the_maximum_depth_and_starts_at_a_metre() -> None:
    head = UncertaintyHead(4, 30.0)
    ends = head.bound(torch.tensor([-1e4, 1e4]))
    assert ends.tolist() == pytest.approx([30 * math.exp(-8), 30], rel=1e-3)
    assert head.bound(torch.as_tensor(head.conv.bias)).item() == pytest.approx(1.0, rel=0.02)


def test_its_gradient_is_finite_and_not_zero_everywhere() -> None:
    logit = torch.tensor([-1000.0, -50.0, 0.0, 50.0, 1000.0], requires_grad=True)
    UncertaintyHead(1, 30.0).bound(logit).log().sum().backward()
    assert logit.grad is not None
    assert (logit.grad > 1e-9).all()
    assert torch.isfinite(logit.grad).all()


@pytest.mark.parametrize("max_depth", [0.1, 12.0, 5000.0])
def test_uncertainty_stays_within_any_depth_range(max_depth: float) -> None:
    uncertainty = UncertaintyHead(4, max_depth)(torch.rand(1, 4, 16, 16), 16)
    assert uncertainty.min() > 0
    assert uncertainty.max() < max_depth


@each_network
def test_a_network_without_uncertainty_is_the_same_network(make: Callable[[bool], DepthNet], channels: int) -> None:
    """Weights, predictions, features and later random numbers are bit-equal with uncertainty and without."""
    x = torch.rand(2, channels, 32, 32)
    predictions, states, drawn = [], [], []
    for uncertainty in (False, True):
        torch.manual_seed(5)
        network = make(uncertainty)
        drawn.append(torch.rand(3))
        states.append(network.state_dict())
        predictions.append(network.predict(x))
    plain, uncertain = predictions
    head = {name for name in states[1] if name.startswith("uncertainty_head.")}
    assert head
    assert_bit_equal(states[0], {name: tensor for name, tensor in states[1].items() if name not in head})
    assert torch.equal(plain.depth, uncertain.depth)
    assert_bit_equal(plain.features, uncertain.features)
    assert torch.equal(*drawn)
    assert plain.uncertainty is None
    assert uncertain.uncertainty is not None
    assert uncertain.uncertainty.shape == (2, 1, 24, 24)


@each_network
def test_the_uncertainty_loss_trains_its_head_alone(make: Callable[[bool], DepthNet], channels: int) -> None:
    network = make(True)
    prediction = network.predict(torch.rand(2, channels, 32, 32))
    assert prediction.uncertainty is not None
    target = torch.full_like(prediction.depth, 7.0)
    laplace_nll(prediction.depth, prediction.uncertainty, target, torch.ones_like(target, dtype=torch.bool)).backward()
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert moved == {name for name, _ in network.named_parameters() if name.startswith("uncertainty_head.")}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.uncertainty_head.parameters())  # type: ignore[union-attr]


def test_forward_returns_depth_and_the_nine_levels_with_an_uncertainty_head() -> None:
    network = create_rgb_depth_model(4, output_size=32, uncertainty=True).eval()
    image = torch.rand(1, 3, 32, 32)
    prediction = network.predict(image)
    depth, features = network(image, return_features=True)
    assert torch.equal(network(image), prediction.depth)
    assert torch.equal(depth, prediction.depth)
    assert features.keys() == prediction.features.keys()
    assert len(features) == 9


# ---- on disk ----


def test_a_saved_model_keeps_its_uncertainty_and_its_card_mentions_it(tmp_path: Path) -> None:
    model = DepthModel(SPEC).eval()
    save_model(model, tmp_path / "best")
    again, image = load_depth_model(tmp_path / "best"), torch.rand(1, 3, 40, 50)
    first, second = model.predict(image).uncertainty, again.predict(image).uncertainty
    assert again.has_uncertainty
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)
    assert "estimate.uncertainty" in (tmp_path / "best" / "README.md").read_text()
    save_model(DepthModel(ModelSpec("rgb", {"base_channels": 4}, {})), tmp_path / "plain")
    assert not load_depth_model(tmp_path / "plain").has_uncertainty
    card = (tmp_path / "plain" / "README.md").read_text()
    assert "estimate.uncertainty" not in card
    assert "The model predicts no uncertainty." in card


@pytest.mark.parametrize("uncertainty", [False, True])
def test_uncertainty_is_recognised_in_a_plain_state_dict(tmp_path: Path, uncertainty: bool) -> None:
    network = create_binaural_attention_model(4, uncertainty=uncertainty)
    torch.save({"model_state_dict": network.state_dict()}, tmp_path / "plain.pth")
    model = load_depth_model(tmp_path / "plain.pth")
    assert model.has_uncertainty == uncertainty
    assert_bit_equal(model.network.state_dict(), network.state_dict())


def test_an_incomplete_uncertainty_head_is_refused(tmp_path: Path) -> None:
    weights = create_rgb_depth_model(4, uncertainty=True).state_dict()
    del weights["uncertainty_head.hidden.bias"]
    torch.save({"model_state_dict": weights}, tmp_path / "holey.pth")
    with pytest.raises(CheckpointError, match=r"uncertainty_head\.hidden\.bias"):
        load_depth_model(tmp_path / "holey.pth")


# ---- training ----


@pytest.mark.slow
@pytest.mark.parametrize("configure", [rgb, binaural])
def test_a_run_learns_the_same_depth_with_uncertainty_and_without(v2_root: Path, configure: Callable[..., Any]) -> None:
    plain, uncertain = (
        configure(v2_root, nb_epochs=4, learning_rate=3e-3, experiment_name=name, uncertainty=name == "uncertain")
        for name in ("plain", "uncertain")
    )
    train(plain)
    model = train(uncertain)
    weights = last_weights("uncertain", 4)
    depth = {name: tensor for name, tensor in weights.items() if not name.startswith("uncertainty_head.")}
    assert_bit_equal(last_weights("plain", 4), depth)
    assert [row["val/rmse"] for row in curve("plain")] == [row["val/rmse"] for row in curve("uncertain")]
    assert model.has_uncertainty
    first, *_, last = curve("uncertain")
    for name in ("train/uncertainty", "val/uncertainty"):
        assert float(last[name]) < float(first[name])
    assert "val/uncertainty" not in curve("plain")[0]


@pytest.mark.slow
def test_a_distilled_student_learns_the_same_depth_too(v2_root: Path) -> None:
    train(rgb(v2_root, base_channels=6))
    for name in ("plain", "uncertain"):
        train(distil(v2_root, experiment_name=name, uncertainty=name == "uncertain"))
    plain, uncertain = last_weights("plain", 1), last_weights("uncertain", 1)
    assert_bit_equal(plain, {name: uncertain[name] for name in plain})


def test_the_weight_of_the_uncertainty_loss_changes_its_head_alone(v2_root: Path) -> None:
    for name, weight in (("light", 0.1), ("heavy", 1.0)):
        train(rgb(v2_root, experiment_name=name, uncertainty=True, lambda_uncertainty=weight, optimizer="SGD"))
    light, heavy = last_weights("light", 1), last_weights("heavy", 1)
    assert {name for name in light if not torch.equal(light[name], heavy[name])} == {
        name for name in light if name.startswith("uncertainty_head.")
    }


@pytest.mark.parametrize(
    ("configure", "flags", "message"),
    [
        (rgb, {"lambda_uncertainty": -1.0}, "--lambda_uncertainty must be at least 0, not -1"),
        (rgb, {"uncertainty": True, "lambda_uncertainty": 0.0}, "--lambda_uncertainty 0 does not train --uncertainty"),
        (
            distil,
            {"kd_confidence": True, "lambda_kd": 0.0},
            "--kd_confidence has no effect with --lambda_kd 0: give a --lambda_kd above 0",
        ),
    ],
)
def test_senseless_uncertainty_flags_are_refused(
    v2_root: Path, configure: Callable[..., Any], flags: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(configure(v2_root, **flags))
    assert not list(Path().iterdir())


# ---- the teacher's confidence ----


def test_the_teacher_predicts_uncertainty() -> None:
    teacher = FrozenTeacher(DepthModel(SPEC))
    image = torch.rand(1, 3, 32, 32)
    predicted, expected = teacher.predict(Sample(image=image)), teacher.model.predict(image).uncertainty
    assert predicted.uncertainty is not None
    assert expected is not None
    torch.testing.assert_close(predicted.uncertainty, expected)  # its batch norms are fused into its convolutions
    assert not predicted.uncertainty.requires_grad


@pytest.mark.slow
def test_confidence_changes_training_and_needs_a_teacher_with_uncertainty(v2_root: Path) -> None:
    train(rgb(v2_root, experiment_name="uncertain", uncertainty=True))
    for name in ("plain", "confident"):
        train(distil(v2_root, "uncertain", experiment_name=name, kd_confidence=name == "confident"))
    plain, confident = last_weights("plain", 1), last_weights("confident", 1)
    assert any(not torch.equal(tensor, confident[name]) for name, tensor in plain.items())
    train(rgb(v2_root, experiment_name="plain_teacher"))
    with pytest.raises(
        ConfigError,
        match=r"--kd_confidence: the depth of this --teacher has no uncertainty; train .*--uncert",
    ):
        train(distil(v2_root, "plain_teacher", experiment_name="refused", kd_confidence=True))
    assert not Path("checkpoints/refused").exists()


def test_a_network_without_an_uncertainty_head_has_no_such_flag(v2_root: Path) -> None:
    with pytest.raises(ConfigError, match="--uncertainty: there is no such flag here"):
        binaural(v2_root, uncertainty=True, model="unet_baseline")
