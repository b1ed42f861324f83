"""Ways to compute, which change nothing but time and memory: gradients, statistics and saved models stay the same."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from echodepth.core.device import float32_products
from echodepth.core.errors import ConfigError
from echodepth.models.frontends.echo import EchoFrontEnd
from echodepth.models.layers import DepthNet
from echodepth.models.networks.binaural_attention import create_binaural_attention_model
from echodepth.models.networks.rgb_depth import create_rgb_depth_model
from echodepth.models.networks.unet_baseline import UNetBaseline
from echodepth.training import train, validation
from echodepth.training.compose import train_config
from echodepth.training.config import TrainConfig
from echodepth.training.depth_task import optimizer_options
from tests.tiny import SECONDS, save_tiny_rgb

TINY: dict[str, Any] = {
    **{"image_size": 32, "base_channels": 2, "batch_size": 2, "num_workers": 0, "nb_epochs": 1, "device": "cpu"},
    **{"audio_seconds": SECONDS, "learning_rate": 1e-3},
}


def networks() -> dict[str, tuple[DepthNet, int]]:
    small: dict[str, Any] = {"base_channels": 2, "output_size": 32, "attention_levels": (4,)}
    return {
        "rgb": (create_rgb_depth_model(base_channels=2, output_size=32), 3),
        "binaural": (create_binaural_attention_model(**small), 2),
        "transposed": (create_binaural_attention_model(**small, bilinear=False, convolution="factorized"), 2),
    }


def learnt(network: DepthNet, x: Tensor) -> dict[str, Tensor]:
    """All gradients and buffers after two steps' ways there and back."""
    for _ in range(2):
        depth, features = network(x, return_features=True)
        (depth.mean() + features["d3"].square().mean() + features["x2"].mean()).backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return gradients | {name: buffer.clone() for name, buffer in network.named_buffers()}


@pytest.mark.parametrize("name", ["rgb", "binaural", "transposed"])
def test_recomputed_activations_give_the_same_gradients_and_move_the_statistics_once(name: str) -> None:
    network, channels = networks()[name]
    begun = {key: value.clone() for key, value in network.state_dict().items()}
    x = torch.rand(2, channels, 32, 48)
    kept = learnt(network, x)
    network.load_state_dict(begun)
    network.zero_grad()
    network.use_activation_checkpointing()
    again = learnt(network, x)
    assert again.keys() == kept.keys()
    for key, value in kept.items():
        torch.testing.assert_close(again[key], value, atol=1e-6, rtol=1e-5, msg=key)
    counted = {int(value) for key, value in again.items() if key.endswith("num_batches_tracked")}
    assert counted == {2}


def test_recomputed_activations_are_not_kept() -> None:
    sizes = []
    for recompute in (False, True):
        network, channels = networks()["rgb"]
        if recompute:
            network.use_activation_checkpointing()
        saved: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=saved: s.append(t.numel()) or t, lambda t: t):  # type: ignore[misc]
            network(torch.rand(2, channels, 32, 32))
        sizes.append(sum(saved))
    assert sizes[1] < sizes[0] / 2


def test_a_network_without_levels_says_so() -> None:
    with pytest.raises(ValueError, match="UNetBaseline does not support activation checkpointing"):
        UNetBaseline(base_channels=2).use_activation_checkpointing()


def run_of(kind: str, root: Path, name: str, **flags: Any) -> Path:
    # In double precision: Adam turns the rounding of a gradient near zero into a whole step.
    shared = TINY | {"data_dir": root, "experiment_name": name, "precision": "64-true"} | flags
    own: dict[str, Any] = {} if kind == "rgb" else {"attention_levels": (4,)}
    own |= {"teacher": "seeing"} if kind == "distill" else {}
    return train.train(train_config(kind, **shared, **own))


