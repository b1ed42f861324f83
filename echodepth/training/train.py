"""A training run: from flags to a saved model folder."""

import dataclasses
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from echodepth import __version__
from echodepth.core.atomic_io import atomic_write
from echodepth.core.device import float32_products
from echodepth.core.errors import ConfigError
from echodepth.core.flags import flat, plain, select
from echodepth.core.run_paths import RunPaths
from echodepth.core.threads import use_threads
from echodepth.data.cache.prepared import AudioCacheFormat
from echodepth.data.datamodule import DepthDataModule
from echodepth.data.label_subset import LabelSubset
from echodepth.data.opening import data_provenance, data_terms, dataset_camera
from echodepth.data.records import Modality
from echodepth.distillation.teachers.loading import load_teacher
from echodepth.models.checkpoint import DepthModel, ModelSpec, build_spec
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.layers import count_parameters
from echodepth.models.networks import NETWORKS
from echodepth.models.run_record import RunRecord
from echodepth.training.callbacks import BestModel, History
from echodepth.training.checkpoints import AtomicCheckpointIO, BatchOrder, Checkpoints
from echodepth.training.config import FLAGS_NOT_COMPARED, DistillConfig, TrainConfig
from echodepth.training.convergence import StopWhenConverged
from echodepth.training.depth_task import PROGRESS_STEPS, DepthTask
from echodepth.training.distillation_task import DistillationTask, require_features
from echodepth.training.image_logging import ResultPictures
from echodepth.training.initial_weights import continued, load_initial
from echodepth.training.rank_watch import RankWatch
from echodepth.training.resume import ResumePoint, prepare_folders
from echodepth.training.stop_signals import StopSignals
from echodepth.training.teacher_setup import open_teacher
from echodepth.training.thread_choice import training_threads
from echodepth.training.time_estimate import TimeEstimate
from echodepth.training.validation import (
    INSTALL_LOGGERS,
    check_batches,
    check_flags,
    is_deterministic,
    is_main_process,
    on_cuda,
    uses_sync_batchnorm,
)
from echodepth.training.weight_average import moving_average

log = logging.getLogger(__name__)


def train(config: TrainConfig) -> Path:
    """Train a network.

    Args:
        config: from ``train_config``.

    Returns:
        The model folder of the best epoch, ``checkpoints/<experiment>/best``.

    Raises:
        CheckpointError: the teacher or the checkpoint to resume from cannot be read or does not fit.
        ConfigError: a flag is out of range, or flags contradict each other.
        DataError: the data are missing or, without --skip_bad, bad.
    """
    # Lightning's import sets the level at which it logs devices and loggers.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return _fit(config, *new_task(config))


def new_task(config: TrainConfig) -> tuple[DepthTask, DepthDataModule, dict[str, Any] | None]:
    """An untrained model as a Lightning module, its data, and how the teacher was aligned; errors as ``train``."""
    model = new_model(config)
    if not isinstance(config, DistillConfig):
        return DepthTask(model, config), _open_data(config, model, (config.modality, "depth")), None
    live = load_teacher(config.distillation.teacher)
    require_features(config, live, f"--teacher {config.distillation.teacher}")
    data = _open_data(config, model, ("image", "audio", "depth"))
    teacher, alignment = open_teacher(config, live, data.train_set)
    del live  # a cached teacher needs no network, and the network may be large
    return DistillationTask(model, teacher, config), data, alignment


def model_spec(config: TrainConfig) -> ModelSpec:
    """The network and front end that the flags ask for."""
    choice, data = config.network, config.data
    network, front_end = NETWORKS[choice.model], FRONT_ENDS[choice.front_end]
    return build_spec(
        choice.model,
        select(choice, network.config),
        choice.front_end,
        select(choice, front_end.config),
        data.image_size,
        data.depth_limit,
    )


