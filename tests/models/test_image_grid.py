"""The image grid: its size by hand, and that every direction hears every time."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from echodepth.models.ears import as_batch_of_ears, concatenated, left_and_right
from echodepth.models.image_grid import ImageGrid, TokenMixing, image_side
from echodepth.models.layers import DepthNet
from echodepth.models.networks.binaural_attention import BinauralAttentionConfig, BinauralAttentionDepthNet
from echodepth.models.networks.light_binaural import LightBinauralConfig, LightBinauralDepthNet
from echodepth.models.networks.unet_baseline import UNetBaseline
from echodepth.models.resampling import resample

SIDE = 64
EIGHTHS = 8


@pytest.mark.parametrize(
    ("rows", "columns", "side"), [(256, 256, 256), (32, 128, 64), (16, 16, 16), (17, 33, 16), (32, 200, 80)]
)
def test_the_grid_has_about_as_many_positions_as_the_input(rows: int, columns: int, side: int) -> None:
    assert image_side(rows, columns) == side


@pytest.mark.parametrize("size", [(32, 128), (64, 64), (17, 33)])
def test_resampling_is_antialiased_interpolation(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    expected = F.interpolate(x, (64, 64), mode="bilinear", antialias=True)
    torch.testing.assert_close(resample(x, (64, 64)), expected, rtol=1e-5, atol=1e-6)


def test_mixing_is_a_weighted_sum_over_all_positions() -> None:
    """By hand: two positions to two, behind a norm without effect and an identity."""
    mixing = TokenMixing(1, (1, 2), (2, 1)).eval()
    with torch.no_grad():
        mixing.weight.copy_(torch.tensor([[1.0, 0.5], [2.0, -3.0]]))
        mixing.project.weight.fill_(1.0)
        mixing.project.bias.zero_()  # type: ignore[union-attr]
    mixed = mixing(torch.tensor([[[[1.0, 10.0]]]]))
    # 1 * 1 + 2 * 10 = 21; 0.5 * 1 - 3 * 10 = -29.5, which the ReLU makes 0.
    torch.testing.assert_close(mixed[0, 0, :, 0], torch.tensor([21.0, 0.0]), rtol=1e-4, atol=1e-4)


def test_levels_that_are_not_mixed_are_resampled_alone() -> None:
    x = torch.rand(1, 3, 32, 128)
    grid = ImageGrid(3, stride=1)
    assert not list(grid.parameters())
    assert torch.equal(grid(x, 64), resample(x, (64, 64)))


def test_both_ears_pass_as_a_batch_and_come_back() -> None:
    spectrograms = torch.arange(2 * 6 * 2 * 2.0).view(2, 6, 2, 2)
    ears = as_batch_of_ears(spectrograms)
    assert torch.equal(ears[0], spectrograms[0, :3])
    assert torch.equal(ears[1], spectrograms[0, 3:])
    left, right = left_and_right(ears)
    assert torch.equal(left, spectrograms[:, :3])
    assert torch.equal(right, spectrograms[:, 3:])
    for memory_format in (torch.contiguous_format, torch.channels_last):
        given = spectrograms.contiguous(memory_format=memory_format)
        assert torch.equal(concatenated(as_batch_of_ears(given)), spectrograms)


def test_one_encoder_hears_both_ears_alike() -> None:
    network = BinauralAttentionDepthNet(4, output_size=32, attention_levels=(), shared_encoder=True).eval()
    ear = torch.rand(1, 1, 32, 32)
    left, right = network._encode(torch.cat([ear, ear], dim=1))
    assert all(torch.equal(left[level], right[level]) for level in left)
    other, _ = network._encode(torch.cat([ear, torch.rand(1, 1, 32, 32)], dim=1))
    torch.testing.assert_close(other["x1"], left["x1"])


def deaf_columns(network: DepthNet, size: tuple[int, int]) -> set[int]:
    """Columns of the depth map that stay the same to the bit when an eighth of the time changes, for any eighth."""
    network = network.double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)  # gates and projections that start at zero
    generator = torch.Generator().manual_seed(0)
    sound, others = torch.rand(2, 1, 2, *size, generator=generator, dtype=torch.float64)
    width = size[1] // EIGHTHS
    changed = sound.repeat(EIGHTHS, 1, 1, 1)
    for eighth in range(EIGHTHS):
        part = slice(eighth * width, (eighth + 1) * width)
        changed[eighth, :, :, part] = others[0, :, :, part]
    with torch.inference_mode():
        network(changed)  # statistics with which about half of the units are active
        before, *after = network.eval()(torch.cat([sound, changed]))
    same = torch.stack([(depth == before).all(dim=1)[0] for depth in after])
    return set(same.any(dim=0).nonzero().flatten().tolist())


def with_defaults(network: type[DepthNet], config: object) -> Callable[[], DepthNet]:
    flags = {**vars(config), "base_channels": 4, "output_size": SIDE}
    return lambda: network(**flags)


HEARING: dict[str, Callable[[], DepthNet]] = {
    "student": with_defaults(BinauralAttentionDepthNet, BinauralAttentionConfig()),
    "light student": with_defaults(LightBinauralDepthNet, LightBinauralConfig()),
    "original description": lambda: BinauralAttentionDepthNet(2, output_size=SIDE, attention_levels=(4, 5)),
    "baseline": lambda: UNetBaseline(4, SIDE),
}


@pytest.mark.parametrize("size", [(32, 128), (256, 256)])
@pytest.mark.parametrize("make", HEARING.values(), ids=list(HEARING))
def test_every_direction_hears_every_time(make: Callable[[], DepthNet], size: tuple[int, int]) -> None:
    """An echo from any distance can change the depth in any direction."""
    torch.manual_seed(0)
    assert deaf_columns(make(), size) == set()


def test_convolutions_alone_leave_a_quarter_of_the_picture_deaf() -> None:
    """Without image grid and attention, depth behind the receptive field cannot depend on near echoes.

    Time is the column axis of the maps and the receptive field is 141 columns to either side.
    """
    torch.manual_seed(0)
    network = BinauralAttentionDepthNet(2, output_size=SIDE, attention_levels=())
    deaf = deaf_columns(network, (256, 256))
    assert set(range(50, 64)) <= deaf
