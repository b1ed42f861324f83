"""Checks before a run begins: every mistake that flags alone reveal, named with its flag and the way out."""

import logging
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import StrategyRegistry
from lightning.pytorch.utilities import rank_zero_only

from echodepth.core.errors import CheckpointError, ConfigError, require_at_least
from echodepth.core.flags import flat
from echodepth.core.packaged import packaged_model
from echodepth.distillation.losses.total import check_distillation
from echodepth.losses.total import loss_terms
from echodepth.models.checkpoint import ModelSpec
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.frontends.base import MINIMUM_SIZE
from echodepth.models.networks import NETWORKS
from echodepth.training.config import DistillConfig, MachineConfig, TrainConfig

log = logging.getLogger(__name__)
LEAST = {
    1: ("batch_size", "nb_epochs", "save_frequency", "accumulate", "devices", "num_nodes", "min_epochs"),
    MINIMUM_SIZE: ("image_size",),
    0: ("learning_rate", "weight_decay", "gradient_clip", "seed", "label_seed", "spec_masks", "save_minutes"),
}
"""Smallest value of a flag."""
COMPILERS = ("c++", "g++", "clang++", "cl")
"""C++ compilers that torch.compile accepts."""
LARGEST_SEED = 2**32 - 1
INSTALL_LOGGERS = "install the loggers with pip install 'echodepth[track]'"


def is_main_process() -> bool:
    """Whether this is rank zero, the only process that writes files and logs."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def _check_length(config: TrainConfig) -> None:
    patience, frequency = config.optimisation.patience, config.optimisation.val_frequency
    epochs = config.optimisation.nb_epochs
    if patience is not None and not 0 < patience < 1:
        raise ConfigError(f"--patience must be a share of the epochs above 0 and below 1, such as 0.2, not {patience}")
    if frequency < 1 or epochs % frequency:
        raise ConfigError(
            f"--val_frequency must divide --nb_epochs {epochs}, so that the last epoch is validated, not {frequency}"
        )


def check_flags(config: TrainConfig) -> None:
    """Raise a ConfigError for a flag out of range, or for a device or account that is not available."""
    flags = flat(config)
    for least, names in LEAST.items():
        require_at_least(least, **{name: flags[name] for name in names if name in flags})
    for term in loss_terms(config.loss):
        term.check()
    if config.seed > LARGEST_SEED:
        raise ConfigError(f"--seed must be at most {LARGEST_SEED}, not {config.seed}")
    for name in ("label_fraction", "val_label_fraction"):
        if not 0 < flags[name] <= 1:
            raise ConfigError(f"--{name} must be above 0 and up to 1, such as 0.1, not {flags[name]}")
    decay = config.optimisation.ema_decay
    if decay is not None and not 0 <= decay < 1:
        raise ConfigError(f"--ema_decay must be from 0 to below 1, such as 0.999, not {decay}")
    _check_length(config)
    spike = config.optimisation.spike_factor
    if not (spike == 0 or 1 < spike < math.inf):
        raise ConfigError(f"--spike_factor must be above 1, such as 1000, or 0 for none, not {spike:g}")
    if packaged_model(config.experiment_name) is not None:
        raise ConfigError(
            f"--experiment_name {config.experiment_name} is a model that comes with echodepth: give another"
        )
    _check_machine(config)
    if flags.get("uncertainty") and not flags["lambda_uncertainty"]:
        raise ConfigError("--lambda_uncertainty 0 does not train --uncertainty: give it a weight, or leave both out")
    if isinstance(config, DistillConfig):
        check_distillation(config.distillation)
    if config.logging.use_wandb and is_main_process():
        _log_in_to_wandb()


def on_cuda(machine: MachineConfig) -> bool:
    """Whether a run computes on CUDA devices."""
    return machine.device in ("auto", "cuda") and torch.cuda.is_available()


def is_deterministic(machine: MachineConfig) -> bool:
    """Whether a run uses deterministic algorithms only: by default where they cost nothing, that is not on CUDA."""
    return machine.deterministic or not on_cuda(machine)


def uses_channels_last(machine: MachineConfig) -> bool:
    """Whether maps are in the channels-last format: by default on CUDA, whose tensor cores read it."""
    return on_cuda(machine) if machine.channels_last is None else machine.channels_last


def uses_sync_batchnorm(machine: MachineConfig) -> bool:
    """Whether batch norm uses the statistics of all devices: by default with several CUDA devices."""
    if machine.sync_batchnorm is not None:
        return machine.sync_batchnorm
    return machine.devices * machine.num_nodes > 1 and on_cuda(machine)


def _check_machine(config: TrainConfig) -> None:
    machine, network = config.machine, NETWORKS[config.network.model]
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: this torch sees no CUDA device; use --device cpu")
    if machine.device == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("--device mps: this torch sees no Apple GPU; use --device cpu")
    if machine.precision == "16-mixed" and not on_cuda(machine):
        raise ConfigError("--precision 16-mixed needs a CUDA device: use bf16-mixed, or 32-true, the fastest on a CPU")
    if machine.sync_batchnorm and not on_cuda(machine):
        raise ConfigError("--sync_batchnorm: torch supports it on CUDA devices only; leave it out")
    if machine.compile and machine.activation_checkpointing:
        raise ConfigError("--compile chooses what to recompute itself: leave --activation_checkpointing out")
    if machine.compile and machine.device != "cuda" and not any(map(shutil.which, COMPILERS)):
        raise ConfigError(f"--compile needs a C++ compiler, and none of {', '.join(COMPILERS)} is here: leave it out")
    if machine.activation_checkpointing and not network.supports_activation_checkpointing:
        raise ConfigError(f"--activation_checkpointing: --model {network.name} does not support it; leave it out")
    if machine.threads is not None:
        require_at_least(1, threads=machine.threads)
    if machine.strategy not in ("auto", *StrategyRegistry.available_strategies()):
        raise ConfigError(f"--strategy {machine.strategy}: Lightning has no such strategy; give auto, ddp or fsdp")


def _log_in_to_wandb() -> None:
    """Log in before an older run is deleted and the data are opened."""
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}: {INSTALL_LOGGERS}") from error
    try:
        wandb.login()
    except wandb.Error as error:
        raise ConfigError(f"--use_wandb: {error} Or set WANDB_MODE=offline, which needs no account.") from error


def check_batches(config: TrainConfig, training_frames: int) -> None:
    """Raise a ConfigError where batch norm would get one number per channel: one frame with a map of one pixel."""
    machine = config.machine
    rows, columns = input_size(config)
    frames_per_device = math.ceil(training_frames / (machine.devices * machine.num_nodes))
    needed = NETWORKS[config.network.model].single_frame_size
    if max(rows, columns) < needed and min(config.optimisation.batch_size, frames_per_device) == 1:
        flags = "--image_size" if config.modality == "image" else "--audio_frames"
        raise ConfigError(
            f"an input of {rows}x{columns} ends in maps of a single pixel, of which a batch of one frame has no "
            f"statistics: give {flags} {needed}, or two frames or more to a batch"
        )


def input_size(config: TrainConfig) -> tuple[int, int]:
    """Rows and columns of the network's input: those of the image, or of the spectrogram."""
    flags, side = flat(config.network), config.data.image_size
    return flags.get("audio_bins") or side, flags.get("audio_frames") or side


def check_resumable(checkpoint: dict[str, Any], spec: ModelSpec, flags: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint whose state does not fit the flags; warn of other flags that changed.

    Args:
        checkpoint: as ``read_checkpoint`` returns it.
        spec: the network and front end that the flags ask for.
        flags: data and training flags of this run, with the seed.
        path: of the checkpoint, for messages.

    Raises:
        CheckpointError: the checkpoint is of another network, optimiser, weight averaging or initial model.
    """
    recorded = checkpoint.get("model_spec")
    if recorded is None or _with_front_end_defaults(recorded) != _with_front_end_defaults(vars(spec)):
        raise CheckpointError(f"{path} holds another model: {recorded}; the flags ask for {vars(spec)}")
    run = checkpoint["run"]
    before = run["data"] | run["flags"] | {"seed": run["seed"]}
    changed = [name for name in flags if before.get(name) != flags[name]]
    for name in ("optimizer", "ema_decay", "init"):
        # Averaged weights in a checkpoint are not those that its optimiser's state belongs to.
        if name in changed and (name != "ema_decay" or None in (before.get(name), flags[name])):
            raise CheckpointError(
                f"{path} was trained with --{name} {before.get(name)}, not {flags[name]}, and its state fits no other: "
                "resume with that, or begin another --experiment_name"
            )
    if changed and is_main_process():
        listed = ", ".join(f"--{name} {flags[name]} (was {before.get(name)})" for name in changed)
        log.warning("resumed with other flags, which apply from this epoch on: %s", listed)


def _with_front_end_defaults(spec: dict[str, Any]) -> dict[str, Any]:
    """A recorded spec with the settings that its front end got since, at the defaults that keep older models."""
    settings = {key: value for key, value in spec["front_end"].items() if key != "name"}
    name = spec["front_end"].get("name")
    return spec | {"front_end": {"name": name, **FRONT_ENDS[name](**settings).settings}} if name in FRONT_ENDS else spec
