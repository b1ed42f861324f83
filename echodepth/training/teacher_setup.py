"""Opens a run's teacher: live or from its cache, and aligned to metres."""

import logging
from pathlib import Path
from typing import Any

from echodepth.core.device import choose_device
from echodepth.core.errors import CheckpointError, require_at_least
from echodepth.data.opening import WAVEFORMS, open_records
from echodepth.data.split_dataset import SplitDataset
from echodepth.distillation.losses.total import levels_of, needs_uncertainty
from echodepth.distillation.scale_alignment import align_teacher
from echodepth.distillation.teachers.cached import CachedTeacher, fill_cache, teacher_cache_folder
from echodepth.distillation.teachers.frozen import LiveTeacher, Teacher
from echodepth.distillation.teachers.loading import load_teacher
from echodepth.training.config import CacheTeacherConfig, DistillConfig

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
    prepared = WAVEFORMS if config.use_prepared else ()
    frames = open_records(config.data, "train", ("image",), prepared=prepared, exact=True)
    loading = {"batch_size": config.batch_size, "num_workers": config.num_workers}
    return fill_cache(teacher, config.data, frames, config.levels, loading, device)


def open_teacher(config: DistillConfig, live: LiveTeacher, frames: SplitDataset) -> tuple[Teacher, dict[str, Any]]:
    """The teacher as training uses it, and its record as plain values.

    Args:
        config: the run's flags.
        live: the teacher that ``--teacher`` names.
        frames: the run's training frames.

    Raises:
        ConfigError: its depth would not be in metres.
        DataError: its depth cannot be converted to metres, or two frames have the same name.
    """
    flags, data = config.distillation, config.data
    # A cache holds no uncertainty.
    use_cache = flags.teacher_cache and not needs_uncertainty(flags)
    cached = _open_cached(config, live, frames) if use_cache else None
    folder = str(teacher_cache_folder(live, data)) if cached else None
    device = choose_device(config.machine.device)
    depth_kind, limit = live.depth_kind, data.depth_limit
    teacher, alignment = align_teacher(cached or live, depth_kind, flags.teacher_align, frames, limit, device)
    record: dict[str, Any] = {"depth_kind": depth_kind, "cache": folder}
    return teacher, record | {"alignment": alignment}


def _open_cached(config: DistillConfig, live: LiveTeacher, frames: SplitDataset) -> CachedTeacher | None:
    """The teacher's cache, or None if there is none that fits these frames and losses."""
    if not frames.is_random_access:  # the cache identifies frames by their image files
        return None
    folder = teacher_cache_folder(live, config.data)
    if not folder.exists():
        return None
    levels = sorted({level for levels in levels_of(config.distillation).values() for level in levels})
    try:
        teacher = CachedTeacher(folder, frames.records, levels, config.data.verify)
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
