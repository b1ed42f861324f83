"""The three training runs: from flags to a trained model folder."""

import dataclasses
import json
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.strategies import StrategyRegistry
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from echodepth import __version__
from echodepth.data.config import DataConfig
from echodepth.data.datamodule import DepthDataModule
from echodepth.data.sample import Part
from echodepth.distillation.teacher import FrozenTeacher
from echodepth.errors import CheckpointError, ConfigError, require_at_least
from echodepth.models.layers import MINIMUM_SIZE, count_parameters
from echodepth.models.store import DepthModel, ModelSpec, read_checkpoint
from echodepth.training.callbacks import BestModel, EpochCheckpoints, History, ResultPictures
from echodepth.training.config import FLAGS_NOT_COMPARED, BinauralConfig, DistillationConfig, RGBConfig, TrainConfig
from echodepth.training.depth_task import DepthTask
from echodepth.training.distillation_task import DistillationTask
from echodepth.training.folders import RunFolders

log = logging.getLogger(__name__)
DATA_FLAGS = [field.name for field in dataclasses.fields(DataConfig)]
LEAST = {
    1: ("batch_size", "nb_epochs", "save_frequency", "accumulate", "devices", "num_nodes"),
    MINIMUM_SIZE: ("image_size",),
    0: ("learning_rate", "weight_decay", "gradient_clip", "lambda_l1", "lambda_smooth", "lambda_edge", "seed"),
}
"""Flags by the least value that they can have."""
LARGEST_SEED = 2**32 - 1
INSTALL_LOGGERS = "install the loggers with pip install 'echodepth[track]'"
TERMINATED = 143
"""Exit status of a process that SIGTERM ended: 128 + 15."""


def train_rgb(config: RGBConfig) -> Path:
    """Train the teacher; returns its model folder."""
    return _fit(config, DepthTask(_new_model(config, kind="rgb"), config), ("image", "depth"))


def train_binaural(config: BinauralConfig) -> Path:
    """Train on echoes alone; returns the model folder."""
    return _fit(config, DepthTask(_new_model(config, kind="binaural"), config), ("audio", "depth"))


def train_distillation(config: DistillationConfig) -> Path:
    """Train on echoes with a teacher; returns the student's model folder."""
    student = _new_model(config, kind="distill", teacher=config.teacher)
    teacher = FrozenTeacher.load(config.teacher)
    return _fit(config, DistillationTask(student, teacher, config), ("image", "audio", "depth"))


def model_spec(config: TrainConfig) -> ModelSpec:
    """What to build for these flags."""
    arguments: dict[str, Any] = {
        "base_channels": config.base_channels,
        "output_size": config.image_size,
        "max_depth": config.depth_limit,
    }
    front_end: dict[str, Any] = {"image_size": config.image_size}
    if not isinstance(config, BinauralConfig):
        return ModelSpec("rgb", arguments | {"bilinear": config.bilinear}, front_end)
    if config.model == "binaural_attention":
        arguments |= {"bilinear": config.bilinear, "attention_levels": list(config.attention_levels)}
    return ModelSpec(config.model, arguments, front_end | {"spectrogram": config.spectrogram})


def _new_model(config: TrainConfig, kind: str, **facts: str) -> DepthModel:
    _check(config)
    # Seeded before anything is drawn: a student starts from the same weights with a teacher and without.
    L.seed_everything(config.seed, workers=True, verbose=False)
    run = {
        "kind": kind,
        "experiment_name": config.experiment_name,
        "seed": config.seed,
        "version": __version__,
        "data": _plain({name: getattr(config, name) for name in DATA_FLAGS}),
        "flags": _plain({name: getattr(config, name) for name in _training_flags(config)}),
        **facts,
    }
    try:
        return DepthModel(model_spec(config), run)
    except ValueError as error:
        raise ConfigError(f"--{error}") from error


