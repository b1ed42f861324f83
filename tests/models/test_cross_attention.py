"""Exact attention, tile by tile, against the textbook formula: values, gradients, memory."""

import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from echodepth.models.attention import memory_efficient_attention as module
from echodepth.models.attention.cross_attention import CrossAttention
from echodepth.models.attention.memory_efficient_attention import memory_efficient_attention
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet


def naive(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
    return torch.softmax(scores, dim=-1) @ value


def inputs(b: int, n: int, m: int, d: int, c: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = (torch.randn(b, *s, dtype=dtype, requires_grad=True) for s in ((n, d), (m, d), (m, c)))
    return query, key, value


@settings(max_examples=30, deadline=None)
@given(
    b=st.integers(1, 3), n=st.integers(1, 40), m=st.integers(1, 40), d=st.integers(1, 9), c=st.integers(1, 17),
    tile=st.integers(1, 4000),
)  # fmt: skip
def test_values_and_gradients_equal_the_naive_formula(b: int, n: int, m: int, d: int, c: int, tile: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE_BYTES", tile)
        ours, theirs = inputs(b, n, m, d, c), inputs(b, n, m, d, c)
        for own, other in zip(ours, theirs, strict=True):
            other.data.copy_(own.data)
        out, expected = memory_efficient_attention(*ours), naive(*theirs)
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
        weight = torch.randn_like(out)
        (out * weight).sum().backward()
        (expected * weight).sum().backward()
        for own, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(own.grad, other.grad, atol=1e-5, rtol=1e-5)


def test_gradient_equals_the_difference_quotient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE_BYTES", 8 * 3 * 3)  # three by three
    assert torch.autograd.gradcheck(memory_efficient_attention, inputs(2, 7, 5, 3, 4, torch.float64))


def test_single_precision_is_as_near_to_double_as_the_textbook_formula() -> None:
    """4096 positions of level 3: gradients of the two differ by less than 2e-6 of the largest."""
    torch.manual_seed(3)
    exact = inputs(1, 1024, 4096, 16, 32, torch.float64)
    ours, theirs = ([x.detach().float().requires_grad_() for x in exact] for _ in range(2))
    weight = torch.randn(1, 1024, 32, dtype=torch.float64)
    (naive(*exact) * weight).sum().backward()
    for single, formula in ((ours, memory_efficient_attention), (theirs, naive)):
        (formula(*single) * weight.float()).sum().backward()
    for own, textbook, double in zip(ours, theirs, exact, strict=True):
        assert own.grad is not None
        assert textbook.grad is not None
        assert double.grad is not None
        largest = double.grad.abs().max()
        assert (own.grad - double.grad).abs().max() < 2e-6 * largest
        assert (own.grad - textbook.grad).abs().max() < 2e-6 * largest


def test_a_traced_graph_computes_the_same() -> None:
    query, key, value = inputs(2, 9, 8, 3, 4)
    torch.testing.assert_close(module._traced(query, key, value), naive(query, key, value))


def test_a_query_far_from_all_keys_but_one_fetches_that_value() -> None:
    key = torch.eye(3)[None] * 100
    value = torch.tensor([[[1.0], [2.0], [3.0]]])
    assert memory_efficient_attention(key[:, 1:2], key, value).item() == 2.0


def test_equal_keys_give_the_mean_value() -> None:
    value = torch.tensor([[[1.0], [2.0], [6.0]]])
    assert memory_efficient_attention(torch.randn(1, 1, 4), torch.ones(1, 3, 4), value).item() == pytest.approx(3.0)


def test_large_scores_do_not_overflow() -> None:
    query, key, value = inputs(1, 4, 4, 2, 3)
    out = memory_efficient_attention(query * 1e4, key * 1e4, value)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(x.grad).all() for x in (query, key, value) if x.grad is not None)


def test_without_gradients_the_same_values() -> None:
    query, key, value = inputs(2, 9, 8, 3, 4)
    with torch.no_grad():
        plain = memory_efficient_attention(query, key, value)
    assert torch.equal(plain, memory_efficient_attention(query, key, value))


def test_under_autocast_forward_and_backward_agree_in_dtype() -> None:
    layer = CrossAttention(16)
    torch.nn.init.ones_(layer.gate)
    own, other = torch.randn(1, 16, 6, 6, requires_grad=True), torch.randn(1, 16, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(own, other)
    out.float().sum().backward()
    assert own.grad is not None
    assert torch.isfinite(own.grad).all()


def opened() -> CrossAttention:
    """A layer whose gate lets everything through, in double precision."""
    torch.manual_seed(0)
    layer = CrossAttention(8)
    nn.init.ones_(layer.gate)
    return layer.double()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_both_directions_together_are_each_direction_alone(memory_format: torch.memory_format) -> None:
    there, back = opened(), opened()
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


@pytest.mark.slow
def test_a_graph_is_traced_for_any_number_of_samples() -> None:
    student = BinauralAttentionDepthNet(4, output_size=32, attention_levels=(2, 5)).eval()
    for attention in (*student.left_to_right.values(), *student.right_to_left.values()):
        nn.init.ones_(attention.gate)  # type: ignore[arg-type]
    batch = {"x": {0: torch.export.Dim("batch")}}
    graph = torch.export.export(student, (torch.rand(2, 2, 36, 80),), dynamic_shapes=batch).module()
    x = torch.rand(3, 2, 36, 80)
    torch.testing.assert_close(graph(x), student(x), rtol=1e-4, atol=1e-4)


def test_an_untrained_layer_passes_its_own_ear_through() -> None:
    layer = CrossAttention(8)
    own, other = torch.randn(2, 8, 5, 7), torch.randn(2, 8, 5, 7)
    assert torch.equal(layer(own, other), own)


def test_attention_weights_are_those_of_the_output() -> None:
    layer = opened()
    own, other = torch.randn(2, 2, 8, 5, 9, dtype=torch.float64)
    found = layer(own, other) - own
    for row, column in ((0, 0), (4, 8), (2, 4)):
        weights = layer.attention_weights(own, other, column)[:, row]
        torch.testing.assert_close(weights.sum(dim=(1, 2)), torch.ones(2, dtype=torch.float64))
        fetched = (layer.value(other) * weights[:, None]).sum(dim=(2, 3))
        torch.testing.assert_close(found[:, :, row, column], fetched)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory as Linux counts it")
def test_memory_is_linear_in_the_positions() -> None:
    """96x96 positions: the full matrix of one direction alone is 340 MB, forward and backward together hold three."""
    script = textwrap.dedent("""
        import resource, torch
        from echodepth.models.attention.memory_efficient_attention import memory_efficient_attention as attention
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        torch.set_num_threads(1)
        n = 96 * 96
        q, k, v = (torch.randn(1, n, w, requires_grad=True) for w in (4, 4, 8))
        attention(q[:, :64], k[:, :64], v[:, :64]).sum().backward()
        before = peak()
        attention(q, k, v).sum().backward()
        print(peak() - before)
    """)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 200
