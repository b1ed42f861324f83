"""``echodepth prepare``: decode a dataset once, for all epochs of all runs."""

import logging
from pathlib import Path

from echodepth.core.errors import ConfigError, require_at_least
from echodepth.data.cache.prepared import AudioCacheFormat, write_prepared
from echodepth.models.frontends import FRONT_ENDS
from echodepth.training.config import PrepareConfig

log = logging.getLogger(__name__)


def prepare(config: PrepareConfig) -> list[Path]:
    """Decode the splits that are missing from the cache, or whose files have changed.

    Args:
        config: of ``prepare_class``.

    Returns:
        A folder for each split, below ``ECHODEPTH_CACHE``.

    Raises:
        ConfigError: a flag is out of range.
        DataError: a file is missing or, without ``skip_bad``, bad.
    """
    require_at_least(1, workers=config.workers)
    audio_format = AudioCacheFormat()
    if config.sound == "spectrogram":
        entry = FRONT_ENDS[config.front_end.front_end]
        try:
            front_end = entry.from_config(config.front_end, config.data.image_size)
        except ValueError as error:
            raise ConfigError(f"--{error}") from error
        audio_format = AudioCacheFormat(front_end.settings, front_end)
    folders = [write_prepared(config.data, split, audio_format, config.workers) for split in config.splits]
    for split, folder in zip(config.splits, folders, strict=True):
        size = sum(path.stat().st_size for path in folder.iterdir())
        log.info("%s: %s, %.0f MB", split, folder, size / 1e6)
    return folders