WAYS: dict[str, dict[str, Any]] = {
    "channels_last": {"channels_last": True},
    "activation_checkpointing": {"activation_checkpointing": True, "accumulate": 2},
    "compile": {"compile": True, "ema_decay": 0.9},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rgb", "binaural", "distill"])
def test_saved_models_are_the_same_whichever_way_they_were_computed(
    kind: str, v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    compiled: list[Any] = []

    def compile_nothing(function: Any) -> Any:
        # The types that tests check at run time cannot be traced; benchmarks/training.py compiles in earnest.
        compiled.append(function)
        return lambda x: function(x)

    monkeypatch.setattr(torch, "compile", compile_nothing)
    save_tiny_rgb(Path("checkpoints/seeing"), v2_root)
    for way, flags in WAYS.items():
        plain = {flag: value for flag, value in flags.items() if flag in ("accumulate", "ema_decay")}
        folders = [run_of(kind, v2_root, f"{way}_{i}", **each) for i, each in enumerate((plain, flags))]
        weights = [load_file(folder / "model.safetensors") for folder in folders]
        assert weights[0].keys() == weights[1].keys()
        for name, tensor in weights[0].items():
            torch.testing.assert_close(weights[1][name], tensor, atol=1e-6, rtol=1e-6, msg=f"{way} {name}")
        specs = [json.loads((folder / "config.json").read_text()) for folder in folders]
        assert specs[0]["arguments"] == specs[1]["arguments"]
        states = [torch.load(f"checkpoints/{way}_{i}/epoch_0001.pth", weights_only=True) for i in (0, 1)]
        assert states[0]["model_state_dict"].keys() == states[1]["model_state_dict"].keys()
        assert states[0]["state_dict"].keys() == states[1]["state_dict"].keys()
    assert len(compiled) == 1


def test_optimisers_are_fused_on_cuda_unless_gradients_are_clipped_in_between() -> None:
    def options(device: str, **flags: Any) -> dict[str, Any]:
        return optimizer_options(train_config("rgb", **flags), torch.device(device))

    assert options("cpu") == {}
    assert options("cuda") == {"fused": True}
    assert options("cuda", optimizer="SGD") == {"momentum": 0.9, "fused": True}
    assert options("cuda", precision="16-mixed") == {"fused": True}
    assert options("cuda", precision="16-mixed", gradient_clip=1.0) == {}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            train_config("rgb", device="cpu", precision="16-mixed"),
            "--precision 16-mixed needs a CUDA device: use bf16-mixed",
        ),
        (
            train_config("rgb", device="cpu", sync_batchnorm=True),
            "--sync_batchnorm: torch supports it on CUDA devices only",
        ),
        (train_config("rgb", compile=True, activation_checkpointing=True), "leave --activation_checkpointing out"),
        (
            train_config("binaural", model="unet_baseline", activation_checkpointing=True),
            "unet_baseline does not support it",
        ),
        (train_config("binaural", model="light", activation_checkpointing=True), "light does not support it"),
    ],
)
def test_ways_that_cannot_be_gone_are_refused(config: TrainConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validation.check_flags(config)


def test_without_a_compiler_compile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match=r"--compile needs a C\+\+ compiler"):
        validation.check_flags(train_config("rgb", device="cpu", compile=True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert validation.uses_sync_batchnorm(train_config("rgb", devices=2).machine)
    assert not validation.uses_sync_batchnorm(train_config("rgb", devices=2, sync_batchnorm=False).machine)
    assert not validation.uses_sync_batchnorm(train_config("rgb", devices=2, device="cpu").machine)


def test_on_cuda_a_run_is_fast_and_on_request_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    def ways(**flags: Any) -> tuple[bool, bool]:
        machine = train_config("rgb", **flags).machine
        return validation.is_deterministic(machine), validation.uses_channels_last(machine)

    assert ways(device="cpu") == (True, False)
    assert ways(device="cpu", channels_last=True) == (True, True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert ways() == (False, True)
    assert ways(deterministic=True, channels_last=False) == (True, False)


@pytest.mark.parametrize("tf32", [True, False])
def test_the_precision_of_products_is_restored(tf32: bool) -> None:
    def now() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before, inside = now(), []

    def fail() -> None:
        inside.append(now())
        raise KeyError

    with pytest.raises(KeyError), float32_products(tf32):
        fail()
    assert inside == [("high" if tf32 else "highest", tf32)]
    assert now() == before


def test_the_front_end_never_rounds_to_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32's 10 bits end 60 dB below the loudest sample of a window, where echoes are."""
    front_end, seen = EchoFrontEnd(image_size=32), list[str]()
    features = front_end.features.forward

    def watched(audio: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return features(audio)

    monkeypatch.setattr(front_end.features, "forward", watched)
    with float32_products(tf32=True):
        front_end(torch.randn(1, 2, 2000))
    assert seen == ["highest"]
