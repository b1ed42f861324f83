"""Losses on the teacher's features by hand and by gradient: distance, attention transfer, and between frames."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from echodepth.distillation.losses.attention_transfer import AttentionTransferLoss
from echodepth.distillation.losses.contrastive import ContrastiveLoss
from echodepth.distillation.losses.feature_matching import (
    HINGE_MARGIN,
    FeatureMatchingLoss,
    _UnitDistance,
    feature_loss,
)
from echodepth.distillation.losses.similarity_preserving import SimilarityPreservingLoss
from tests.distillation.predictions import FLAT, compared, prediction


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


def test_similarity_preserving_needs_no_common_grid() -> None:
    term = SimilarityPreservingLoss(("x5",))
    pattern = torch.tensor([1.0, 1.0, -1.0, -1.0])
    student = prediction(FLAT, x5=pattern.reshape(4, 1, 1, 1).expand(4, 3, 2, 5))
    alike = prediction(FLAT, x5=(7 * pattern).reshape(4, 1, 1, 1).expand(4, 6, 4, 4))
    crossed = prediction(FLAT, x5=torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(4, 1, 1, 1).expand(4, 6, 4, 4))
    assert compared(term, student, alike).item() == pytest.approx(0, abs=1e-6)
    # Each row holds four entries of +-1/2, and half of all 16 entries have the other sign.
    assert compared(term, student, crossed).item() == pytest.approx(8 * 1 / 16)
    two_levels = SimilarityPreservingLoss(("x5", "d1"))
    student.features["d1"] = student.features["x5"]
    crossed.features["d1"] = alike.features["x5"]
    assert compared(two_levels, student, crossed).item() == pytest.approx((8 * 1 / 16 + 0) / 2)


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
