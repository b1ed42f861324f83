"""Properties of the light network beside the contract of all networks: little arithmetic, a full receptive field."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.light import count_operations
from echodepth.models.attention.attention_lags import predict_with_lags
from echodepth.models.attention.cross_attention import CrossAttention
from echodepth.models.conv_bn_fusion import fused_copy
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet
from echodepth.models.networks.light_binaural import InvertedResidual, LightBinauralDepthNet
from echodepth.training.compose import train_config
from echodepth.training.config import TrainConfig
from echodepth.training.train import model_spec


def operations(network: nn.Module, size: int) -> int:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 2, size, size))
    return int(counter.get_total_flops())


def test_it_computes_a_thirtieth_of_what_the_standard_network_does() -> None:
    # Convolutions count by the pixel, so a small picture tells the ratio; attention at wider levels only adds to it.
    standard = operations(BinauralAttentionDepthNet(64, attention_levels=(5,)), 64)
    assert operations(LightBinauralDepthNet(64), 64) < standard / 30


def test_both_ears_share_one_encoder_and_differ_in_the_output() -> None:
    torch.manual_seed(0)
    network = LightBinauralDepthNet(8, 32).eval()
    # The encoder has no weights of one ear: equal spectrograms have equal features.
    assert not any("left" in name or "right" in name for name, _ in network.encoder.named_parameters())
    x = torch.rand(1, 2, 32, 32)
    assert not torch.allclose(network(x), network(x.flip(1)), atol=1e-6)


def test_every_pixel_depends_on_every_frequency_and_time() -> None:
    torch.manual_seed(0)
    network = LightBinauralDepthNet(8, 64).double().eval()
    x = torch.rand(1, 2, 64, 64, dtype=torch.float64, requires_grad=True)
    network(x)[0, 0, 0, 0].backward()
    assert x.grad is not None
    assert (x.grad[0, :, -8:, -8:] != 0).any()


def test_a_separable_convolution_is_residual_only_where_shapes_agree() -> None:
    x = torch.rand(1, 4, 8, 8)
    same, narrower, halved = (
        InvertedResidual(4, 4).eval(),
        InvertedResidual(4, 2).eval(),
        InvertedResidual(4, 4, stride=2).eval(),
    )
    for block in (same, narrower, halved):
        nn.init.zeros_(block.get_parameter("6.weight"))  # the layers then return zero
    assert torch.equal(same(x), x)
    assert torch.equal(narrower(x), torch.zeros(1, 2, 8, 8))
    assert torch.equal(halved(x), torch.zeros(1, 4, 4, 4))


@pytest.mark.parametrize("size", [(4, 6), (24, 24)], ids=["one matrix", "more weights than a tile holds"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_both_directions_at_once_equal_one_after_the_other(size: tuple[int, int], layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    ours, opposite = CrossAttention(8).double(), CrossAttention(8).double()
    with torch.no_grad():
        ours.gate.fill_(0.7)
        opposite.gate.fill_(-1.3)
    left, right = (torch.randn(3, 8, *size).double().contiguous(memory_format=layout) for _ in range(2))
    parameters = [*ours.parameters(), *opposite.parameters()]
    both = ours(left, right, opposite=opposite)
    apart = torch.cat([ours(left, right), opposite(right, left)], dim=1)
    torch.testing.assert_close(both, apart, rtol=0, atol=1e-12)
    ways = [torch.autograd.grad(out.square().sum(), parameters) for out in (both, apart)]
    torch.testing.assert_close(*ways, rtol=1e-9, atol=1e-9)


def test_ears_of_a_frame_stay_together() -> None:
    """Every frame of a batch has the depth that it has alone, and the left channels come first."""
    torch.manual_seed(0)
    network = LightBinauralDepthNet(8, 32, attention_levels=(2, 5), ear_channels=3).eval()
    for layer in (*network.left_to_right.values(), *network.right_to_left.values()):
        nn.init.ones_(layer.gate)  # type: ignore[arg-type]
    x = torch.rand(3, 6, 32, 48)
    alone = torch.cat([network(frame[None]) for frame in x])
    torch.testing.assert_close(network(x), alone, rtol=1e-4, atol=1e-5)
    last = network(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, alone, rtol=1e-4, atol=1e-5)
    features = network.predict(x).features["x1"]
    left, right = (network.encoder["x1"](ear) for ear in x.split(3, dim=1))
    torch.testing.assert_close(network.fusion["x1"](torch.cat([left, right], dim=1)), features, rtol=1e-4, atol=1e-5)


def test_its_attention_can_be_read_by_lag() -> None:
    _, lags = predict_with_lags(LightBinauralDepthNet(8, 32).eval(), torch.rand(2, 2, 64, 64))
    assert {level: tuple(weights.shape) for level, weights in lags.items()} == {"x4": (2, 7), "x5": (2, 3)}


def test_a_frame_starts_few_operations() -> None:
    """On a GPU one frame takes as long as its operations take to start; there were 271, and 222 with fused norms."""
    network, x = LightBinauralDepthNet(8, 32).eval(), torch.rand(1, 2, 32, 32)
    assert count_operations(network, x) <= 203
    assert count_operations(fused_copy(network), x) <= 154


@pytest.mark.parametrize(
    "config", [train_config("binaural", model="light"), train_config("distill", model="light", teacher="t")]
)
def test_the_flag_alone_builds_it(config: TrainConfig) -> None:
    spec = model_spec(config)
    assert spec.network == "light"
    assert LightBinauralDepthNet(**spec.arguments).head.conv.in_channels == 32
