"""What is done around CUDA's fused kernels: run here on the CPU by torch's attention, asked for as on a GPU."""

from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from echodepth.models.attention import fused_attention as module
from echodepth.models.attention.cross_attention import CrossAttention
from echodepth.models.attention.fused_attention import fused_attention


class OnCuda(Tensor):
    """A tensor that says it is on a CUDA device, and computes on the CPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda")


KERNELS = ("cudnn", "flash", "efficient")
ALL = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mock]:
    """The only kernel that takes what it is given; called with the parameters."""
    asked = Mock(return_value=True)
    for each in KERNELS:
        monkeypatch.setattr(
            module, f"can_use_{each}_attention", asked if each == request.param else lambda params: False
        )
    monkeypatch.setattr(module, "_candidates", lambda query: ALL)
    monkeypatch.setattr(module, "SDPAParams", lambda query, key, value, *rest: SimpleNamespace(key=key, value=value))
    monkeypatch.setattr(module, "sdpa_kernel", lambda backend: nullcontext())
    asked.equal_widths = request.param == "flash"
    return asked


def textbook(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1) @ value


def inputs(n: int, m: int, d: int, c: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(n)
    query, key, value = (torch.randn(6, *size, requires_grad=True) for size in ((n, d), (m, d), (m, c)))
    return query, key, value


@pytest.mark.parametrize("channels", [40, 300, 512], ids=str)
def test_padded_and_split_heads_are_the_same_function(kernel: Mock, channels: int) -> None:
    ours, theirs = inputs(5, 7, 17, channels), inputs(5, 7, 17, channels)
    found, expected = module._attend(*ours), textbook(*theirs)
    assert found is not None
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weight = torch.randn_like(expected)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=1e-5, rtol=1e-5)
    given = kernel.call_args.args[0]
    assert given.value.shape[-1] <= module.WIDEST_HEAD
    assert given.key.shape[-1] % module.ALIGNMENT == given.value.shape[-1] % module.ALIGNMENT == 0
    assert (given.key.shape[-1] == given.value.shape[-1]) == kernel.equal_widths


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_rounding_to_half_precision_keeps_ten_bits_of_values_and_gradients_of_any_size(
    kernel: Mock, factor: float
) -> None:
    """Half precision alone ends at 65504 and at 6e-8."""
    ours, theirs = inputs(40, 50, 16, 32), inputs(40, 50, 16, 32)
    for tensors in (ours, theirs):
        tensors[2].data.mul_(factor)
    found, expected = module._rounded(*ours), textbook(*theirs)
    assert found is not None
    weight = torch.randn_like(expected) * factor
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    assert found.dtype == torch.float32
    pairs = [(found, expected), *((own.grad, other.grad) for own, other in zip(ours, theirs, strict=True))]
    for own, other in pairs:
        assert own is not None
        assert other is not None
        error = (own - other).norm() / other.norm()
        assert 1e-6 < error < 2**-9


def test_gradients_of_zero_stay_zero(kernel: Mock) -> None:
    query, key, value = inputs(4, 4, 8, 8)
    found = module._rounded(query, key, value)
    assert found is not None
    (0 * found).sum().backward()
    assert all(x.grad is not None and not x.grad.any() for x in (query, key, value))


def test_the_precision_of_float32_products_decides(kernel: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[torch.dtype] = []
    monkeypatch.setattr(module, "_attend", lambda query, *rest: taken.append(query.dtype))
    query, key, value = (x.detach().as_subclass(OnCuda) for x in inputs(4, 4, 8, 8))
    assert query.device.type == "cuda"
    for precision in ("highest", "high"):
        monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda precision=precision: precision)
        fused_attention(query, key, value)
    assert taken == [torch.float32, torch.float16]


def test_kernels_are_chosen_by_type_device_and_determinism(monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn, flash, efficient = ALL
    single, half = torch.zeros(1), torch.zeros(1, dtype=torch.bfloat16)
    # A training of an earlier test leaves its setting.
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: False)
    monkeypatch.setattr(module, "_capability", lambda device: (8, 0))
    assert module._candidates(single) == [efficient]
    assert module._candidates(half) == [flash, efficient]
    monkeypatch.setattr(module, "_capability", lambda device: (9, 0))
    assert module._candidates(half) == [cudnn, flash, efficient]
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert module._candidates(half) == [flash, efficient]


def test_other_devices_and_double_precision_have_no_fused_kernel() -> None:
    query, key, value = (x.detach() for x in inputs(4, 4, 8, 8))
    assert fused_attention(query, key, value) is None
    assert fused_attention(*(x.as_subclass(OnCuda).double() for x in (query, key, value))) is None


def test_without_a_kernel_the_tiles_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in KERNELS:
        monkeypatch.setattr(module, f"can_use_{each}_attention", lambda params: False)
    monkeypatch.setattr(module, "_candidates", lambda query: ALL)
    monkeypatch.setattr(module, "SDPAParams", lambda *tensors: None)
    assert module._attend(*inputs(4, 4, 8, 8)) is None


def test_a_layer_keeps_the_type_of_a_mixed_precision() -> None:
    """The gate has 32 bits. Its product had, too, and so had every map after it: twice the memory traffic."""
    layer = CrossAttention(16)
    maps = [torch.randn(1, 16, 6, 6, dtype=torch.bfloat16) for _ in range(2)]
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(*maps).dtype == torch.bfloat16
