"""The three training runs: from flags to a trained model folder."""

import dataclasses
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from echodepth import __version__
from echodepth.core.errors import ConfigError
from echodepth.core.run_paths import RunPaths
from echodepth.data.cache.prepared import AudioCacheFormat
from echodepth.data.config import DataConfig
from echodepth.data.datamodule import DepthDataModule
from echodepth.data.label_subset import LabelSubset
from echodepth.data.sample import Modality
from echodepth.distillation.teachers.frozen import load_teacher
from echodepth.models.checkpoint import DepthModel, ModelSpec, build_spec, read_checkpoint
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.layers import count_parameters
from echodepth.models.networks import NETWORKS
from echodepth.models.run_record import RunRecord
from echodepth.simulate.default_set import make_once
from echodepth.training.callbacks import BestModel, EpochCheckpoints, History
from echodepth.training.config import FLAGS_NOT_COMPARED, BinauralConfig, DistillationConfig, RGBConfig, TrainConfig
from echodepth.training.depth_task import DepthTask
from echodepth.training.distillation_task import DistillationTask, require_features
from echodepth.training.image_logging import ResultPictures
from echodepth.training.teacher_setup import open_teacher
from echodepth.training.validation import (
    INSTALL_LOGGERS,
    check_batches,
    check_flags,
    check_resumable,
    is_main_process,
    on_cuda,
)

log = logging.getLogger(__name__)
Config = TypeVar("Config")
DATA_FLAGS = [field.name for field in dataclasses.fields(DataConfig)]
TERMINATED = 143
"""Exit status of a process that SIGTERM ended: 128 + 15."""


def train_rgb(config: RGBConfig) -> Path:
    """Train the teacher; returns its model folder."""
    model = _new_model(config, kind="rgb")
    return _fit(config, DepthTask(model, config), _open_data(config, model, ("image", "depth")))


def train_binaural(config: BinauralConfig) -> Path:
    """Train on echoes alone; returns the model folder."""
    model = _new_model(config, kind="binaural")
    return _fit(config, DepthTask(model, config), _open_data(config, model, ("audio", "depth")))


def train_distillation(config: DistillationConfig) -> Path:
    """Train on echoes with a teacher; returns the student's model folder."""
    student = _new_model(config, kind="distill", teacher=config.teacher)
    live = load_teacher(config.teacher)
    require_features(config, live)
    data = _open_data(config, student, ("image", "audio", "depth"))
    teacher, facts = open_teacher(config, live, data.train_set)
    del live  # a cached teacher needs no network, and it may be a large one
    return _fit(config, DistillationTask(student, teacher, config), data, facts)


def model_spec(config: TrainConfig) -> ModelSpec:
    """What to build for these flags."""
    network = config.model if isinstance(config, BinauralConfig) else "rgb"
    flags = dataclasses.asdict(config)
    if isinstance(config, BinauralConfig):
        flags["binaural_cues"] = config.cues
        flags["convolution"] = {"separated": "factorized"}.get(config.convolution, config.convolution)
    if network == "light":
        del flags["attention_levels"]  # its own default
    net, end = NETWORKS[network].config, FRONT_ENDS["image" if network == "rgb" else "echo"]
    return build_spec(
        network, _part(net, flags), end.name, _part(end.config, flags), config.image_size, config.depth_limit
    )


def _part(cls: type[Config], flags: dict[str, Any]) -> Config:
    names = [field.name for field in dataclasses.fields(cast(Any, cls))]
    return cls(**{name: flags[name] for name in names if name in flags})


def _new_model(config: TrainConfig, kind: str, teacher: str | None = None) -> DepthModel:
    check_flags(config)
    # Seeded before anything is drawn: a student starts from the same weights with a teacher and without.
    L.seed_everything(config.seed, workers=True, verbose=False)
    run = RunRecord(
        kind=kind,
        experiment_name=config.experiment_name,
        seed=config.seed,
        version=__version__,
        data=_plain({name: getattr(config, name) for name in DATA_FLAGS}),
        flags=_plain({name: getattr(config, name) for name in _training_flags(config)}),
        teacher=teacher,
    )
    try:
        return DepthModel(model_spec(config), run)
    except ValueError as error:
        raise ConfigError(f"--{error}") from error


