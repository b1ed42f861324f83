"""Cross-attention weights by lag: the reference weights, summed by the difference of their columns."""

import pytest
import torch
from torch import Tensor, nn

from echodepth.models.attention.attention_lags import (
    lag_weights,
    predict_with_lags,
    relative_attention,
    weight_near_zero,
)
from echodepth.models.attention.cross_attention import CrossAttention
from echodepth.models.layers import DepthNet
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet
from echodepth.models.networks.light_binaural import LightBinauralDepthNet
from echodepth.models.networks.rgb_depth import RGBDepthNet
from echodepth.models.networks.unet_baseline import UNetBaseline

ROWS, COLUMNS = 3, 7
LAGS = list(range(1 - COLUMNS, COLUMNS))


def layer_and_maps() -> tuple[CrossAttention, Tensor, Tensor]:
    torch.manual_seed(0)
    own, other = torch.randn(2, 2, 8, ROWS, COLUMNS, dtype=torch.float64)
    return CrossAttention(8).double(), own, other


@torch.no_grad()
def reference(layer: CrossAttention, own: Tensor, other: Tensor) -> Tensor:
    """The whole matrix softmax(QKᵀ/√d), [B,F,T,F2,T2]."""
    query, key = layer.query(own), layer.key(other)
    scores = torch.einsum("bdft,bdgs->bftgs", query, key) / query.shape[1] ** 0.5
    return torch.softmax(scores.flatten(3), dim=-1).view_as(scores)


def test_the_weights_are_those_of_the_reference() -> None:
    layer, own, other = layer_and_maps()
    whole = reference(layer, own, other)
    for column in range(COLUMNS):
        torch.testing.assert_close(layer.attention_weights(own, other, column), whole[:, :, column])


def test_they_are_summed_by_lag() -> None:
    layer, own, other = layer_and_maps()
    matrix = reference(layer, own, other).mean(dim=0)  # [F,T,F2,T2]
    uniform = torch.full_like(matrix, 1 / (ROWS * COLUMNS))
    t, t2 = torch.arange(COLUMNS)[:, None, None], torch.arange(COLUMNS)
    expected = [
        [float((each * (t2 - t == lag)).sum() / (ROWS * COLUMNS)) for lag in LAGS] for each in (matrix, uniform)
    ]
    found = lag_weights(layer, own, other)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2, dtype=torch.float64))


def test_uniform_attention_is_a_triangle_with_a_ratio_of_one() -> None:
    """Of 7 columns, 7 - |lag| pairs of 49 are so far apart: a peak at lag 0 without any comparison of the ears."""
    layer, own, other = layer_and_maps()
    nn.init.zeros_(layer.query.weight)
    nn.init.zeros_(torch.as_tensor(layer.query.bias))
    found = lag_weights(layer, own, other)
    assert found[0].tolist() == pytest.approx([(COLUMNS - abs(lag)) / COLUMNS**2 for lag in LAGS])
    assert [lag for lag, _ in relative_attention(found)] == [-3, -2, -1, 0, 1, 2, 3]
    assert [times for _, times in relative_attention(found)] == pytest.approx([1.0] * 7)
    assert weight_near_zero(found) == pytest.approx((19 / 49, 19 / 49))


def test_attention_to_a_signal_two_columns_later_has_that_lag() -> None:
    layer = CrossAttention(8).double()
    for convolution in (layer.query, layer.key):
        nn.init.zeros_(torch.as_tensor(convolution.bias))
        nn.init.eye_(convolution.weight[:, :, 0, 0])
    own = torch.zeros(1, 8, 1, 12, dtype=torch.float64)
    for column in range(12):
        angle = torch.tensor(column * torch.pi / 12)
        own[0, :2, 0, column] = 100 * torch.stack([angle.cos(), angle.sin()])
    other = own.roll(2, dims=-1)
    found = lag_weights(layer, own[..., :10], other[..., :10])
    # The signals of the last two columns arrive after the end of the other map.
    assert found[0].argmax() == 9 + 2
    assert dict(relative_attention(found))[2] > 5
    assert weight_near_zero(found)[0] < 0.25
    assert lag_weights(layer, other[..., 2:], own[..., 2:])[0].argmax() == 9 - 2


def test_a_network_returns_them_by_level() -> None:
    network = BinauralAttentionDepthNet(4, output_size=32, attention_levels=(2, 5)).eval()
    spectrograms = torch.rand(2, 2, 32, 80)
    prediction, found = predict_with_lags(network, spectrograms)
    torch.testing.assert_close(prediction.depth, network.predict(spectrograms).depth)
    assert {level: tuple(weights.shape) for level, weights in found.items()} == {"x2": (2, 79), "x5": (2, 9)}
    left, right = network._encode(spectrograms)
    layer = network.left_to_right["x5"]
    assert isinstance(layer, CrossAttention)
    torch.testing.assert_close(found["x5"], lag_weights(layer, left["x5"], right["x5"]))
    assert not any(each._forward_pre_hooks for each in network.modules())
    assert list(predict_with_lags(LightBinauralDepthNet(4, output_size=32).eval(), spectrograms)[1]) == ["x4", "x5"]


@pytest.mark.parametrize(
    ("network", "channels"),
    [
        (BinauralAttentionDepthNet(2, output_size=32, attention_levels=()), 2),
        (UNetBaseline(2, output_size=32), 2),
        (RGBDepthNet(2, output_size=32), 3),
    ],
    ids=lambda each: type(each).__name__,
)
def test_networks_without_attention_have_no_lags(network: DepthNet, channels: int) -> None:
    prediction, lags = predict_with_lags(network.eval(), torch.rand(1, channels, 32, 32))
    assert prediction.depth.shape == (1, 1, 32, 32)
    assert lags == {}
