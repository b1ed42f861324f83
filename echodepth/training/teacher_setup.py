"""Opens a run's teacher: live or from its cache, and aligned to metres."""

import logging
from pathlib import Path
from typing import Any

from echodepth.core.device import choose_device
from echodepth.core.errors import CheckpointError, require_at_least
from echodepth.data.dataset import open_dataset
from echodepth.data.streaming.dataset import Frames, ShardedDataset
from echodepth.distillation.losses.total import levels_of
from echodepth.distillation.scale_alignment import align_teacher
from echodepth.distillation.teachers.cached import CachedTeacher, cache_of, fill_cache
from echodepth.distillation.teachers.frozen import LiveTeacher, Teacher, load_teacher
from echodepth.simulate.default_set import make_once
from echodepth.training.config import CacheTeacherConfig, DistillationConfig

log = logging.getLogger(__name__)


def cache_teacher(config: CacheTeacherConfig) -> Path:
    """Cache a teacher's outputs for every training frame; returns the cache's folder.

    Raises:
        CheckpointError: the teacher cannot be read.
        ConfigError: a flag is out of range, or the disk is too small.
        DataError: a file or row is missing or unusable.
    """
    require_at_least(1, batch_size=config.batch_size)
    require_at_least(0, num_workers=config.num_workers)
    device = choose_device(config.device)
    teacher = load_teacher(config.teacher)
    if config.dataset == "simulated" and config.data_dir is None:
        make_once(config.root)
    frames = open_dataset(config, "train", ("image",))
    loading = {"batch_size": config.batch_size, "num_workers": config.num_workers}
    return fill_cache(teacher, config, frames, config.levels, loading, device)


def open_teacher(config: DistillationConfig, live: LiveTeacher, frames: Frames) -> tuple[Teacher, dict[str, Any]]:
    """The teacher as training uses it, and its record as plain values.

    Args:
        config: the run's flags.
        live: the teacher that ``--teacher`` names.
        frames: the run's training frames.

    Raises:
        ConfigError: its depth would not be in metres.
        DataError: its depth cannot be converted to metres, or two frames have the same name.
    """
    # A cache holds no uncertainty, which the confidence needs.
    cached = None if config.kd_confidence or not config.teacher_cache else _open_cached(config, live, frames)
    record: dict[str, Any] = {"depth_kind": live.depth_kind, "cache": str(cache_of(live, config)) if cached else None}
    device = choose_device(config.device)
    teacher, alignment = align_teacher(
        cached or live, live.depth_kind, config.teacher_align, frames, config.depth_limit, device
    )
    return teacher, record | {"alignment": alignment}


def _open_cached(config: DistillationConfig, live: LiveTeacher, frames: Frames) -> CachedTeacher | None:
    """The teacher's cache, or None if there is none that fits these frames and losses."""
    if isinstance(frames, ShardedDataset):  # caches belong to image files
        return None
    folder = cache_of(live, config)
    if not folder.exists():
        return None
    levels = sorted({level for levels in levels_of(config).values() for level in levels})
    try:
        teacher = CachedTeacher(folder, frames.records, levels)
    except CheckpointError as misfit:
        log.warning(
            "the teacher runs in every epoch because its cache %s does not fit: %s; "
            "`echodepth cache-teacher` rebuilds the cache",
            folder,
            misfit,
        )
        return None
    log.info("teacher outputs for all %d frames are read from the cache %s", len(frames), folder)
    return teacher
