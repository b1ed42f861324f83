"""Learned alignment: a resampler between grids of any size."""

import pytest
import torch

from echodepth.distillation.losses.feature_matching import (
    FeatureMatchingLoss,
)
from echodepth.distillation.losses.learned_alignment import LearnedAlignmentLoss, Resampler
from echodepth.models.layers import Prediction
from tests.distillation.predictions import FLAT, compared, prediction


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