def new_model(config: TrainConfig) -> DepthModel:
    """The model that these flags begin with, new or that of ``--init``, with the record of the run that begins.

    Raises:
        CheckpointError: the model of ``--init`` cannot be read.
        ConfigError: a flag is out of range, or contradicts ``--init``.
        DataError: the dataset's description of its camera cannot be read.
    """
    check_flags(config)
    initial = None if config.init is None else load_initial(config.init, config.modality, plain(config))[0]
    # Seeded before anything is drawn: a student starts from the same weights with a teacher and without.
    L.seed_everything(config.seed, workers=True, verbose=False)
    licence, limits = data_terms(config.data)
    record = RunRecord(
        kind=config.kind,
        experiment_name=config.experiment_name,
        seed=config.seed,
        version=__version__,
        data=plain(config.data),
        flags=training_flags(config),
        teacher=config.distillation.teacher if isinstance(config, DistillConfig) else None,
        data_licence=licence,
        data_limits=limits,
        provenance=data_provenance(config.data),
        field_of_view=dataset_camera(config.data, config.training_data.field_of_view),
    )
    try:
        return DepthModel(model_spec(config), record) if initial is None else continued(initial, record)
    except ValueError as error:
        raise ConfigError(f"--{error}") from error


def training_flags(config: TrainConfig) -> dict[str, Any]:
    """The flags that determine the weights, besides data and seed: runs that agree in them differ by chance only."""
    left_out = {*flat(config.data), *FLAGS_NOT_COMPARED}
    return {name: value for name, value in plain(config).items() if name not in left_out}


def _open_data(config: TrainConfig, model: DepthModel, modalities: tuple[Modality, ...]) -> DepthDataModule:
    options, machine = config.training_data, config.machine
    keep_unlabelled = isinstance(config, DistillConfig)
    return DepthDataModule(
        config.data,
        modalities,
        batch_size=config.optimisation.batch_size,
        num_workers=machine.num_workers,
        seed=config.seed,
        flip=options.flip,
        color_jitter=options.color_jitter,
        labels=LabelSubset(options.label_fraction, options.label_seed, keep_unlabelled),
        val_labels=LabelSubset(options.val_label_fraction, options.label_seed),
        prepared=(AudioCacheFormat(model.front_end.settings), AudioCacheFormat()) if machine.use_prepared else (),
    )


def _fit(config: TrainConfig, task: DepthTask, data: DepthDataModule, teacher: dict[str, Any] | None = None) -> Path:
    paths, machine = RunPaths(config.experiment_name), config.machine
    # Opened before any folder changes: a mistyped --data_dir must not delete an older run or leave empty folders.
    sizes = len(data.train_set), len(data.val_set)
    check_batches(config, sizes[0])
    order = BatchOrder(config.seed, config.optimisation.batch_size, machine.devices * machine.num_nodes, sizes[0])
    start = prepare_folders(config, paths, task.model, order)
    epochs = config.optimisation.nb_epochs
    if start.epochs >= epochs:
        log.info("epoch %d exists: nothing is left to train up to --nb_epochs %d", start.epochs, epochs)
        return paths.best
    data.first_epoch, data.first_batch = start.epochs, start.batches
    task.guard.files_of = data.files_of
    if is_main_process():
        log.info(
            "%s: %s, %.2f M parameters, %d training frames, %d validation frames",
            config.experiment_name,
            type(task.model.network).__name__,
            count_parameters(task.model.network) / 1e6,
            *sizes,
        )
        _write_config(config, paths, task.model, data, teacher)
    threads = training_threads(config, start.threads)
    with _expected_warnings_ignored(), use_threads(threads), StopSignals() as signals:
        checkpoints = Checkpoints(paths, config.save_frequency, config.save_minutes, signals, order)
        trainer = _trainer(config, paths, start, checkpoints)
        with _wandb_run_ended(config), float32_products(machine.tf32):
            trainer.fit(task, datamodule=data, ckpt_path=start.path, weights_only=True)
    if is_main_process():
        log.info("best model: %s", paths.best)
    return paths.best