def _training_flags(config: TrainConfig) -> list[str]:
    """The flags that decide the weights, besides data and seed: runs that agree in them differ by chance alone."""
    names = [field.name for field in dataclasses.fields(config)]
    return [name for name in names if name not in (*DATA_FLAGS, *FLAGS_NOT_COMPARED)]


def _check(config: TrainConfig) -> None:
    for least, names in LEAST.items():
        require_at_least(least, **{name: getattr(config, name) for name in names})
    if config.seed > LARGEST_SEED:
        raise ConfigError(f"--seed must be at most {LARGEST_SEED}, not {config.seed}")
    if config.ema_decay is not None and not 0 <= config.ema_decay < 1:
        raise ConfigError(f"--ema_decay must be from 0 to below 1, such as 0.999, not {config.ema_decay}")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: this torch sees no CUDA device; use --device cpu")
    if config.device == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("--device mps: this torch sees no Apple GPU; use --device cpu")
    if config.strategy not in ("auto", *StrategyRegistry.available_strategies()):
        raise ConfigError(f"--strategy {config.strategy}: Lightning has no such strategy; give auto, ddp or fsdp")
    if isinstance(config, BinauralConfig):
        require_at_least(0, spec_masks=config.spec_masks)
    if isinstance(config, DistillationConfig):
        require_at_least(0, lambda_kd=config.lambda_kd, lambda_feat=config.lambda_feat)
        if config.lambda_feat and not config.feature_levels:
            raise ConfigError("--feature_levels names no level: give some, or --lambda_feat 0")
    if config.use_wandb and _is_main_process():
        _log_in_to_wandb()


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


def _check_batches(config: TrainConfig, spec: ModelSpec, training_frames: int) -> None:
    """Batch norm needs two numbers of each channel: from two frames, or from a map of two pixels."""
    share = math.ceil(training_frames / (config.devices * config.num_nodes))
    # The baseline resizes its input, and has no norm on its single pixel.
    single_pixel = config.image_size < 2 * MINIMUM_SIZE and spec.network != "unet_baseline"
    if single_pixel and min(config.batch_size, share) == 1:
        raise ConfigError(
            f"--image_size {config.image_size} ends in maps of a single pixel, of which a batch of one frame has no "
            f"statistics: give --image_size {2 * MINIMUM_SIZE}, or two frames or more to a batch"
        )


def _fit(config: TrainConfig, task: DepthTask, parts: tuple[Part, ...]) -> Path:
    folders = RunFolders(config.experiment_name)
    data = DepthDataModule(
        config,
        parts,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        seed=config.seed,
        flip=config.flip,
        color_jitter=config.color_jitter,
        first_epoch=config.checkpoints or 0,
    )
    # Opened before any folder is touched: a mistyped --data_dir must not cost an older run, nor leave empty folders.
    sizes = len(data.train_set), len(data.val_set)
    _check_batches(config, task.model.spec, sizes[0])
    resume = _prepare_folders(config, folders, task.model)
    if config.checkpoints is not None and config.checkpoints >= config.nb_epochs:
        log.info("epoch %d is there: nothing is left to do up to --nb_epochs %d", config.checkpoints, config.nb_epochs)
        return folders.best
    if _is_main_process():
        log.info(
            "%s: %s, %.2f M parameters, %d frames to train on, %d to validate",
            config.experiment_name,
            type(task.model.network).__name__,
            count_parameters(task.model.network) / 1e6,
            *sizes,
        )
        _write_config(config, folders, task.model, data)
    with warnings.catch_warnings():
        # Few workers are a choice on a small machine, and short sets are no mistake here.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        # A skipped batch is counted in the curves.
        warnings.filterwarnings("ignore", message=".*training_step` returned `None`.*")
        # The validation scores already are those of all processes.
        warnings.filterwarnings("ignore", message=".*recommended to use .*sync_dist=True.*")
        warnings.filterwarnings("ignore", category=FutureWarning, module="lightning.*")
        try:
            _trainer(config, folders).fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
        except SIGTERMException as terminated:
            raise SystemExit(TERMINATED) from terminated
    if _is_main_process():
        log.info("best model: %s", folders.best)
    return folders.best


