"""Encoder convolutions along frequency, then along time, and weights of models without that choice."""

import torch
from torch import nn

from echodepth.models.layers import CONVOLUTIONS, Encoder
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet


def test_factorized_convolutions_act_along_frequency_then_along_time() -> None:
    block = CONVOLUTIONS["factorized"](1, 3).eval()
    x = torch.zeros(1, 1, 9, 9)
    x[..., 4, 4] = 1.0
    along_frequency = block[0](x)
    assert torch.nonzero(along_frequency.abs().sum(dim=1)[0]).tolist() == [[3, 4], [4, 4], [5, 4]]
    along_time = block[3](along_frequency[:, :, 4:5])
    assert torch.nonzero(along_time.abs().sum(dim=1)[0]).tolist() == [[0, 3], [0, 4], [0, 5]]


def test_factorized_convolutions_reach_as_far_as_full_ones() -> None:
    for convolution in CONVOLUTIONS:
        block = CONVOLUTIONS[convolution](1, 16).double().eval()
        x = torch.rand(1, 1, 11, 11, dtype=torch.float64, requires_grad=True)
        block(x)[..., 5, 5].sum().backward()
        assert x.grad is not None
        reached = torch.zeros(11, 11, dtype=torch.bool)
        reached[3:8, 3:8] = True  # two convolutions of 3: two places to each side
        assert torch.equal(x.grad[0, 0] != 0, reached), convolution


def test_only_the_encoders_are_factorized() -> None:
    full, factorized = (BinauralAttentionDepthNet(4, convolution=convolution) for convolution in CONVOLUTIONS)
    for name in ("left_to_right", "right_to_left", "fusion", "decoder", "head"):
        before, after = (getattr(network, name).state_dict() for network in (full, factorized))
        assert {key: value.shape for key, value in before.items()} == {key: v.shape for key, v in after.items()}
    for encoder in (factorized.left_encoder, factorized.right_encoder):
        kernels = [m.kernel_size for m in encoder.modules() if isinstance(m, nn.Conv2d)]
        assert kernels == 10 * [(3, 1), (1, 3)]


def test_full_convolutions_keep_the_names_and_the_random_start_of_older_models() -> None:
    """Models and seeds from before there was a choice: an encoder of 3x3 convolutions, written out."""

    def twice(wide: int, out: int) -> list[nn.Module]:
        return [
            layer
            for channels in (wide, out)
            for layer in (nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
        ]

    torch.manual_seed(5)
    stages = [nn.Sequential(*twice(1, 4))]
    for wide, out in ((4, 8), (8, 16), (16, 32), (32, 32)):
        stages.append(nn.Sequential(nn.MaxPool2d(2), nn.Sequential(*twice(wide, out))))
    older = nn.ModuleDict({"stages": nn.ModuleList(stages)}).state_dict()
    after_it = torch.rand(1)  # both drew as much
    torch.manual_seed(5)
    encoder = Encoder(1, 4, bilinear=True)
    assert torch.equal(torch.rand(1), after_it)
    torch.manual_seed(5)
    student = BinauralAttentionDepthNet(4)
    for now in (encoder.state_dict(), student.left_encoder.state_dict()):
        assert list(now) == list(older)
        assert all(torch.equal(weights, older[name]) for name, weights in now.items())
