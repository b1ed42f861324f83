"""The output layers by hand: where an untrained head starts, what a logit means, and how the ends are reached."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from echodepth.models.heads import DepthHead, UncertaintyHead


def share(logit: float) -> float:
    """99 % of a logistic function and 1 % of an algebraic one, whose tail is 0.5 / (1 + |z|)."""
    tail = 0.5 / (1 + abs(logit))
    return 0.99 / (1 + math.exp(-logit)) + 0.01 * (tail if logit < 0 else 1 - tail)


def at_zero(head: DepthHead | UncertaintyHead) -> float:
    """Metres that a head predicts for features of 0, whatever its weights."""
    with torch.inference_mode():
        return float(head(torch.zeros(1, head.conv.in_channels, 2, 2), 2).mean())


@pytest.mark.parametrize("logit", [-700.0, -40.0, -3.0, -1.0, 0.0, 1.0, 3.0, 40.0])
def test_a_logit_is_a_share_of_the_range(logit: float) -> None:
    z = torch.tensor([[[[logit]]]], dtype=torch.float64)
    assert DepthHead(1, 20.0).bound(z).item() == pytest.approx(20 * share(logit), rel=1e-12)
    # The logarithm of uncertainty is bounded: e^8 lies between the least and the largest.
    expected = 20 * math.exp(8 * (share(logit) - 1))
    assert UncertaintyHead(1, 20.0).bound(z).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("logit", [-30.0, 30.0])
def test_far_from_the_middle_the_slope_is_that_of_the_algebraic_tail(logit: float) -> None:
    z = torch.tensor(logit, requires_grad=True)
    DepthHead(1, 10.0).fraction(z).backward()
    assert z.grad is not None
    assert float(z.grad) == pytest.approx(0.01 * 0.5 / 31**2, rel=1e-4)


def test_half_precision_is_bounded_in_single_and_double_stays_double() -> None:
    head = DepthHead(1, 30.0)
    assert head.fraction(torch.tensor(9.0, dtype=torch.bfloat16)).dtype == torch.float32
    assert head.fraction(torch.tensor(9.0, dtype=torch.bfloat16)).item() == pytest.approx(share(9.0), rel=1e-6)
    assert head.fraction(torch.tensor(9.0, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(("max_depth", "start"), [(30.0, 3.0), (12.0, 3.0), (8.0, 2.0), (1.0, 0.25)])
def test_an_untrained_network_predicts_three_metres_or_a_quarter_of_a_smaller_range(
    max_depth: float, start: float
) -> None:
    fraction = start / max_depth
    logit = math.log(fraction / (1 - fraction))
    assert at_zero(DepthHead(4, max_depth)) == pytest.approx(max_depth * share(logit), rel=1e-5)
    assert at_zero(DepthHead(4, max_depth)) == pytest.approx(start, rel=0.02)


@pytest.mark.parametrize(("max_depth", "start"), [(30.0, 1.0), (10.0, 1.0), (3.0, 0.75), (500.0, 5.0)])
def test_an_untrained_uncertainty_is_a_metre_within_a_hundredth_and_a_quarter_of_the_range(
    max_depth: float, start: float
) -> None:
    head = UncertaintyHead(4, max_depth)
    with torch.no_grad():
        assert head.hidden.bias is not None
        head.hidden.bias.zero_()
    fraction = 1 + math.log(start / max_depth) / 8
    logit = math.log(fraction / (1 - fraction))
    assert at_zero(head) == pytest.approx(max_depth * math.exp(8 * (share(logit) - 1)), rel=1e-5)
    assert at_zero(head) == pytest.approx(start, rel=0.05)


def test_the_first_weights_are_small_for_any_number_of_channels() -> None:
    for channels in (400, 10_000):
        deviation = DepthHead(channels, 10.0).conv.weight.std().item()
        assert deviation == pytest.approx(0.1 / math.sqrt(channels), rel=0.15)


def test_logits_are_resized_before_they_are_bounded() -> None:
    head, features = DepthHead(3, 10.0), 20 * torch.randn(2, 3, 4, 4)
    logits = F.interpolate(head.conv(features), (9, 9), mode="bilinear", align_corners=False)
    assert torch.equal(head(features, 9), head.bound(logits))
    assert torch.equal(head(features, 4), head.bound(head.conv(features)))
    # One side alone is of the size already.
    assert head(features[..., :2], 4).shape == (2, 1, 4, 4)
    assert head(features[..., :2, :], 4).shape == (2, 1, 4, 4)
    assert head(features, (6, 9)).shape == (2, 1, 6, 9)


def test_uncertainty_reads_three_by_three_pixels_without_an_edge_at_the_border_and_gives_no_gradient() -> None:
    head, features = UncertaintyHead(3, 10.0), torch.rand(1, 3, 6, 6)
    flat = head(features[..., :1, :1].expand(-1, -1, 6, 6), 6)
    assert (flat.max() - flat.min()).item() < 1e-5
    padded = F.pad(features, (1, 1, 1, 1), mode="replicate")
    hidden = F.relu(F.conv2d(padded, head.hidden.weight, head.hidden.bias))
    assert head.hidden.weight.shape == (3, 3, 3, 3)
    torch.testing.assert_close(head(features, 6), head.bound(head.conv(hidden)))
    leaf = features.clone().requires_grad_()
    head(leaf, 6).sum().backward()
    assert leaf.grad is None


def test_an_uncertainty_head_leaves_later_random_numbers_as_they_are() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    UncertaintyHead(2, 10.0)
    assert torch.equal(torch.rand(3), expected)


def test_the_range_has_bounds() -> None:
    assert DepthHead(1, 10_000.0).max_depth == 10_000
    assert DepthHead(1, 0.5).max_depth == 0.5
    for wrong in (0.0, -1.0, 10_000.5, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"max_depth must be a positive number of metres, not {wrong}, 10000 at"):
            DepthHead(1, wrong)


class TestDepthHead:
    """The bounded output."""

    @staticmethod
    def bound(logit: Tensor) -> Tensor:
        return DepthHead(1, 30.0).bound(logit)

    def test_gradient_is_alive_where_float32_rounds_the_logistic_function_to_one(self) -> None:
        logit = torch.tensor([-1000.0, -50.0, -5.0, 0.0, 5.0, 20.0, 50.0, 1000.0], requires_grad=True)
        self.bound(logit).sum().backward()
        assert logit.grad is not None
        assert (logit.grad > 1e-9).all()
        dead = torch.tensor(50.0, requires_grad=True)
        torch.sigmoid(dead).backward()
        assert dead.grad == 0.0

    def test_it_rises_through_the_whole_open_range(self) -> None:
        assert (self.bound(torch.linspace(-100, 100, 401)).diff() > 0).all()
        nearest, farthest = self.bound(torch.tensor([-2000.0, 2000.0]))
        assert 0 < nearest < 0.001
        assert 29.999 < farthest < 30

    def test_the_middle_is_worked_out_by_hand(self) -> None:
        assert self.bound(torch.tensor(0.0)).item() == 15.0
        by_hand = 30 * (0.99 / (1 + math.exp(2.0)) + 0.01 * 0.5 / 3)
        assert self.bound(torch.tensor(-2.0)).item() == pytest.approx(by_hand, rel=1e-6)

    def test_gradient_equals_the_difference_quotient(self) -> None:
        logit = torch.tensor([-20.0, -1.0, 0.3, 15.0], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(self.bound, (logit,))

    def test_half_precision_is_bounded_in_single(self) -> None:
        assert self.bound(torch.tensor([10.0], dtype=torch.bfloat16)).dtype == torch.float32