@contextmanager
def _expected_warnings_ignored() -> Iterator[None]:
    with warnings.catch_warnings():
        # Few workers are a choice on a small machine, and short sets are no mistake here.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        # The curves count skipped batches.
        warnings.filterwarnings("ignore", message=".*training_step` returned `None`.*")
        # The samplers leave out the batches that were trained on.
        warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
        # The validation scores already are those of all processes.
        warnings.filterwarnings("ignore", message=".*recommended to use .*sync_dist=True.*")
        warnings.filterwarnings("ignore", category=FutureWarning, module="lightning.*")
        yield


def _trainer(config: TrainConfig, paths: RunPaths, start: ResumePoint, checkpoints: Checkpoints) -> L.Trainer:
    machine, optimisation = config.machine, config.optimisation
    callbacks: list[Callback] = [
        TQDMProgressBar(refresh_rate=PROGRESS_STEPS if on_cuda(machine) else 1),
        BestModel(paths),
        ResultPictures(paths, config.save_frequency),
        *(History(paths, start.epochs), checkpoints, RankWatch(), TimeEstimate()),
    ]
    if optimisation.patience is not None:
        callbacks.insert(1, StopWhenConverged(optimisation.patience, optimisation.min_epochs))
    if optimisation.ema_decay is not None:
        callbacks.append(moving_average(optimisation.ema_decay))
    return L.Trainer(
        accelerator=machine.device,
        devices=machine.devices,
        num_nodes=machine.num_nodes,
        strategy=machine.strategy,
        precision=machine.precision,
        sync_batchnorm=uses_sync_batchnorm(machine),
        max_epochs=optimisation.nb_epochs,
        check_val_every_n_epoch=optimisation.val_frequency,
        gradient_clip_val=optimisation.gradient_clip or None,
        accumulate_grad_batches=optimisation.accumulate,
        logger=_loggers(config, paths) or False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=paths.logs,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
        # Asked for by name, an operation without a deterministic form is an error; on a CPU there is none.
        deterministic=True if machine.deterministic else "warn" if is_deterministic(machine) else False,
        benchmark=machine.cudnn_benchmark and on_cuda(machine) and not is_deterministic(machine),
    )


def _loggers(config: TrainConfig, paths: RunPaths) -> list[Logger]:
    loggers: list[Logger] = []
    try:
        if config.logging.use_tensorboard:
            loggers.append(TensorBoardLogger(paths.logs, name="", version="tensorboard"))
        if config.logging.use_wandb:
            loggers.append(WandbLogger(config.experiment_name, paths.logs, project=config.logging.wandb_project))
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}: {INSTALL_LOGGERS}") from error
    return loggers


@contextmanager
def _wandb_run_ended(config: TrainConfig) -> Iterator[None]:
    """End the W&B run that begins meanwhile: another training in this process would continue it."""
    if not config.logging.use_wandb:
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
    config: TrainConfig, paths: RunPaths, model: DepthModel, data: DepthDataModule, teacher: dict[str, Any] | None
) -> None:
    """Write ``config.json``: all flags, which ``--config`` reads, and facts about the run."""
    facts = {
        "version": __version__,
        "torch": torch.__version__,
        "network": type(model.network).__name__,
        "parameters": count_parameters(model.network),
        "training_frames": len(data.train_set),
        "validation_frames": len(data.val_set),
        "bad_rows": data.train_set.bad_rows + data.val_set.bad_rows,
        "audio_cut_seconds": config.data.cut_seconds if model.input_key == "audio" else None,
        "teacher": teacher,
    }
    resolved = {
        "kind": config.kind,
        "flags": plain(config),
        "model": dataclasses.asdict(model.spec),
        "facts": facts,
    }
    with atomic_write(paths.config) as unfinished:
        unfinished.write_text(json.dumps(resolved, indent=2) + "\n")
