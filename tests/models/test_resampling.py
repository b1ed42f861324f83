"""Upsampling by matrices, as on CUDA in half precision, against torch's interpolation."""

import inspect

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from echodepth.models import resampling
from echodepth.models.layers import Up
from echodepth.models.resampling import STEPS, by_matrices, interpolation_matrix, resample, upsample

CPU = torch.device("cpu")


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 40), new_size=st.integers(1, 80), align_corners=st.booleans())
def test_a_matrix_interpolates_as_torch_does(size: int, new_size: int, align_corners: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "STEPS", 2**40)
        matrix = inspect.unwrap(interpolation_matrix)(size, new_size, align_corners, torch.float64, CPU)
    x = torch.randn(1, 1, size, dtype=torch.float64)
    expected = F.interpolate(x, new_size, mode="linear", align_corners=align_corners)
    torch.testing.assert_close(matrix @ x[0, 0], expected[0, 0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_weights_are_exact_and_a_constant_stays_constant(dtype: torch.dtype) -> None:
    matrix = interpolation_matrix(128, 256, True, dtype, CPU)
    assert torch.equal(matrix.double(), interpolation_matrix(128, 256, True, torch.float64, CPU))
    assert torch.equal(matrix.double().sum(dim=1), torch.ones(256, dtype=torch.float64))
    ramp = torch.arange(128, dtype=torch.float64)
    exact = torch.linspace(0, 127, 256, dtype=torch.float64)
    assert (matrix.double() @ ramp - exact).abs().max() <= 0.5 / STEPS + 1e-12


@pytest.mark.parametrize("align_corners", [True, False])
def test_both_axes_and_the_gradient_are_those_of_torch(align_corners: bool) -> None:
    size, new_size = (4, 6), (8, 11)
    ours = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    matrices = [
        F.interpolate(torch.eye(old, dtype=torch.float64)[None], new, mode="linear", align_corners=align_corners)[0].T
        for old, new in zip(size, new_size, strict=True)
    ]
    found = by_matrices(ours, *matrices)
    expected = F.interpolate(theirs, new_size, mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_channels_last_maps_stay_channels_last() -> None:
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert by_matrices(x, torch.randn(8, 4), torch.randn(9, 5)).is_contiguous(memory_format=torch.channels_last)


def test_a_cpu_interpolates_as_before() -> None:
    x = torch.randn(1, 2, 3, 5)
    assert torch.equal(
        upsample(x, (6, 10), True), F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    )


def test_a_block_upsamples_odd_sizes() -> None:
    assert Up(8, 4, 4, bilinear=True)(torch.randn(1, 8, 2, 3), torch.randn(1, 4, 5, 7)).shape == (1, 4, 5, 7)


class Resample(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return resample(x, (9, 5))


def test_a_map_that_is_resampled_in_a_graph_first_is_resampled_outside_of_it_later() -> None:
    """The matrices of the first call were kept: if a graph was traced in it, every later call gave no values."""
    x = torch.rand(1, 2, 47, 13)
    program = torch.export.export(Resample(), (x,), strict=False)
    expected = F.interpolate(x, (9, 5), mode="bilinear", antialias=True)
    torch.testing.assert_close(resample(x, (9, 5)), expected)
    torch.testing.assert_close(program.module()(x), expected)
    assert not [node for node in program.graph.nodes if "upsample" in str(node.target)]


def test_matrices_are_kept() -> None:
    assert interpolation_matrix(5, 7, True, torch.float32, CPU) is interpolation_matrix(5, 7, True, torch.float32, CPU)
    assert not interpolation_matrix(5, 7, True, torch.float32, CPU).is_inference()
