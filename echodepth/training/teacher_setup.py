"""Which teacher a run gets: read, remembered where it can be, and made to speak in metres."""

import logging
from pathlib import Path
from typing import Any

from echodepth.core.device import choose_device
from echodepth.core.errors import CheckpointError, require_at_least
from echodepth.data.dataset import open_dataset
from echodepth.data.split_dataset import SplitDataset
from echodepth.distillation.scale_alignment import align_teacher
from echodepth.distillation.teachers.cached import CachedTeacher, fill_cache, teacher_cache_folder
from echodepth.distillation.teachers.frozen import LiveTeacher, Teacher, load_teacher
from echodepth.training.config import CacheTeacherConfig, DistillationConfig
from echodepth.training.distillation_task import levels_of

log = logging.getLogger(__name__)


def cache_teacher(config: CacheTeacherConfig) -> Path:
    """Keep what a teacher says of every training frame; returns the folder.

    Raises:
        CheckpointError: the teacher cannot be read.
        ConfigError: a flag is out of range, or the disk too small.
        DataError: a file or row is missing or unusable.
    """
    require_at_least(1, batch_size=config.batch_size)
    require_at_least(0, num_workers=config.num_workers)
    device = choose_device(config.device)
    teacher = load_teacher(config.teacher)
    frames = open_dataset(config, "train", ("image",))
    loading = {"batch_size": config.batch_size, "num_workers": config.num_workers}
    return fill_cache(teacher, config, frames, config.levels, loading, device)


def open_teacher(config: DistillationConfig, live: LiveTeacher, frames: SplitDataset) -> tuple[Teacher, dict[str, Any]]:
    """The teacher as a run looks at it, and what is to be known of it as plain values.

    Args:
        config: the run's flags.
        live: the teacher that ``--teacher`` names.
        frames: the run's training frames.

    Raises:
        ConfigError: its depth would not be metres.
        DataError: nothing makes its depth metres, or two frames have one name.
    """
    # What is kept on disk is without the teacher's doubts.
    asked_again = config.kd_confidence or not config.teacher_cache
    remembered = None if asked_again else _remembered(config, live, frames)
    facts: dict[str, Any] = {
        "answer": live.answer,
        "cache": str(teacher_cache_folder(live, config)) if remembered else None,
    }
    teacher, fitted = align_teacher(
        remembered or live, live.answer, config.teacher_align, frames, config.depth_limit, choose_device(config.device)
    )
    return teacher, facts | {"metres": fitted}


def _remembered(config: DistillationConfig, live: LiveTeacher, frames: SplitDataset) -> CachedTeacher | None:
    if not frames.is_random_access:  # the cache identifies frames by their files
        return None
    folder = teacher_cache_folder(live, config)
    if not folder.exists():
        return None
    levels = sorted({level for levels in levels_of(config).values() for level in levels})
    try:
        teacher = CachedTeacher(folder, frames.records, levels)
    except CheckpointError as misfit:
        log.warning(
            "the teacher looks at each frame in each epoch, for its cache %s does not fit: %s; "
            "`echodepth cache-teacher` makes it anew",
            folder,
            misfit,
        )
        return None
    log.info("the teacher is not asked again: what it says of all %d frames is in %s", len(frames), folder)
    return teacher
