"""Distillation losses against hand-computed values and gradients; the frozen teacher; pseudo-labels."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from echodepth.core.errors import ConfigError
from echodepth.data.sample import Sample
from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.distillation.losses.attention_transfer import AttentionTransferLoss
from echodepth.distillation.losses.base import DistillationLoss, DistillationLossConfig, StudentInfo, TeacherInfo
from echodepth.distillation.losses.contrastive import ContrastiveLoss
from echodepth.distillation.losses.feature_matching import (
    HINGE_MARGIN,
    FeatureMatchingLoss,
    _UnitDistance,
    feature_loss,
)
from echodepth.distillation.losses.learned_alignment import LearnedAlignmentLoss, Resampler
from echodepth.distillation.losses.ranking import RankingLoss
from echodepth.distillation.losses.response import ResponseLoss
from echodepth.distillation.losses.similarity_preserving import SimilarityPreservingLoss
from echodepth.distillation.losses.total import (
    WeightedLosses,
    build_distillation,
    check_distillation,
    distillation_losses,
    levels_of,
)
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.losses.reconstruction import l1_loss, silog_loss
from echodepth.models.checkpoint import DepthModel, ModelSpec, save_model
from echodepth.models.layers import DECODER_LEVELS, Prediction
from echodepth.training.distillation_task import _pseudo_labelled, _shuffled, schedule

RGB = ModelSpec("rgb", {"base_channels": 4, "output_size": 32}, {"image_size": 32})
EARS = ModelSpec("binaural_attention", {"base_channels": 4, "output_size": 32}, {"image_size": 32})


def prediction(depth: torch.Tensor, **features: torch.Tensor) -> Prediction:
    return Prediction(depth, None, features)


def everywhere(depth: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(depth, dtype=torch.bool)


def compared(term: DistillationLoss, student: Prediction, teacher: Prediction) -> torch.Tensor:
    scalar: torch.Tensor = term(student, teacher, everywhere(student.depth))
    return scalar


FLAT = torch.ones(1, 1, 8, 8)


# ---- response ----


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


# ---- features ----


def test_feature_loss_by_hand() -> None:
    along_x, along_y = torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1), torch.tensor([0.0, 0.5]).reshape(1, 2, 1, 1)
    assert feature_loss(along_x, along_x * 10).item() == pytest.approx(0.0, abs=1e-6)
    assert feature_loss(along_x, along_y).item() == pytest.approx(2.0)
    assert feature_loss(along_x, -along_x).item() == pytest.approx(4.0)
    assert feature_loss(along_x, along_y, "hinge").item() == pytest.approx(2.0 - HINGE_MARGIN)
    nearly = torch.tensor([1.0, 0.5]).reshape(1, 2, 1, 1)
    assert feature_loss(along_x, nearly, "hinge").item() == 0
    assert feature_loss(along_x, along_y, "squared").item() == pytest.approx((9 + 0.25) / 2)
    # A vector of length 1.2e-12 still has a direction; one of 0.9e-12 counts as zero.
    assert feature_loss(0.4e-12 * along_x, along_x).item() == pytest.approx(0.0, abs=1e-6)
    assert feature_loss(0.3e-12 * along_x, along_x).item() == 1


def test_the_distance_of_unit_vectors_equals_that_of_normalised_maps_with_its_gradient() -> None:
    student, teacher = (torch.randn(2, 5, 4, 4, dtype=torch.float64) for _ in range(2))
    student[0, :, 0, 0], teacher[1, :, 1, 1] = 0.0, 0.0  # after a ReLU, all channels at a position may be 0
    gradients = []
    for distance in (
        lambda a, b: (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean(),
        feature_loss,
    ):
        leaf = student.clone().requires_grad_()
        loss = distance(leaf.relu(), teacher)
        loss.backward()
        assert leaf.grad is not None
        gradients.append((loss.detach().double(), leaf.grad))
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


def test_the_explicit_gradient_of_the_unit_vectors_distance_is_its_derivative() -> None:
    student, teacher = (torch.randn(2, 3, 2, 2, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(_UnitDistance.apply, (student.requires_grad_(), teacher))
    zero = torch.zeros(1, 3, 1, 1, requires_grad=True)
    feature_loss(zero, teacher[:1, :, :1, :1]).backward()
    assert zero.grad is not None
    assert not zero.grad.any()


def test_feature_matching_averages_levels_and_resizes_the_teacher() -> None:
    channels = {"x5": 2, "d1": 3}
    matching = FeatureMatchingLoss(("x5", "d1"), channels, channels)
    for parameter in matching.parameters():
        (nn.init.dirac_ if parameter.ndim == 4 else nn.init.zeros_)(parameter)
    student = prediction(FLAT, x5=torch.ones(1, 2, 4, 4), d1=torch.ones(1, 3, 8, 8))
    teacher = prediction(FLAT, x5=-torch.ones(1, 2, 4, 4), d1=torch.ones(1, 3, 16, 16))
    assert compared(matching, student, teacher).item() == pytest.approx((4.0 + 0.0) / 2)


@pytest.mark.parametrize("channels", [6, 2])
def test_a_trained_projection_bridges_numbers_of_channels_and_their_order(channels: int) -> None:
    matching = FeatureMatchingLoss(("x5",), {"x5": 2}, {"x5": channels})
    student, teacher = prediction(FLAT, x5=torch.randn(2, 2, 4, 4)), prediction(FLAT, x5=torch.randn(2, channels, 4, 4))
    compared(matching, student, teacher).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in matching.parameters())


def test_attention_transfer_compares_positions_and_not_channels() -> None:
    term = AttentionTransferLoss(("d1",))
    lit = torch.zeros(1, 4, 2, 2)
    lit[0, 0, 0, 0] = 5.0
    same_place, other_place = torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)
    same_place[0, 3, 0, 0] = -0.1
    other_place[0, 0, 1, 1] = 5.0
    assert compared(term, prediction(FLAT, d1=lit), prediction(FLAT, d1=same_place)).item() == pytest.approx(
        0, abs=1e-6
    )
    assert compared(term, prediction(FLAT, d1=lit), prediction(FLAT, d1=other_place)).item() == pytest.approx(2.0)


# ---- between frames ----


def test_similarity_preserving_needs_no_common_grid() -> None:
    term = SimilarityPreservingLoss(("x5",))
    pattern = torch.tensor([1.0, 1.0, -1.0, -1.0])
    student = prediction(FLAT, x5=pattern.reshape(4, 1, 1, 1).expand(4, 3, 2, 5))
    alike = prediction(FLAT, x5=(7 * pattern).reshape(4, 1, 1, 1).expand(4, 6, 4, 4))
    crossed = prediction(FLAT, x5=torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(4, 1, 1, 1).expand(4, 6, 4, 4))
    assert compared(term, student, alike).item() == pytest.approx(0, abs=1e-6)
    # Each row holds four entries of +-1/2, and half of all 16 entries have the other sign.
    assert compared(term, student, crossed).item() == pytest.approx(8 * 1 / 16)


def test_the_contrastive_loss_is_learned_and_is_zero_for_a_batch_of_one() -> None:
    term = ContrastiveLoss("x5", {"x5": 8}, {"x5": 8}, width=8)
    codes = torch.eye(8).reshape(8, 8, 1, 1)
    student, teacher = prediction(FLAT, x5=codes), prediction(FLAT, x5=codes.flip(1))
    optimiser = torch.optim.Adam(term.parameters(), 0.02)
    start = compared(term, student, teacher).item()
    for _ in range(100):
        optimiser.zero_grad()
        loss = compared(term, student, teacher)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1 < start
    assert compared(term, prediction(FLAT, x5=codes[:1]), prediction(FLAT, x5=codes[:1])).item() == pytest.approx(
        0, abs=1e-6
    )


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


def test_the_hinge_begins_at_half_a_unit_of_squared_distance() -> None:
    def hinge(cosine: float) -> float:
        pair = torch.tensor([[1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)]]).reshape(2, 2, 1, 1)
        return feature_loss(pair[:1], pair[1:], "hinge").item()

    assert hinge(0.76) == 0  # 2 - 2 cos = 0.48
    assert hinge(0.74) == pytest.approx(0.02, abs=1e-5)
    assert hinge(0.0) == pytest.approx(1.5)


def test_vectors_down_to_a_millionth_of_a_millionth_have_a_direction() -> None:
    tiny, zero = torch.full((1, 1, 1, 1), 1.1e-12), torch.full((1, 1, 1, 1), 0.9e-12)
    assert feature_loss(tiny, -torch.ones(1, 1, 1, 1)).item() == pytest.approx(4.0)
    assert feature_loss(zero, -torch.ones(1, 1, 1, 1)).item() == pytest.approx(1.0)


def test_attention_transfer_by_hand() -> None:
    student = prediction(FLAT, d1=torch.tensor([3.0, 0.0, 1.0, 2.0]).reshape(1, 2, 1, 2))
    teacher = prediction(FLAT, d1=torch.tensor([1.0, 1.0]).reshape(1, 1, 1, 2))
    # Mean squares over channels: (9 + 1, 0 + 4) / 2 against (1, 1), each to unit norm.
    a, b = [5 / math.sqrt(29), 2 / math.sqrt(29)], [1 / math.sqrt(2)] * 2
    expected = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    assert compared(AttentionTransferLoss(("d1",)), student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_contrast_by_hand() -> None:
    term = ContrastiveLoss("x5", {"x5": 2}, {"x5": 2}, width=2)
    for layer in (term.from_student, term.from_teacher):
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).reshape(2, 2, 1, 1).expand(2, 2, 3, 3)
    teacher = torch.tensor([[3.0, 4.0], [0.0, 1.0]]).reshape(2, 2, 1, 1)
    # Cosines (0.6, 0; 0.8, 1) over the temperature 0.1, matched by rows and by columns.
    logits = [[6.0, 0.0], [8.0, 10.0]]
    rows = [math.log(sum(map(math.exp, row))) - row[i] for i, row in enumerate(logits)]
    columns = [math.log(sum(math.exp(row[i]) for row in logits)) - logits[i][i] for i in range(2)]
    found = compared(term, prediction(FLAT, x5=student), prediction(FLAT, x5=teacher)).item()
    assert found == pytest.approx(sum(rows + columns) / 4, rel=1e-4)
    assert ContrastiveLoss("x5", {"x5": 8}, {"x5": 9}).from_teacher.weight.shape == (64, 9)


# ---- learned alignment ----


@pytest.mark.slow
def test_alignment_learns_that_the_image_is_transposed_in_the_student() -> None:
    """Rows of the teacher are columns of the student, which no comparison by position can match."""
    sent = torch.randn(32, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    student, teacher = prediction(FLAT, x3=sent.transpose(2, 3).flip(2)), prediction(FLAT, x3=sent)
    term = LearnedAlignmentLoss(("x3",), {"x3": 4}, {"x3": 4}, {"x3": (6, 6)})
    optimiser = torch.optim.Adam(term.parameters(), 0.01)
    for _ in range(400):
        optimiser.zero_grad()
        loss = compared(term, student, teacher)
        loss.backward()
        optimiser.step()
    pixelwise = compared(FeatureMatchingLoss(("x3",), {"x3": 4}, {"x3": 4}), student, teacher)
    assert loss.item() < 0.5 * pixelwise.item()


def test_alignment_takes_any_grids_and_gives_the_student_a_gradient() -> None:
    term = LearnedAlignmentLoss(("x4", "x5"), {"x4": 6, "x5": 8}, {"x4": 3, "x5": 5}, {"x4": (4, 7), "x5": (2, 3)})
    features = {"x4": torch.randn(2, 6, 9, 5, requires_grad=True), "x5": torch.randn(2, 8, 3, 3, requires_grad=True)}
    student = Prediction(FLAT, None, features)
    teacher = prediction(FLAT, x4=torch.randn(2, 3, 4, 7), x5=torch.randn(2, 5, 2, 3))
    compared(term, student, teacher).backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in features.values())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in term.parameters())


def test_the_resampler_is_attention_of_four_heads_from_queries_to_places() -> None:
    resampler = Resampler(3, 5, (2, 4))
    assert resampler.place.shape == (1, 64, 2, 4)
    assert resampler.place.std().item() == pytest.approx(1 / 8, rel=0.2)
    x = torch.randn(2, 3, 3, 2)
    frequency = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 3, 1).expand(2, 1, 3, 2)
    time = torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2).expand(2, 1, 3, 2)
    located = torch.cat([x, frequency, time], dim=1)
    keys, values = resampler.keys(located).flatten(2), resampler.values(located).flatten(2)  # [B, 64, 6]
    heads = []
    for head in range(4):
        channels = slice(16 * head, 16 * head + 16)
        query = resampler.place[0, channels].flatten(1)  # [16, 8]
        weights = (query.T @ keys[:, channels] / 4).softmax(dim=2)  # [B, 8, 6]
        heads.append(values[:, channels] @ weights.transpose(1, 2))  # [B, 16, 8]
    expected = resampler.out(torch.cat(heads, dim=1).unflatten(2, (2, 4)))
    torch.testing.assert_close(resampler(x), expected, atol=1e-5, rtol=1e-4)


def test_a_teacher_that_is_nearly_certain_weighs_most() -> None:
    """Confidence is depth over uncertainty, and the weights are relative to their mean."""
    student = prediction(torch.tensor([2.0, 5.0]).reshape(1, 1, 1, 2))
    teacher = Prediction(torch.tensor([1.0, 8.0]).reshape(1, 1, 1, 2), torch.tensor([0.5, 1.0]).reshape(1, 1, 1, 2), {})
    found = compared(ResponseLoss(l1_loss, by_confidence=True), student, teacher).item()
    assert found == pytest.approx((2 * 1 + 8 * 3) / (2 + 8))


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


# ---- the teacher ----


def test_a_teacher_takes_images() -> None:
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
    predicted = teacher.predict(Sample(image=torch.rand(2, 3, 32, 32)))
    assert not predicted.depth.requires_grad
    assert not any(f.requires_grad for f in predicted.features.values())
    assert not teacher.model.training
    assert all(not p.requires_grad for p in teacher.model.parameters())
    assert all(name.startswith("student.") for name in task.state_dict())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.model.state_dict().items())


def test_pseudo_labels_fill_missing_ground_truth_and_keep_the_rest() -> None:
    depth, valid = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[True, False]]]])
    student, teacher = prediction(torch.full((1, 1, 1, 2), 3.0)), prediction(torch.tensor([[[[9.0, 5.0]]]]))
    batch = Sample(depth=depth, valid=valid, name="one")
    labelled = _pseudo_labelled(batch, student, teacher)
    assert labelled["depth"].flatten().tolist() == [2.0, 5.0]
    assert labelled["valid"].all()
    assert labelled["name"] == "one"
    # The distillation losses still need to know where ground truth exists.
    assert batch["valid"].flatten().tolist() == [True, False]


def test_shuffling_moves_image_name_and_mirroring_together() -> None:
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 3, 2, 2)
    mirrored = torch.tensor([True, False, False])
    batch: Any = {"image": images, "name": ["a", "b", "c"], "mirrored": mirrored, "depth": images[:, :1]}
    shuffled: Any = _shuffled(batch)
    assert shuffled["image"][:, 0, 0, 0].tolist() == [2, 0, 1]
    assert shuffled["name"] == ["c", "a", "b"]
    assert shuffled["mirrored"].tolist() == [False, True, False]
    assert torch.equal(shuffled["depth"], batch["depth"])


# ---- the registry ----


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
