"""How far off a network expects to be: bounded, learnt without touching the depth, and heeded by the student."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.data.sample import Sample
from echodepth.distillation.losses.base import Prediction
from echodepth.distillation.losses.response import Response, confidence
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.models.checkpoint import DepthModel, ModelSpec, load_model, save_model
from echodepth.models.heads import UncertaintyHead
from echodepth.models.layers import (
    DepthNet,
)
from echodepth.models.networks.binaural_attention import create_binaural_attention_model
from echodepth.models.networks.rgb_depth import create_rgb_depth_model
from echodepth.training.losses import l1_loss, laplace_nll, masked_mean, mse_loss, silog_loss
from tests.training.test_train import assert_bit_equal, binaural, curve, distil, last_weights, rgb, train

MAKERS: dict[str, tuple[Callable[[bool], DepthNet], int]] = {
    "rgb": (lambda uncertainty: create_rgb_depth_model(4, output_size=24, uncertainty=uncertainty), 3),
    "binaural": (lambda uncertainty: create_binaural_attention_model(4, output_size=24, uncertainty=uncertainty), 2),
}
each_network = pytest.mark.parametrize(("make", "channels"), MAKERS.values(), ids=list(MAKERS))
SPEC = ModelSpec("rgb", {"base_channels": 4, "output_size": 32, "uncertainty": True}, {"image_size": 32})


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


# ---- the head ----


def test_the_scale_runs_from_a_centimetre_to_the_depth_range_and_starts_at_a_metre() -> None:
    head = UncertaintyHead(4, 30.0)
    ends = head.bound(torch.tensor([-1e4, 1e4]))
    assert ends.tolist() == pytest.approx([30 * math.exp(-8), 30], rel=1e-3)
    assert head.bound(torch.as_tensor(head.conv.bias)).item() == pytest.approx(1.0, rel=0.02)


def test_its_gradient_is_alive_and_finite_everywhere() -> None:
    logit = torch.tensor([-1000.0, -50.0, 0.0, 50.0, 1000.0], requires_grad=True)
    UncertaintyHead(1, 30.0).bound(logit).log().sum().backward()
    assert logit.grad is not None
    assert (logit.grad > 1e-9).all()
    assert torch.isfinite(logit.grad).all()


@pytest.mark.parametrize("max_depth", [0.1, 12.0, 5000.0])
def test_any_range_can_be_doubted(max_depth: float) -> None:
    scale = UncertaintyHead(4, max_depth)(torch.rand(1, 4, 16, 16), 16)
    assert scale.min() > 0
    assert scale.max() < max_depth


@each_network
def test_a_network_without_is_the_same_network(make: Callable[[bool], DepthNet], channels: int) -> None:
    """Weights, answers, features and whatever is drawn next: bit by bit, with a scale and without."""
    x = torch.rand(2, channels, 32, 32)
    answers, states, drawn = [], [], []
    for uncertainty in (False, True):
        torch.manual_seed(5)
        network = make(uncertainty)
        drawn.append(torch.rand(3))
        states.append(network.state_dict())
        answers.append(network.predict(x))
    plain, doubting = answers
    own = {name for name in states[1] if name.startswith("uncertainty_head.")}
    assert own
    assert_bit_equal(states[0], {name: tensor for name, tensor in states[1].items() if name not in own})
    assert torch.equal(plain.depth, doubting.depth)
    assert_bit_equal(plain.features, doubting.features)
    assert torch.equal(*drawn)
    assert plain.uncertainty is None
    assert doubting.uncertainty is not None
    assert doubting.uncertainty.shape == (2, 1, 24, 24)


@each_network
def test_the_scale_moves_its_head_alone(make: Callable[[bool], DepthNet], channels: int) -> None:
    network = make(True)
    prediction = network.predict(torch.rand(2, channels, 32, 32))
    assert prediction.uncertainty is not None
    target = torch.full_like(prediction.depth, 7.0)
    laplace_nll(prediction.depth, prediction.uncertainty, target, torch.ones_like(target, dtype=torch.bool)).backward()
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert moved == {name for name, _ in network.named_parameters() if name.startswith("uncertainty_head.")}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.uncertainty_head.parameters())  # type: ignore[union-attr]


def test_forward_shows_depth_and_the_nine_levels_whatever_the_network_doubts() -> None:
    network = create_rgb_depth_model(4, output_size=32, uncertainty=True).eval()
    image = torch.rand(1, 3, 32, 32)
    prediction = network.predict(image)
    depth, features = network(image, return_features=True)
    assert torch.equal(network(image), prediction.depth)
    assert torch.equal(depth, prediction.depth)
    assert features.keys() == prediction.features.keys()
    assert len(features) == 9


# ---- on disk ----


def test_a_saved_model_still_knows_its_doubt_and_says_so(tmp_path: Path) -> None:
    model = DepthModel(SPEC).eval()
    save_model(model, tmp_path / "best")
    again, image = load_model(tmp_path / "best"), torch.rand(1, 3, 40, 50)
    first, second = model.predict(image).uncertainty, again.predict(image).uncertainty
    assert again.has_uncertainty
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)
    assert "estimate.uncertainty" in (tmp_path / "best" / "README.md").read_text()
    save_model(DepthModel(ModelSpec("rgb", {"base_channels": 4}, {})), tmp_path / "plain")
    assert not load_model(tmp_path / "plain").has_uncertainty
    card = (tmp_path / "plain" / "README.md").read_text()
    assert "estimate.uncertainty" not in card
    assert "The model predicts no uncertainty." in card


@pytest.mark.parametrize("uncertainty", [False, True])
def test_a_plain_state_dict_tells_whether_it_doubts(tmp_path: Path, uncertainty: bool) -> None:
    network = create_binaural_attention_model(4, uncertainty=uncertainty)
    torch.save({"model_state_dict": network.state_dict()}, tmp_path / "plain.pth")
    model = load_model(tmp_path / "plain.pth")
    assert model.has_uncertainty == uncertainty
    assert_bit_equal(model.network.state_dict(), network.state_dict())


def test_an_incomplete_uncertainty_head_is_refused(tmp_path: Path) -> None:
    weights = create_rgb_depth_model(4, uncertainty=True).state_dict()
    del weights["uncertainty_head.hidden.bias"]
    torch.save({"model_state_dict": weights}, tmp_path / "holey.pth")
    with pytest.raises(CheckpointError, match=r"uncertainty_head\.hidden\.bias"):
        load_model(tmp_path / "holey.pth")


# ---- the losses ----


def test_the_likelihood_is_greatest_where_the_scale_is_the_mean_error() -> None:
    """Errors of 1, 2 and 6 m: |r|/b + log 2b has the slope -3/b² + 1/b, which is zero at b = 3."""
    prediction, target = row(4.0, 4.0, 4.0, 4.0), row(5.0, 2.0, 10.0, 0.0)
    valid = row(1, 1, 1, 0).bool()
    scale = torch.tensor(3.0, requires_grad=True)
    loss = laplace_nll(prediction, scale.expand(1, 1, 1, 4), target, valid)
    loss.backward()
    assert loss.item() == pytest.approx(1 + math.log(6))
    assert scale.grad is not None
    assert scale.grad.item() == pytest.approx(0, abs=1e-6)
    for other in (2.5, 3.5):
        assert laplace_nll(prediction, row(*[other] * 4), target, valid) > loss


def test_the_likelihood_gives_the_depth_no_gradient_and_minds_no_hole() -> None:
    prediction, scale = row(1.0, 2.0).requires_grad_(), row(0.5, 0.5).requires_grad_()
    loss = laplace_nll(prediction, scale, row(2.0, float("nan")), row(1, 0).bool())
    loss.backward()
    assert prediction.grad is None
    assert scale.grad is not None
    assert scale.grad.flatten().tolist() == pytest.approx([-1 / 0.25 + 1 / 0.5, 0])


@pytest.mark.parametrize("loss", [l1_loss, mse_loss, silog_loss])
def test_weights_count_by_their_proportions(loss: Callable[..., torch.Tensor]) -> None:
    """A pixel of weight three is the same as three pixels."""
    prediction, target = row(1.0, 2.0), row(2.0, 5.0)
    thrice, thrice_target = row(1.0, 1.0, 1.0, 2.0), row(2.0, 2.0, 2.0, 5.0)
    expected = loss(thrice, thrice_target, row(1, 1, 1, 1).bool())
    for factor in (1.0, 1e-3, 40.0):
        weighted = loss(prediction, target, row(1, 1).bool(), factor * row(3.0, 1.0))
        assert weighted.item() == pytest.approx(expected.item(), rel=1e-5)


def test_weights_of_invalid_pixels_count_for_nothing() -> None:
    values, weight = row(5.0, float("nan"), 7.0), row(1.0, float("nan"), 3.0)
    assert masked_mean(values, row(1, 0, 1).bool(), weight).item() == pytest.approx((5 + 21) / 4)
    assert masked_mean(values, row(0, 0, 0).bool(), weight).item() == 0


# ---- training ----


@pytest.mark.parametrize("configure", [rgb, binaural])
def test_a_run_learns_the_same_depth_with_uncertainty_and_without(v2_root: Path, configure: Callable[..., Any]) -> None:
    plain, doubting = (
        configure(v2_root, nb_epochs=2, experiment_name=name, uncertainty=name == "doubting")
        for name in ("plain", "doubting")
    )
    train(plain)
    model = train(doubting)
    weights = last_weights("doubting", 2)
    depth = {name: tensor for name, tensor in weights.items() if not name.startswith("uncertainty_head.")}
    assert_bit_equal(last_weights("plain", 2), depth)
    assert [row["val/rmse"] for row in curve("plain")] == [row["val/rmse"] for row in curve("doubting")]
    assert model.has_uncertainty
    first, last = curve("doubting")
    for name in ("train/uncertainty", "val/uncertainty"):
        assert float(last[name]) < float(first[name])
    assert "val/uncertainty" not in curve("plain")[0]


def test_a_taught_student_learns_the_same_depth_too(v2_root: Path) -> None:
    train(rgb(v2_root, base_channels=6))
    for name in ("plain", "doubting"):
        train(distil(v2_root, experiment_name=name, uncertainty=name == "doubting"))
    plain, doubting = last_weights("plain", 1), last_weights("doubting", 1)
    assert_bit_equal(plain, {name: doubting[name] for name in plain})


def test_the_weight_of_the_lesson_reaches_it(v2_root: Path) -> None:
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
        (rgb, {"uncertainty": True, "lambda_uncertainty": 0.0}, "--lambda_uncertainty 0 teaches no --uncertainty"),
        (binaural, {"uncertainty": True, "model": "unet_baseline"}, "--uncertainty: BatVision's U-Net has none"),
        (distil, {"kd_confidence": True, "lambda_kd": 0.0}, "--kd_confidence weighs what --lambda_kd 0 leaves out"),
    ],
)
def test_a_doubt_that_cannot_be_taught_is_refused(
    v2_root: Path, configure: Callable[..., Any], flags: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(configure(v2_root, **flags))
    assert not list(Path().iterdir())


# ---- the teacher's confidence ----


def test_a_sure_pixel_teaches_more_and_all_of_them_as_much() -> None:
    """Depths of 2 and 8 m, off by 0.5 and 4: confidences of 4 and 2, so the first counts twice."""
    teacher = Prediction(row(2.0, 8.0), {}, row(0.5, 4.0))
    student = Prediction(row(3.0, 12.0), {})
    valid = row(1, 1).bool()
    assert confidence(student, teacher).flatten().tolist() == [4.0, 2.0]
    assert Response(l1_loss)(student, teacher, valid).item() == pytest.approx((1 + 4) / 2)
    assert Response(l1_loss, by_confidence=True)(student, teacher, valid).item() == pytest.approx((2 * 1 + 4) / 3)


def test_a_teacher_as_sure_of_far_as_of_near_changes_nothing() -> None:
    depth = torch.rand(2, 1, 8, 8) + 0.5
    student, teacher = Prediction(depth + torch.rand_like(depth), {}), Prediction(depth, {}, depth / 7)
    valid = torch.rand_like(depth) > 0.5
    for where in ("everywhere", "unmeasured"):
        plain, sure = (Response(l1_loss, where, by)(student, teacher, valid) for by in (False, True))
        assert sure.item() == pytest.approx(plain.item(), rel=1e-5)


def test_the_confidence_of_a_teacher_of_another_size_is_resized() -> None:
    teacher = Prediction(torch.full((1, 1, 4, 4), 2.0), {}, torch.full((1, 1, 4, 4), 0.5))
    assert torch.equal(confidence(Prediction(torch.ones(1, 1, 8, 8), {}), teacher), torch.full((1, 1, 8, 8), 4.0))


def test_the_teacher_shows_its_scale() -> None:
    teacher = FrozenTeacher(DepthModel(SPEC))
    image = torch.rand(1, 3, 32, 32)
    seen, expected = teacher.predict(Sample(image=image)), teacher.model.predict(image).uncertainty
    assert seen.scale is not None
    assert expected is not None
    torch.testing.assert_close(seen.scale, expected)  # its norms are folded into its convolutions
    assert not seen.scale.requires_grad


def test_a_student_heeds_a_doubting_teacher_and_refuses_one_that_never_doubts(v2_root: Path) -> None:
    train(rgb(v2_root, experiment_name="doubting", uncertainty=True))
    for name in ("plain", "heeding"):
        train(distil(v2_root, "doubting", experiment_name=name, kd_confidence=name == "heeding"))
    plain, heeding = last_weights("plain", 1), last_weights("heeding", 1)
    assert any(not torch.equal(tensor, heeding[name]) for name, tensor in plain.items())
    train(rgb(v2_root, experiment_name="sure"))
    with pytest.raises(ConfigError, match=r"--kd_confidence: sure does not say .* --uncertainty, or leave --kd_conf"):
        train(distil(v2_root, "sure", experiment_name="refused", kd_confidence=True))
    assert not Path("checkpoints/refused").exists()