def _prepare_folders(config: TrainConfig, folders: RunFolders, model: DepthModel) -> Path | None:
    """The checkpoint to resume from, or None with the folders ready for a new run."""
    if config.checkpoints is not None:
        path = folders.resume_from(config.checkpoints)
        _check_resumable(read_checkpoint(path), model, path)
        return path
    if _is_main_process():
        folders.start_afresh(config.overwrite)
        for folder in (folders.checkpoints, folders.results, folders.logs):
            folder.mkdir(parents=True, exist_ok=True)
    return None


def _check_resumable(checkpoint: dict[str, Any], model: DepthModel, path: Path) -> None:
    """Refuse a state that does not fit the flags; say which other flags changed, for they count from here on."""
    if checkpoint.get("model_spec") != vars(model.spec):
        saved = checkpoint.get("model_spec")
        raise CheckpointError(f"{path} holds another model: {saved}; the flags now ask for {vars(model.spec)}")
    before, now = (run["data"] | run["flags"] | {"seed": run["seed"]} for run in (checkpoint["run"], model.run))
    changed = [name for name in now if before.get(name) != now[name]]
    for name in ("optimizer", "ema_decay"):
        # Averaged weights in the checkpoint are not those that its optimiser's state belongs to.
        if name in changed and (name == "optimizer" or None in (before.get(name), now[name])):
            raise CheckpointError(
                f"{path} was trained with --{name} {before.get(name)}, not {now[name]}, and its state fits no other: "
                "resume with that, or begin another --experiment_name"
            )
    if changed and _is_main_process():
        listed = ", ".join(f"--{name} {now[name]} (was {before.get(name)})" for name in changed)
        log.warning("resumed with other flags, which count from here on: %s", listed)


def _is_main_process() -> bool:
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def _trainer(config: TrainConfig, folders: RunFolders) -> L.Trainer:
    callbacks: list[Callback] = [
        BestModel(folders),
        ResultPictures(folders, config.save_frequency),
        History(folders, config.checkpoints or 0),
        EpochCheckpoints(folders, config.save_frequency),
    ]
    if config.ema_decay is not None:
        callbacks.append(EMAWeightAveraging(decay=config.ema_decay))
    return L.Trainer(
        accelerator=config.device,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=config.strategy,
        precision=config.precision,
        max_epochs=config.nb_epochs,
        gradient_clip_val=config.gradient_clip or None,
        accumulate_grad_batches=config.accumulate,
        logger=_loggers(config, folders) or False,
        callbacks=callbacks,
        default_root_dir=folders.logs,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic="warn",
    )


def _loggers(config: TrainConfig, folders: RunFolders) -> list[Logger]:
    loggers: list[Logger] = []
    try:
        if config.use_tensorboard:
            loggers.append(TensorBoardLogger(folders.logs, name="", version="tensorboard"))
        if config.use_wandb:
            loggers.append(WandbLogger(config.experiment_name, folders.logs, project=config.wandb_project))
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}: {INSTALL_LOGGERS}") from error
    return loggers


def _write_config(config: TrainConfig, folders: RunFolders, model: DepthModel, data: DepthDataModule) -> None:
    """What this run is: enough to repeat it, and to doubt it."""
    facts = {
        "version": __version__,
        "torch": torch.__version__,
        "network": type(model.network).__name__,
        "parameters": count_parameters(model.network),
        "training_frames": len(data.train_set),
        "validation_frames": len(data.val_set),
        "bad_rows": data.train_set.bad_rows + data.val_set.bad_rows,
        "audio_cut_seconds": config.cut_seconds if model.input_key == "audio" else None,
    }
    resolved = {"flags": _plain(dataclasses.asdict(config)), "model": vars(model.spec), "facts": facts}
    (folders.logs / "config.json").write_text(json.dumps(resolved, indent=2) + "\n")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Only what JSON and a checkpoint of plain values can hold."""
    return {
        name: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }
