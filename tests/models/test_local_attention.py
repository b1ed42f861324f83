"""Attention over fewer keys, against the standard formula with the other keys masked out."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from echodepth.models.attention import local_attention, memory_efficient_attention
from echodepth.models.attention.cross_attention import ATTENTIONS, CrossAttention
from echodepth.models.attention.local_attention import (
    BAND,
    average_pool,
    band_attention,
    pooling_matrix,
    sum_windows,
)
from echodepth.models.attention.memory_efficient_attention import grouped_attention
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet

ATTEND: dict[str, Callable[..., Tensor]] = {
    "band": lambda *maps: band_attention(*([x.permute(0, 2, 3, 1)] for x in maps))[0].permute(0, 3, 1, 2),
    "time": lambda *maps: grouped_attention(*([x.permute(0, 2, 3, 1)] for x in maps))[0].permute(0, 3, 1, 2),
}
"""From maps to a map, [B,C,F,T]."""
SIZES = [(5, 9), (4, 4), (3, 5), (6, 1), (1, 7), (2, 3)]
"""Rows and columns: more columns than a band, as many, fewer, one."""


def maps(rows: int, columns: int, samples: int = 2, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """A query, a key and a value, 3, 3 and 4 channels wide."""
    torch.manual_seed(rows * 31 + columns)
    return [torch.randn(samples, c, rows, columns, dtype=dtype, requires_grad=True) for c in (3, 3, 4)]


def masked(query: Tensor, key: Tensor, value: Tensor, *, allowed: Tensor) -> Tensor:
    """Textbook attention between all positions, where ``allowed`` [query, key] says so."""
    q, k, v = (x.flatten(2).mT for x in (query, key, value))
    scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~allowed, float("-inf"))
    return (torch.softmax(scores, dim=-1) @ v).mT.reshape(value.shape)


def pattern_mask(form: str, rows: int, columns: int) -> Tensor:
    row, column = (x.flatten() for x in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
    if form == "band":
        return (column[:, None] - column).abs() <= BAND
    return row[:, None] == row


@pytest.mark.parametrize("tile", [200, 10**6])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("form", ["band", "time"])
def test_values_and_gradients_are_those_of_masked_attention(
    form: str, size: tuple[int, int], tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_efficient_attention, "TILE_BYTES", tile)
    ours, theirs = maps(*size), maps(*size)
    found = ATTEND[form](*ours)
    expected = masked(*theirs, allowed=pattern_mask(form, *size))
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad)


@pytest.mark.parametrize("form", list(ATTEND))
def test_the_gradient_equals_the_difference_quotient(form: str) -> None:
    assert torch.autograd.gradcheck(ATTEND[form], maps(2, 6))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(5, 7), (4, 3), (2, 9)], ids=str)
def test_pooled_attention_is_attention_to_means(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_attention, "POOLED", 3)
    layer = opened("pooled")
    own, other = torch.randn(2, 2, 8, *size, dtype=torch.float64, requires_grad=True)
    means = F.adaptive_avg_pool2d(other, (min(size[0], 3), min(size[1], 3)))
    q, k, v = (x.flatten(2).mT for x in (layer.query(own), layer.key(means), layer.value(means)))
    found = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v
    torch.testing.assert_close(layer(own, other), own + found.mT.unflatten(2, size))
    assert torch.autograd.gradcheck(layer, (own, other))


def test_pooling_is_the_mean_of_neighbours() -> None:
    x = torch.randn(1, 1, 70, 33)
    torch.testing.assert_close(average_pool(x)[0, 0], pooling_matrix(70) @ x[0, 0] @ pooling_matrix(33).mT)
    assert average_pool(x).shape[2:] == (32, 32)
    assert torch.equal(average_pool(x[:, :, :30, :32]), x[:, :, :30, :32])
    torch.testing.assert_close(pooling_matrix(70).sum(dim=1), torch.ones(32))


def opened(form: str) -> CrossAttention:
    """A layer whose gate lets everything through, in double precision."""
    torch.manual_seed(0)
    layer = ATTENTIONS[form](8)
    nn.init.ones_(layer.gate)
    return layer.double()


@pytest.mark.parametrize("size", [(5, 9), (3, 2), (34, 37)], ids=str)
@pytest.mark.parametrize("form", list(ATTENTIONS))
def test_attention_weights_are_those_of_the_output(form: str, size: tuple[int, int]) -> None:
    layer = opened(form)
    own, other = torch.randn(2, 2, 8, *size, dtype=torch.float64)
    found = layer(own, other) - own
    for row, column in ((0, 0), (size[0] - 1, size[1] - 1), (size[0] // 2, size[1] // 2)):
        weights = layer.attention_weights(own, other, column)[:, row]
        torch.testing.assert_close(weights.sum(dim=(1, 2)), torch.ones(2, dtype=torch.float64))
        fetched = (layer.value(other) * weights[:, None]).sum(dim=(2, 3))
        torch.testing.assert_close(found[:, :, row, column], fetched)


def test_masked_positions_have_no_weight() -> None:
    own, other = torch.randn(2, 1, 8, 6, 9, dtype=torch.float64)
    assert torch.nonzero(opened("band").attention_weights(own, other, 7)[0, 4].sum(dim=0)).flatten().tolist() == [
        5,
        6,
        7,
        8,
    ]
    assert torch.nonzero(opened("time").attention_weights(own, other, 7)[0, 4].sum(dim=1)).flatten().tolist() == [4]


def test_a_band_is_wider_than_a_head_and_a_window_together() -> None:
    """Level 1 of 256 columns, over the 60 m to the farthest wall and back."""
    column = 60 / 340 / 256
    assert column == pytest.approx(0.69e-3, rel=0.01)
    later = 0.3 / 340  # metres round a head, from ear to ear
    smeared = 64 / 44100 / 2  # half a window of the spectrogram
    assert later + smeared < (BAND + 0.5) * column


def test_all_forms_have_the_same_weights_and_the_same_random_start() -> None:
    states = []
    for form in ATTENTIONS:
        torch.manual_seed(1)
        states.append(BinauralAttentionDepthNet(4, output_size=32, attention=form).state_dict())
    for one, other in pairwise(states):
        assert list(one) == list(other)
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("form", list(ATTENTIONS))
def test_attention_maps_of_every_form_sum_to_one(form: str) -> None:
    student = BinauralAttentionDepthNet(4, output_size=32, attention_levels=(1, 4), attention=form).eval()
    maps = student.attention_maps(torch.rand(2, 2, 40, 70), frequency=0.25, time=1.0)
    assert maps["x1_left_to_right"].shape == (2, 40, 70)
    for shown in maps.values():
        torch.testing.assert_close(shown.sum(dim=(1, 2)), torch.ones(2))


@pytest.mark.slow
@pytest.mark.parametrize("form", list(ATTENTIONS))
def test_every_form_is_written_down_as_a_graph_for_any_number_of_samples(form: str) -> None:
    student = BinauralAttentionDepthNet(4, output_size=32, attention_levels=(2, 5), attention=form).eval()
    for attention in (*student.left_to_right.values(), *student.right_to_left.values()):
        nn.init.ones_(attention.gate)  # type: ignore[arg-type]
    batch = {"x": {0: torch.export.Dim("batch")}}
    graph = torch.export.export(student, (torch.rand(2, 2, 36, 80),), dynamic_shapes=batch).module()
    x = torch.rand(3, 2, 36, 80)
    torch.testing.assert_close(graph(x), student(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 6, 9])
def test_the_sum_over_windows_is_the_gradient_of_making_them(columns: int) -> None:
    rows, channels = 2, 3
    padded = torch.zeros(2, columns + 2 * BAND, rows, channels, dtype=torch.float64, requires_grad=True)
    windows = torch.stack([padded[:, t : t + 2 * BAND + 1].flatten(1, 2) for t in range(columns)], dim=1)
    weight = torch.randn_like(windows)
    (windows * weight).sum().backward()
    assert padded.grad is not None
    torch.testing.assert_close(sum_windows(weight), padded.grad[:, BAND : BAND + columns])


@pytest.mark.parametrize("form", list(ATTENTIONS))
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_both_directions_together_are_each_direction_alone(form: str, memory_format: torch.memory_format) -> None:
    there, back = opened(form), opened(form)
    for parameter in back.parameters():
        parameter.data.mul_(0.7)
    left, right = torch.randn(2, 2, 8, 3, 5, dtype=torch.float64)
    left, right = (x.contiguous(memory_format=memory_format).requires_grad_() for x in (left, right))
    both = there(left, right, opposite=back)
    alone = torch.cat([there(left, right), back(right, left)], dim=1)
    torch.testing.assert_close(both, alone)
    assert both.is_contiguous(memory_format=memory_format)
    parameters = [left, right, *there.parameters(), *back.parameters()]
    weight = torch.randn_like(both)
    for found, expected in zip(
        torch.autograd.grad((both * weight).sum(), parameters),
        torch.autograd.grad((alone * weight).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)
