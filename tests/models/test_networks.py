"""One contract for all networks, and what is particular to each."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from echodepth.models.conv_bn_fusion import fuse_conv_bn
from echodepth.models.layers import (
    DECODER_LEVELS,
    ENCODER_LEVELS,
    FEATURE_LEVELS,
    DepthNet,
    count_parameters,
    decoder_channels,
    encoder_channels,
)
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet, create_binaural_attention_model
from echodepth.models.networks.light_binaural import LightBinauralDepthNet
from echodepth.models.networks.rgb_depth import RGBDepthNet, create_rgb_depth_model
from echodepth.models.networks.unet_baseline import UNetBaseline

MAX_DEPTH = 12.0
SIDE = 24


@dataclass(frozen=True)
class Case:
    """A network small enough to test, and how many channels it takes."""

    make: Callable[[], DepthNet]
    channels: int


CASES = {
    "rgb": Case(lambda: RGBDepthNet(4, True, SIDE, MAX_DEPTH), 3),
    "rgb, transposed": Case(lambda: RGBDepthNet(4, False, SIDE, MAX_DEPTH), 3),
    "binaural": Case(lambda: BinauralAttentionDepthNet(4, True, SIDE, MAX_DEPTH), 2),
    "binaural, transposed": Case(lambda: BinauralAttentionDepthNet(4, False, SIDE, MAX_DEPTH, (1, 5)), 2),
    "binaural, no attention, two channels an ear": Case(
        lambda: BinauralAttentionDepthNet(4, True, SIDE, MAX_DEPTH, (), ear_channels=2), 4
    ),
    "binaural, factorized": Case(
        lambda: BinauralAttentionDepthNet(4, True, SIDE, MAX_DEPTH, (3, 5), convolution="factorized"), 2
    ),
    "rgb, uncertain": Case(lambda: RGBDepthNet(4, True, SIDE, MAX_DEPTH, uncertainty=True), 3),
    "binaural, uncertain": Case(lambda: BinauralAttentionDepthNet(4, True, SIDE, MAX_DEPTH, uncertainty=True), 2),
    "light": Case(lambda: LightBinauralDepthNet(8, SIDE, MAX_DEPTH), 2),
    "light, uncertain, no attention, two channels an ear": Case(
        lambda: LightBinauralDepthNet(8, SIDE, MAX_DEPTH, (), ear_channels=2, uncertainty=True), 4
    ),
    "binaural, image grid, one encoder": Case(
        lambda: BinauralAttentionDepthNet(4, True, SIDE, MAX_DEPTH, (), shared_encoder=True, image_grid=True), 2
    ),
    "light, image grid": Case(lambda: LightBinauralDepthNet(8, SIDE, MAX_DEPTH, image_grid=True), 2),
    "baseline": Case(lambda: UNetBaseline(2, SIDE, MAX_DEPTH), 2),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    assert isinstance(request.param, Case)
    return request.param


class TestContract:
    """What every network promises."""

    @pytest.mark.parametrize("size", [(16, 16), (17, 33), (48, 40), (64, 64)])
    def test_any_size_gives_the_output_size(self, case: Case, size: tuple[int, int]) -> None:
        network = case.make().eval()
        with torch.inference_mode():
            depth = network(torch.rand(2, case.channels, *size))
        assert depth.shape == (2, 1, SIDE, SIDE)
        assert depth.dtype == torch.float32

    def test_without_an_output_size_depth_has_that_of_the_input(self, case: Case) -> None:
        """With an image grid it is the square of as many pixels: rows and columns of a spectrogram are no image's."""
        network = case.make().eval()
        network.output_size = None
        has_grid = bool(getattr(network, "image_grid", None))
        for size, square in ((48, 80), (64, 64)), ((17, 33), (16, 16)), ((64, 64), (64, 64)):
            with torch.inference_mode():
                depth, uncertainty, _ = network.predict(torch.rand(1, case.channels, *size))
            assert depth.shape == (1, 1, *(square if has_grid else size))
            assert uncertainty is None or uncertainty.shape == depth.shape

    @pytest.mark.parametrize("scale", [1.0, 1e4])
    def test_depth_stays_in_its_range(self, case: Case, scale: float) -> None:
        network = case.make().eval()
        with torch.inference_mode():
            depth = network(scale * torch.randn(2, case.channels, 32, 32))
        assert depth.min() > 0
        assert depth.max() < MAX_DEPTH

    def test_starts_at_a_sensible_depth(self, case: Case) -> None:
        depth = case.make().eval()(torch.rand(1, case.channels, 32, 32))
        assert 1.5 < depth.mean().item() < 5.0

    def test_features_are_the_nine_levels_and_leave_depth_alone(self, case: Case) -> None:
        network = case.make().eval()
        x = torch.rand(1, case.channels, 32, 32)
        depth, features = network(x, return_features=True)
        assert tuple(features) == FEATURE_LEVELS
        assert torch.equal(depth, network(x))

    def test_every_parameter_gets_a_finite_gradient(self, case: Case) -> None:
        network = case.make()
        depth, uncertainty, _ = network.predict(torch.rand(2, case.channels, 32, 32))
        (depth.sum() + (0 if uncertainty is None else uncertainty.sum())).backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name

    @pytest.mark.slow
    def test_a_few_steps_reach_a_target(self, case: Case) -> None:
        network = case.make()
        x, target = torch.rand(2, case.channels, 32, 32), torch.full((2, 1, SIDE, SIDE), 7.0)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
        for _ in range(40):
            optimizer.zero_grad()
            loss = (network(x) - target).abs().mean()
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.7

    def test_frames_of_a_batch_do_not_touch_each_other_in_eval(self, case: Case) -> None:
        network = case.make().eval()
        x = torch.rand(3, case.channels, 32, 32)
        with torch.inference_mode():
            together, alone = network(x), torch.cat([network(frame[None]) for frame in x])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)

    def test_same_seed_same_network_same_answer(self, case: Case) -> None:
        x = torch.rand(1, case.channels, 32, 32)
        answers = []
        for _ in range(2):
            torch.manual_seed(5)
            answers.append(case.make().eval()(x))
        assert torch.equal(*answers)

    def test_saved_and_loaded_it_answers_the_same(self, case: Case, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = tmp_path_factory.mktemp("weights") / "model.safetensors"
        first, second = case.make(), case.make()
        first(torch.rand(2, case.channels, 32, 32))  # moves the running statistics too
        save_file(first.state_dict(), path)
        second.load_state_dict(load_file(path), strict=True)
        x = torch.rand(1, case.channels, 32, 32)
        assert torch.equal(first.eval()(x), second.eval()(x))

    def test_with_its_norms_folded_it_answers_the_same(self, case: Case) -> None:
        network = case.make()
        network(torch.rand(4, case.channels, 32, 32))  # statistics that are not 0 and 1
        x = torch.rand(2, case.channels, 32, 32)
        with torch.inference_mode():
            expected, features = network.eval()(x, return_features=True)
            fuse_conv_bn(network)
            depth, folded = network(x, return_features=True)
        assert not [key for key in network.state_dict() if "encoder" in key and "running_mean" in key]
        torch.testing.assert_close(depth, expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(folded, features, atol=1e-4, rtol=1e-4)

    def test_a_wrong_input_is_named(self, case: Case) -> None:
        network = case.make()
        argument = "rgb" if case.channels == 3 else "spectrograms"
        with pytest.raises(ValueError, match=rf"{argument} must be \[B, {case.channels}, H, W\].*\[1, 7, 32, 32\]"):
            network(torch.rand(1, 7, 32, 32))
        with pytest.raises(ValueError, match=rf"{argument} must be at least 16 pixels.*\[15, 32\]"):
            network(torch.rand(1, case.channels, 15, 32))


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize(("base_channels", "size"), [(4, (32, 32)), (6, (37, 50)), (16, (16, 16))])
def test_teacher_and_student_share_one_pyramid(base_channels: int, bilinear: bool, size: tuple[int, int]) -> None:
    teacher = create_rgb_depth_model(base_channels, bilinear, 32).eval()
    student = create_binaural_attention_model(base_channels, bilinear, 32).eval()
    _, image_features = teacher(torch.rand(2, 3, *size), return_features=True)
    _, audio_features = student(torch.rand(2, 2, *size), return_features=True)
    assert {level: f.shape for level, f in image_features.items()} == {
        level: f.shape for level, f in audio_features.items()
    }
    widths = encoder_channels(base_channels, bilinear) + decoder_channels(base_channels, bilinear)
    halvings = (0, 1, 2, 3, 4, 0, 1, 2, 3)
    for level, width, halving in zip(ENCODER_LEVELS + DECODER_LEVELS, widths, halvings, strict=True):
        assert image_features[level].shape == (2, width, size[0] >> halving, size[1] >> halving), level


def test_pyramid_of_the_documented_width() -> None:
    assert encoder_channels(64, bilinear=True) == (64, 128, 256, 512, 512)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (lambda: RGBDepthNet(64), 17_262_977),
        (lambda: RGBDepthNet(32), 4_318_401),
        (lambda: RGBDepthNet(64, bilinear=False), 31_037_633),
        (lambda: BinauralAttentionDepthNet(64), 29_411_209),
        (lambda: BinauralAttentionDepthNet(32), 7_358_409),
        (lambda: BinauralAttentionDepthNet(64, bilinear=False), 56_166_345),
        (lambda: BinauralAttentionDepthNet(64, convolution="factorized"), 24_212_105),
        (lambda: BinauralAttentionDepthNet(32, convolution="factorized"), 6_061_385),
        (lambda: BinauralAttentionDepthNet(64, bilinear=False, convolution="factorized"), 47_825_609),
        (lambda: BinauralAttentionDepthNet(32, bilinear=False, convolution="factorized"), 11_967_849),
        (lambda: BinauralAttentionDepthNet(64, True, 256, 30.0, (), shared_encoder=True, image_grid=True), 19_149_697),
        (lambda: BinauralAttentionDepthNet(32, False, 256, 30.0, (), shared_encoder=True, image_grid=True), 8_880_225),
        (lambda: LightBinauralDepthNet(32), 527_797),
        (lambda: LightBinauralDepthNet(64, image_grid=True), 2_217_637),
        (lambda: UNetBaseline(64), 54_538_561),
        (lambda: RGBDepthNet(64, uncertainty=True), 17_262_977 + (64 * 9 + 1) * 64 + 64 + 1),
    ],
)
def test_parameters_are_as_documented(network: Callable[[], nn.Module], parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(network()) == parameters


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RGBDepthNet(base_channels=0), "base_channels must be at least 1, not 0"),
        (lambda: RGBDepthNet(output_size=0), "output_size must be at least 1 pixel, not 0"),
        (lambda: RGBDepthNet(max_depth=-1.0), "max_depth must be a positive number of metres, not -1"),
        (lambda: BinauralAttentionDepthNet(attention_levels=(0, 6)), r"attention_levels .* not \[0, 6\]"),
        (lambda: BinauralAttentionDepthNet(ear_channels=0), "ear_channels must be at least 1, not 0"),
        (lambda: LightBinauralDepthNet(base_channels=31), "base_channels must be even .* not 31"),
        (lambda: LightBinauralDepthNet(attention_levels=(7,)), r"attention_levels .* not \[7\]"),
        (lambda: BinauralAttentionDepthNet(convolution="depthwise"), "convolution must be full or factorized, not dep"),
    ],
)
def test_a_wrong_constructor_argument_is_named(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_norms_that_still_learn_are_not_folded() -> None:
    with pytest.raises(ValueError, match=r"call eval\(\) first"):
        fuse_conv_bn(RGBDepthNet(2))


def test_swapped_ears_change_the_output() -> None:
    student = BinauralAttentionDepthNet(4, output_size=32).eval()
    ears = torch.rand(1, 2, 32, 32)
    assert not torch.allclose(student(ears), student(ears.flip(1)))


def test_an_open_gate_connects_the_ears() -> None:
    student = BinauralAttentionDepthNet(4, output_size=32).eval()
    ears = torch.rand(1, 2, 32, 32)
    plain = student(ears)
    for attention in (*student.left_to_right.values(), *student.right_to_left.values()):
        nn.init.ones_(attention.gate)  # type: ignore[arg-type]
    assert not torch.allclose(student(ears), plain)


def test_attention_maps_sum_to_one_over_the_other_ear() -> None:
    student = BinauralAttentionDepthNet(4, output_size=32, attention_levels=(2, 4)).eval()
    maps = student.attention_maps(torch.rand(2, 2, 32, 48), frequency=0.25, time=1.0)
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "x2_left_to_right": (2, 16, 24),
        "x2_right_to_left": (2, 16, 24),
        "x4_left_to_right": (2, 4, 6),
        "x4_right_to_left": (2, 4, 6),
    }
    for m in maps.values():
        torch.testing.assert_close(m.sum(dim=(1, 2)), torch.ones(2))


def test_identical_ears_have_identical_attention_maps() -> None:
    student = BinauralAttentionDepthNet(4, output_size=32, attention_levels=(3,)).eval()
    student.right_encoder.load_state_dict(student.left_encoder.state_dict())
    student.right_to_left.load_state_dict(student.left_to_right.state_dict())
    ear = torch.rand(1, 1, 32, 32)
    maps = student.attention_maps(torch.cat([ear, ear], dim=1), frequency=0.5, time=0.5)
    assert torch.equal(maps["x3_left_to_right"], maps["x3_right_to_left"])
