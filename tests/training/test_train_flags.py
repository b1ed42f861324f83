"""Every flag of training reaches what it names, and a wrong one is named."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.flags import replace
from echodepth.models.checkpoint import load_depth_model, save_model
from echodepth.training.config import TrainConfig
from tests.training.runs import binaural, distil, last_weights, rgb, train, untrained_teacher

RGB_FLAGS: list[dict[str, Any]] = [
    {"seed": 1},
    {"learning_rate": 2e-3},
    {"optimizer": "Adam", "weight_decay": 0.5},
    {"optimizer": "SGD"},
    {"weight_decay": 0.5},
    {"scheduler": "none"},
    {"scheduler": "step"},
    {"batch_size": 3},
    {"accumulate": 2},
    {"gradient_clip": 0.01},
    {"ema_decay": 0.5},
    {"bilinear": False},
    {"base_channels": 6},
    {"image_size": 48},
    {"max_depth": 12.0},
    {"flip": False},
    {"color_jitter": 0.0},
    {"criterion": "SILog"},
    {"criterion": "Combined"},
    {"lambda_l1": 0.5},
    {"lambda_smooth": 0.0},
    {"lambda_edge": 0.5},
    {"use_adaptive_loss": True},
    {"locations": ("Attic",)},
    {"label_fraction": 0.5},
    {"label_fraction": 0.5, "label_seed": 1},
    {"precision": "bf16-mixed"},
    {"nb_epochs": 2},
]
BINAURAL_FLAGS: list[dict[str, Any]] = [
    {"attention_levels": (5,)},
    {"model": "unet_baseline", "base_channels": 2},
    {"model": "light"},
    {"convolution": "factorized"},
    {"shared_encoder": False},
    {"image_grid": False},
    {"audio_bins": 16},
    {"audio_frames": 64},
    {"audio_range": 5.0},
    {"pulse_compression": False},
    {"spectrogram": "magnitude"},
    {"spectrogram_antialias": False},
    {"binaural_cues": True},
    {"spec_masks": 3},
    {"audio_start": "zero"},
    {"audio_start": 400},
    {"audio_seconds": 0.03},
    {"leave_out": "Attic"},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "flags"),
    [*(("rgb", each) for each in RGB_FLAGS), *(("binaural", each) for each in BINAURAL_FLAGS)],
    ids=str,
)
def test_every_flag_reaches_what_it_names(v2_root: Path, network: str, flags: dict[str, Any]) -> None:
    """Loss weights once stood on a command line of this field and never reached the loss."""
    assert_flags_change_the_run({"rgb": rgb, "binaural": binaural}[network](v2_root), flags)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        {"lambda_kd": 0.0},
        {"kd_loss": "silog"},
        {"kd_loss": "mse"},
        {"kd_where": "unmeasured"},
        {"lambda_kd_edge": 0.5},
        {"lambda_rank": 0.5},
        {"lambda_feat": 0.0},
        {"feature_levels": ("x1",)},
        {"feature_distance": "squared"},
        {"feature_distance": "hinge"},
        {"lambda_align": 0.5},
        {"lambda_align": 0.5, "align_levels": ("x5",)},
        {"lambda_attention": 0.5},
        {"lambda_affinity": 0.5},
        {"lambda_contrast": 0.5},
        {"kd_schedule": "warmup"},
        {"shuffle_teacher": True},
        {"label_fraction": 0.5},
        {"teacher": "other"},
        {"teacher_align": "scale"},
        {"pseudo_labels": False},
    ],
    ids=str,
)
def test_every_distillation_flag_reaches_what_it_names(v2_root: Path, flags: dict[str, Any]) -> None:
    for seed, name in enumerate(("rgb", "other")):
        save_model(untrained_teacher(v2_root, seed), Path("checkpoints") / name / "best")
    assert_flags_change_the_run(distil(v2_root), flags)


@functools.cache
def weights_without_the_flag(config: TrainConfig) -> dict[str, Tensor]:
    train(config)
    return last_weights(config.experiment_name, config.optimisation.nb_epochs)


def assert_flags_change_the_run(config: TrainConfig, flags: dict[str, Any]) -> None:
    changed = replace(config, experiment_name="changed", **flags)
    train(changed)
    plain, other = weights_without_the_flag(config), last_weights("changed", changed.optimisation.nb_epochs)
    assert plain.keys() != other.keys() or any(
        plain[name].shape != tensor.shape or not torch.equal(plain[name], tensor) for name, tensor in other.items()
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"batch_size": 0}, "--batch_size must be at least 1, not 0"),
        ({"nb_epochs": 0}, "--nb_epochs must be at least 1, not 0"),
        ({"base_channels": 0}, "--base_channels must be at least 1, not 0"),
        ({"experiment_name": "../up"}, "--experiment_name '../up': use letters"),
        ({"max_depth": -1.0}, "max_depth"),
    ],
)
def test_a_wrong_flag_is_named(v2_root: Path, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(rgb(v2_root, **flags))


def test_a_device_that_is_not_there_is_named(v2_root: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ConfigError, match="--device cuda: this torch sees no CUDA device"):
        train(rgb(v2_root, device="cuda"))


def test_a_wrong_folder_leaves_an_older_run_alone(
    v2_root: Path, tmp_path: Path, have_run: Callable[[TrainConfig], None]
) -> None:
    have_run(rgb(v2_root))
    with pytest.raises(DataError, match="not found in"):
        train(rgb(tmp_path / "nowhere", overwrite=True))
    with pytest.raises(DataError, match="not found in"):
        train(rgb(tmp_path / "nowhere", experiment_name="new"))
    assert load_depth_model("rgb").run.experiment_name == "rgb"
    assert not Path("checkpoints/new").exists()
