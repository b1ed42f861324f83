"""Networks and front ends by name: configs that are constructor arguments, specs from flags, entries from outside."""

import dataclasses
import inspect
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core.errors import ConfigError
from echodepth.models.checkpoint import DepthModel, build_spec
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.frontends.base import FrontEnd
from echodepth.models.frontends.echo import EchoConfig
from echodepth.models.frontends.image import ImageConfig
from echodepth.models.layers import DepthNet
from echodepth.models.networks import NETWORKS
from echodepth.models.networks.binaural_attention import BinauralAttentionConfig
from echodepth.models.networks.light_binaural import LightBinauralConfig
from echodepth.models.networks.rgb_depth import RGBDepthConfig
from tests.conftest import ROOT

networks = pytest.mark.parametrize("network", list(NETWORKS), ids=lambda each: each.name)


def front_end_of(network: type[DepthNet]) -> type[FrontEnd]:
    return next(each for each in FRONT_ENDS if each.modality == network.modality and each.is_default)


@networks
def test_a_config_has_all_arguments_that_neither_run_nor_front_end_gives(network: type[DepthNet]) -> None:
    flags = {field.name for field in dataclasses.fields(network.config)}
    given = {"output_size", "max_depth", *front_end_of(network)(image_size=32).network_arguments}
    assert flags | given == set(inspect.signature(network).parameters)
    assert not flags & given


@pytest.mark.parametrize("entry", [*NETWORKS, *FRONT_ENDS], ids=lambda each: each.name)
def test_a_constructor_has_the_defaults_of_the_command_unless_help_says_so(entry: Any) -> None:
    """Two students of one name: 29 M parameters from Python, 19 M from the command, and nothing said so."""
    arguments = inspect.signature(entry).parameters
    helps = dict(
        re.findall(r"^    (\w+): [^\n]+ = [^\n]+\n    \"{3}(.+)\"{3}$", inspect.getsource(entry.config), re.MULTILINE)
    )
    for flag in dataclasses.fields(entry.config):
        default = arguments[flag.name].default if flag.name in arguments else "none"
        if default != flag.default:
            said = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
            assert re.search(rf"constructor.*: {said}\)", helps.get(flag.name, "")), f"--{flag.name} of {entry.name}"


def test_each_modality_has_one_default() -> None:
    for modality in ("image", "audio"):
        for registry in (NETWORKS, FRONT_ENDS):
            assert len([each for each in registry if each.modality == modality and each.is_default]) == 1


@networks
def test_default_flags_build_a_model_that_predicts(network: type[DepthNet]) -> None:
    end = front_end_of(network)
    spec = build_spec(network.name, network.config(base_channels=2), end.name, end.config(), 32, 12.0)
    model = DepthModel(spec).eval()
    raw = torch.rand(1, 3, 32, 32) if network.modality == "image" else torch.randn(1, 2, 2000)
    prediction = model.predict(raw)
    assert prediction.depth.shape == (1, 1, 32, 32)
    assert prediction.depth.max() < 12
    assert tuple(prediction.features) == network.feature_levels
    assert (model.input_key, model.max_depth, model.image_size) == (network.modality, 12.0, 32)


@networks
def test_one_frame_of_the_smallest_size_can_be_trained(network: type[DepthNet]) -> None:
    end = front_end_of(network)
    model = DepthModel(build_spec(network.name, network.config(base_channels=2), end.name, end.config(), 32, 12.0))
    size = network.single_frame_size
    model.network.train().predict(torch.rand(1, model.front_end.input_channels, size, size))
    if network.single_frame_size > 16:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            model.network.predict(torch.rand(1, model.front_end.input_channels, size // 2, size // 2))


def test_a_spec_has_every_setting_as_a_plain_value() -> None:
    @dataclass(frozen=True)
    class Flags(BinauralAttentionConfig, EchoConfig):
        """A composed group of flags."""

    flags = Flags(base_channels=8, attention_levels=(4, 5), binaural_cues=True)
    spec = build_spec("binaural_attention", flags, "echo", flags, 64, 10.0)
    assert spec.network == "binaural_attention"
    assert spec.arguments == {
        **{"base_channels": 8, "uncertainty": False, "bilinear": True, "attention_levels": [4, 5]},
        **{"convolution": "full", "output_size": 64, "max_depth": 10.0, "ear_channels": 10},
        **{"shared_encoder": True, "image_grid": True},
    }
    assert spec.front_end == {
        **{
            "name": "echo",
            "image_size": 64,
            "spectrogram": "log",
            "binaural_cues": True,
            "spectrogram_antialias": True,
        },
        **{"n_fft": 512, "win_length": 64, "hop_length": 16},
        **{"audio_bins": 32, "audio_frames": 128, "audio_range": 10.0, "chirp": "linear"},
    }


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"--model lite: there is no such network; did you mean light\?"):
        build_spec("lite", LightBinauralConfig(), "echo", EchoConfig(), 32, 10.0)
    with pytest.raises(ConfigError, match="--front_end echo is for audio; rgb takes image"):
        build_spec("rgb", RGBDepthConfig(), "echo", EchoConfig(), 32, 10.0)
    with pytest.raises(ConfigError, match="--front_end ear: there is no such front end"):
        build_spec("light", LightBinauralConfig(), "ear", ImageConfig(), 32, 10.0)


PLUGIN = """
from dataclasses import dataclass
from torch import nn
from echodepth.models.heads import DepthHead
from echodepth.models.layers import FEATURE_LEVELS, DepthNet, NetworkConfig, Prediction
from echodepth.models.networks import NETWORKS

@NETWORKS.register
class Linear(DepthNet):
    name, config, modality, label = "linear", NetworkConfig, "image", "linear"

    def __init__(self, base_channels=64, output_size=256, max_depth=30.0):
        super().__init__()
        self.output_size, self.max_depth = output_size, max_depth
        self.conv, self.head = nn.Conv2d(3, base_channels, 1), DepthHead(base_channels, max_depth)

    def predict(self, x):
        return self.head_outputs(dict.fromkeys(FEATURE_LEVELS, self.conv(x)))
"""


@pytest.mark.slow
def test_a_network_from_a_plugin_is_saved_and_loaded(tmp_path: Path) -> None:
    (tmp_path / "my_network.py").write_text(PLUGIN)
    script = """
import sys, torch
from pathlib import Path
from typing import Any
from echodepth.core.errors import CheckpointError
from echodepth.core.registry import load_plugin
from echodepth.models.checkpoint import DepthModel, ModelSpec, load_depth_model, save_model
if sys.argv[1] == "save":
    load_plugin("my_network")
    save_model(DepthModel(ModelSpec("linear", {"base_channels": 2, "output_size": 32})), Path("best"))
    print(load_depth_model("best").predict(torch.rand(1, 3, 40, 40)).depth.shape[-1])
else:
    try:
        load_depth_model("best")
    except CheckpointError as error:
        print(error)
"""
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    printed = []
    for step in ("save", "load"):
        command = [sys.executable, "-c", script, step]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
        printed.append(run.stdout)
    assert printed[0] == "32\n"
    assert "unknown network 'linear': there are" in printed[1]
    assert "--plugin MODULE" in printed[1]
