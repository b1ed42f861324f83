"""Where a run goes on: at an epoch that is asked for, or at its newest whole checkpoint."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echodepth.core.atomic_io import remove_unfinished
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.run_paths import RunPaths
from echodepth.models.checkpoint import DepthModel, read_checkpoint
from echodepth.models.load_checks import require_finite
from echodepth.training.checkpoints import BatchOrder
from echodepth.training.config import TrainConfig
from echodepth.training.validation import check_resumable, is_main_process

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResumePoint:
    """Where a run goes on.

    Attributes:
        path: the checkpoint; None for a new run.
        epochs: that are complete.
        batches: of the next epoch that are complete.
        threads: number of CPU threads up to here, if known.
    """

    path: Path | None = None
    epochs: int = 0
    batches: int = 0
    threads: int | None = None


def prepare_folders(config: TrainConfig, paths: RunPaths, model: DepthModel, order: BatchOrder) -> ResumePoint:
    """Where the run that the flags ask for goes on; the folders of a new run are made.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or does not fit the flags.
        ConfigError: the flags contradict each other, or the folders hold another run.
    """
    start = _resume_point(config, paths, model, order)
    if start.path is None and is_main_process():
        paths.start_afresh(config.overwrite or (config.resume is not None and _is_of_first_epoch(paths)))
        for folder in (paths.checkpoints, paths.results, paths.logs):
            folder.mkdir(parents=True, exist_ok=True)
    if is_main_process():
        for folder in (paths.checkpoints, paths.results, paths.logs):
            remove_unfinished(folder)
        if config.resume is not None and start.path not in (None, paths.latest):
            paths.latest.unlink(missing_ok=True)  # a run that was killed after its epoch had been saved left it
    return start


def _is_of_first_epoch(paths: RunPaths) -> bool:
    """Whether the best model is of a run that was killed before its first checkpoint, at the end of an epoch."""
    curve = paths.logs / "metrics.csv"
    return not curve.is_file() or len(curve.read_text().splitlines()) <= 2


def _resume_point(config: TrainConfig, paths: RunPaths, model: DepthModel, order: BatchOrder) -> ResumePoint:
    if config.resume is None and config.checkpoints is None:
        return ResumePoint()
    if config.resume is not None and (config.checkpoints is not None or config.overwrite):
        other = "overwrite" if config.checkpoints is None else "checkpoints"
        raise ConfigError(f"--resume auto finds the checkpoint itself: leave out --{other}, or --resume")
    if config.checkpoints is not None:
        path = paths.resume_from(config.checkpoints)
        found = read_checkpoint(path)
    else:
        newest = _newest_whole(paths)
        if newest is None:
            return ResumePoint()
        path, found = newest
    flags = {**model.run.data, **model.run.flags, "seed": config.seed}
    check_resumable(found, model.spec, flags, path)
    point = ResumePoint(path, *_progress(found), found.get("threads"))
    if point.batches and BatchOrder(**found["mid_epoch"]["order"]) != order:
        raise CheckpointError(
            f"{path} was saved within an epoch of {_listed(found['mid_epoch']['order'])}, and cannot go on with "
            f"{_listed(vars(order))}: give the same, or go on at the end of an epoch with --checkpoints"
        )
    if config.resume is not None and is_main_process():
        within = f" and {point.batches} batches" if point.batches else ""
        log.info("resuming from %s, after %d epochs%s", path, point.epochs, within)
    return point


def _newest_whole(paths: RunPaths) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint after the most training that can be read; None for a run that has none yet."""
    candidates = [paths.latest, *map(paths.checkpoint, reversed(paths.epochs()))]
    damaged, found = [], None
    for path in candidates:
        if not path.exists():
            continue
        try:
            checkpoint = read_checkpoint(path)
            require_finite(checkpoint["model_state_dict"], path)
            progress = _progress(checkpoint)
        except (CheckpointError, LookupError, OSError, TypeError, ValueError) as error:
            damaged.append(path)
            reason = f"{path} cannot be read: {error}" if isinstance(error, OSError) else f"{path} is damaged"
            if is_main_process():
                log.warning("skipped: %s", error if isinstance(error, CheckpointError) else reason)
            continue
        if found is None or progress > _progress(found[1]):
            found = path, checkpoint
        if path != paths.latest:
            break
    if found is None and damaged:
        raise CheckpointError(
            f"no checkpoint in {paths.checkpoints} is whole: choose another --experiment_name, or start over with "
            "--overwrite"
        )
    return found


def _progress(checkpoint: dict[str, Any]) -> tuple[int, int]:
    """Complete epochs, and complete batches of the next one."""
    mid_epoch = checkpoint.get("mid_epoch")
    epoch = int(checkpoint["epoch"])
    return (epoch + 1, 0) if mid_epoch is None else (epoch, int(mid_epoch["batch"]))


def _listed(order: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in order.items())
