"""Properties of the light network beside the contract of all networks: little arithmetic, a full receptive field."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet
from echodepth.models.networks.light_binaural import InvertedResidual, LightBinauralDepthNet
from echodepth.training.config import TrainConfig, train_config
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


@pytest.mark.parametrize(
    "config", [train_config("binaural", model="light"), train_config("distill", model="light", teacher="t")]
)
def test_the_flag_alone_builds_it(config: TrainConfig) -> None:
    spec = model_spec(config)
    assert spec.network == "light"
    assert LightBinauralDepthNet(**spec.arguments).head.conv.in_channels == 32
