"""What can be known to fail is refused before a run begins, with the flag's name and the way out."""

import logging
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import StrategyRegistry
from lightning.pytorch.utilities import rank_zero_only

from echodepth.core.errors import CheckpointError, ConfigError, require_at_least
from echodepth.models.checkpoint import DepthModel, ModelSpec
from echodepth.models.layers import MINIMUM_SIZE
from echodepth.training.config import TERM_WEIGHTS, BinauralConfig, DistillationConfig, TrainConfig

log = logging.getLogger(__name__)
LEAST = {
    1: ("batch_size", "nb_epochs", "save_frequency", "accumulate", "devices", "num_nodes"),
    MINIMUM_SIZE: ("image_size",),
    0: (
        "learning_rate",
        "weight_decay",
        "gradient_clip",
        "lambda_l1",
        "lambda_smooth",
        "lambda_edge",
        "lambda_uncertainty",
        "seed",
        "label_seed",
    ),
}
"""Flags by the least value that they can have."""
COMPILERS = ("c++", "g++", "clang++", "cl")
"""Programs, any of which torch.compile is content with."""
LARGEST_SEED = 2**32 - 1
INSTALL_LOGGERS = "install the loggers with pip install 'echodepth[track]'"


def is_main_process() -> bool:
    """Whether this is the process, of all that train together, that writes and speaks."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def check_flags(config: TrainConfig) -> None:
    """Raise a ConfigError for a flag out of range, or a device or account that is not there."""
    for least, names in LEAST.items():
        require_at_least(least, **{name: getattr(config, name) for name in names})
    if config.seed > LARGEST_SEED:
        raise ConfigError(f"--seed must be at most {LARGEST_SEED}, not {config.seed}")
    if not 0 < config.label_fraction <= 1:
        raise ConfigError(f"--label_fraction must be above 0 and up to 1, such as 0.1, not {config.label_fraction}")
    if config.ema_decay is not None and not 0 <= config.ema_decay < 1:
        raise ConfigError(f"--ema_decay must be from 0 to below 1, such as 0.999, not {config.ema_decay}")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: this torch sees no CUDA device; use --device cpu")
    if config.device == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("--device mps: this torch sees no Apple GPU; use --device cpu")
    _check_ways_to_compute(config)
    if config.strategy not in ("auto", *StrategyRegistry.available_strategies()):
        raise ConfigError(f"--strategy {config.strategy}: Lightning has no such strategy; give auto, ddp or fsdp")
    if config.uncertainty and not config.lambda_uncertainty:
        raise ConfigError("--lambda_uncertainty 0 teaches no --uncertainty: give it a weight, or leave both out")
    if isinstance(config, BinauralConfig):
        require_at_least(0, spec_masks=config.spec_masks)
        for flag in ("convolution", "attention"):
            if config.model != "binaural_attention" and getattr(config, flag) != getattr(BinauralConfig, flag):
                raise ConfigError(
                    f"--{flag} {getattr(config, flag)} is for --model binaural_attention; {config.model} has no choice "
                    "of it: leave it out"
                )
        if config.uncertainty and config.model == "unet_baseline":
            raise ConfigError("--uncertainty: BatVision's U-Net has none; leave it out, or --model unet_baseline")
    if isinstance(config, DistillationConfig):
        require_at_least(0, **{flag: getattr(config, flag) for flag in TERM_WEIGHTS.values()})
        for weight, levels in (("lambda_feat", "feature_levels"), ("lambda_align", "align_levels")):
            if getattr(config, weight) and not getattr(config, levels):
                raise ConfigError(f"--{levels} names no level: give some, or --{weight} 0")
        if config.kd_confidence and not config.lambda_kd:
            raise ConfigError("--kd_confidence weighs what --lambda_kd 0 leaves out: give a --lambda_kd above 0")
    if config.use_wandb and is_main_process():
        _log_in_to_wandb()


def on_cuda(config: TrainConfig) -> bool:
    """Whether a run computes on CUDA devices."""
    return config.device in ("auto", "cuda") and torch.cuda.is_available()


def _check_ways_to_compute(config: TrainConfig) -> None:
    if config.precision == "16-mixed" and not on_cuda(config):
        raise ConfigError("--precision 16-mixed needs a CUDA device: use bf16-mixed, or 32-true, the fastest on a CPU")
    if config.sync_batchnorm and not on_cuda(config):
        raise ConfigError("--sync_batchnorm: torch has it for CUDA devices alone; leave it out")
    if config.compile and config.activation_checkpointing:
        raise ConfigError("--compile decides by itself what to compute again: leave --activation_checkpointing out")
    if config.compile and config.device != "cuda" and not any(map(shutil.which, COMPILERS)):
        raise ConfigError(f"--compile needs a C++ compiler, and none of {', '.join(COMPILERS)} is here: leave it out")
    if config.activation_checkpointing and isinstance(config, BinauralConfig) and config.model != "binaural_attention":
        raise ConfigError(f"--activation_checkpointing: --model {config.model} has no levels for it; leave it out")


def _log_in_to_wandb() -> None:
    """Now, rather than after an older run was deleted and the data opened."""
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}: {INSTALL_LOGGERS}") from error
    try:
        wandb.login()
    except wandb.Error as error:
        raise ConfigError(f"--use_wandb: {error} Or set WANDB_MODE=offline, which needs no account.") from error


def check_batches(config: TrainConfig, spec: ModelSpec, training_frames: int) -> None:
    """Batch norm needs two numbers of each channel: from two frames, or from a map of two pixels."""
    share = math.ceil(training_frames / (config.devices * config.num_nodes))
    # The baseline resizes its input, and has no norm on its single pixel; the light network halves once more.
    needed = {"unet_baseline": MINIMUM_SIZE, "light": 4 * MINIMUM_SIZE}.get(spec.network, 2 * MINIMUM_SIZE)
    if config.image_size < needed and min(config.batch_size, share) == 1:
        raise ConfigError(
            f"--image_size {config.image_size} ends in maps of a single pixel, of which a batch of one frame has no "
            f"statistics: give --image_size {needed}, or two frames or more to a batch"
        )


def check_resumable(checkpoint: dict[str, Any], model: DepthModel, path: Path) -> None:
    """Refuse a state that does not fit the flags; say which other flags changed, for they count from here on."""
    if checkpoint.get("model_spec") != vars(model.spec):
        saved = checkpoint.get("model_spec")
        raise CheckpointError(f"{path} holds another model: {saved}; the flags now ask for {vars(model.spec)}")
    before, now = (
        run["data"] | run["flags"] | {"seed": run["seed"]} for run in (checkpoint["run"], model.run.to_plain())
    )
    changed = [name for name in now if before.get(name) != now[name]]
    for name in ("optimizer", "ema_decay"):
        # Averaged weights in the checkpoint are not those that its optimiser's state belongs to.
        if name in changed and (name == "optimizer" or None in (before.get(name), now[name])):
            raise CheckpointError(
                f"{path} was trained with --{name} {before.get(name)}, not {now[name]}, and its state fits no other: "
                "resume with that, or begin another --experiment_name"
            )
    if changed and is_main_process():
        listed = ", ".join(f"--{name} {now[name]} (was {before.get(name)})" for name in changed)
        log.warning("resumed with other flags, which count from here on: %s", listed)
