"""``echodepth prepare``: a dataset decoded once, for all the epochs of all the runs to come."""

import dataclasses
import logging
from pathlib import Path

from echodepth.core.errors import ConfigError, require_at_least
from echodepth.data.cache.prepared import AudioCacheFormat, write_prepared
from echodepth.data.config import DataConfig
from echodepth.models.frontends.echo import EchoFrontEnd
from echodepth.simulate.default_set import make_once
from echodepth.training.config import PrepareConfig

log = logging.getLogger(__name__)


def prepare(config: PrepareConfig) -> list[Path]:
    """Decode the splits that are not kept yet, or whose files have changed.

    Returns:
        A folder for each split, below ``ECHODEPTH_CACHE``.

    Raises:
        ConfigError: a flag is out of range.
        DataError: a file is missing or, without ``skip_bad``, bad.
    """
    require_at_least(1, workers=config.workers)
    hearing = AudioCacheFormat()
    if config.sound == "spectrogram":
        try:
            front_end = EchoFrontEnd(config.image_size, config.spectrogram, binaural_cues=config.cues)
        except ValueError as error:
            raise ConfigError(f"--{error}") from error
        hearing = AudioCacheFormat(front_end.settings, front_end)
    if config.dataset == "simulated" and config.data_dir is None:
        make_once(config.root)
    names = [field.name for field in dataclasses.fields(DataConfig)]
    data = DataConfig(**{name: getattr(config, name) for name in names})
    folders = [write_prepared(data, split, hearing, config.workers) for split in config.splits]
    for split, folder in zip(config.splits, folders, strict=True):
        size = sum(path.stat().st_size for path in folder.iterdir())
        log.info("%s: %s, %.0f MB", split, folder, size / 1e6)
    return folders