def _training_flags(config: TrainConfig) -> list[str]:
    """The flags that decide the weights, besides data and seed: runs that agree in them differ by chance alone."""
    names = [field.name for field in dataclasses.fields(config)]
    return [name for name in names if name not in (*DATA_FLAGS, *FLAGS_NOT_COMPARED)]


def _open_data(config: TrainConfig, model: DepthModel, modalities: tuple[Modality, ...]) -> DepthDataModule:
    if config.dataset == "simulated" and config.data_dir is None:
        make_once(config.root)
    return DepthDataModule(
        config,
        modalities,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        seed=config.seed,
        flip=config.flip,
        color_jitter=config.color_jitter,
        first_epoch=config.checkpoints or 0,
        labels=LabelSubset(config.label_fraction, config.label_seed, isinstance(config, DistillationConfig)),
        prepared=(AudioCacheFormat(model.front_end.settings), AudioCacheFormat()) if config.use_prepared else (),
    )


def _fit(config: TrainConfig, task: DepthTask, data: DepthDataModule, teacher: dict[str, Any] | None = None) -> Path:
    folders = RunPaths(config.experiment_name)
    # Opened before any folder is touched: a mistyped --data_dir must not cost an older run, nor leave empty folders.
    sizes = len(data.train_set), len(data.val_set)
    check_batches(config, task.model.spec, sizes[0])
    resume = _prepare_folders(config, folders, task.model)
    if config.checkpoints is not None and config.checkpoints >= config.nb_epochs:
        log.info("epoch %d is there: nothing is left to do up to --nb_epochs %d", config.checkpoints, config.nb_epochs)
        return folders.best
    if is_main_process():
        log.info(
            "%s: %s, %.2f M parameters, %d frames to train on, %d to validate",
            config.experiment_name,
            type(task.model.network).__name__,
            count_parameters(task.model.network) / 1e6,
            *sizes,
        )
        _write_config(config, folders, task.model, data, teacher)
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
            with _wandb_run_ended(config):
                _trainer(config, folders).fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
        except SIGTERMException as terminated:
            raise SystemExit(TERMINATED) from terminated
    if is_main_process():
        log.info("best model: %s", folders.best)
    return folders.best


def _prepare_folders(config: TrainConfig, folders: RunPaths, model: DepthModel) -> Path | None:
    """The checkpoint to resume from, or None with the folders ready for a new run."""
    if config.checkpoints is not None:
        path = folders.resume_from(config.checkpoints)
        check_resumable(read_checkpoint(path), model, path)
        return path
    if is_main_process():
        folders.start_afresh(config.overwrite)
        for folder in (folders.checkpoints, folders.results, folders.logs):
            folder.mkdir(parents=True, exist_ok=True)
    return None


def _trainer(config: TrainConfig, folders: RunPaths) -> L.Trainer:
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
        sync_batchnorm=_synchronised(config),
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


def _synchronised(config: TrainConfig) -> bool:
    """Whether batch norms take the batch of all devices, as one device with all of it would."""
    if config.sync_batchnorm is not None:
        return config.sync_batchnorm
    return config.devices * config.num_nodes > 1 and on_cuda(config)


def _loggers(config: TrainConfig, folders: RunPaths) -> list[Logger]:
    loggers: list[Logger] = []
    try:
        if config.use_tensorboard:
            loggers.append(TensorBoardLogger(folders.logs, name="", version="tensorboard"))
        if config.use_wandb:
            loggers.append(WandbLogger(config.experiment_name, folders.logs, project=config.wandb_project))
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}: {INSTALL_LOGGERS}") from error
    return loggers


@contextmanager
def _wandb_run_ended(config: TrainConfig) -> Iterator[None]:
    """End the W&B run that begins meanwhile: another training in this process would go on writing into it."""
    if not config.use_wandb:
        yield
        return
    import wandb

    given, status = wandb.run, 1
    try:
        yield
        status = 0
    finally:
        if wandb.run is not given:
            wandb.finish(exit_code=status)


def _write_config(
    config: TrainConfig,
    folders: RunPaths,
    model: DepthModel,
    data: DepthDataModule,
    teacher: dict[str, Any] | None,
) -> None:
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
        "teacher": teacher,
    }
    resolved = {"flags": _plain(dataclasses.asdict(config)), "model": vars(model.spec), "facts": facts}
    (folders.logs / "config.json").write_text(json.dumps(resolved, indent=2) + "\n")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Only what JSON and a checkpoint of plain values can hold."""
    return {
        name: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }
