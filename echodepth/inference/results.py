"""Which results in an output folder are those of this call: of these inputs, this model and these settings."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from echodepth import __version__
from echodepth.core.array_store import short_hash
from echodepth.core.result_log import Origin, ResultLog, content_digest
from echodepth.inference.backends import ExportedModel
from echodepth.inference.config import OutputFormat, PredictConfig
from echodepth.inference.inputs import check_size
from echodepth.inference.predictor import Predictor
from echodepth.inference.sources import Source

log = logging.getLogger(__name__)
_WITH_IMAGE = ("color", "ply", "glb")
_WITH_CAMERA = ("ply", "glb")


class Results:
    """The results in an output folder.

    Args:
        folder: of the results.
        predictor: the model.
        config: the flags.

    Raises:
        ConfigError: the folder holds results of another model, and ``--overwrite`` is not given.
    """

    def __init__(self, folder: Path, predictor: Predictor, config: PredictConfig) -> None:
        self.folder = folder
        self.overwrite = config.overwrite
        self.frame_stride = config.frame_stride
        self._camera = [config.fov, config.vertical_fov, config.intrinsics]
        self._model = f"{_label(predictor)} {predictor.digest}"
        self._digests: dict[Path, str] = {}
        self._log = ResultLog(folder)
        if not config.overwrite:
            self._log.require_model(self._model)

    def origin(self, source: Source, format: OutputFormat, is_video: bool = False) -> Origin:
        """What makes the result of a source in a format.

        Args:
            source: the source.
            format: of the result.
            is_video: whether the result is a video, not that of a single frame.
        """
        settings: list[object] = [format]
        if format in _WITH_IMAGE and source.image_file is not None:
            settings.append(self._digest(source.image_file))
        if format in _WITH_CAMERA:
            settings.append(self._camera)
        if is_video:
            settings.append(self.frame_stride)
        contents = [self._digest(file) for file in source.files]
        return Origin(
            stem=source.stem.as_posix(),
            source=self._relative(source.files[0]),
            input=short_hash([__version__, source.reading, *contents]),
            model=self._model,
            settings=short_hash(settings),
        )

    def sheet_origin(self, sources: Iterable[Source]) -> Origin:
        """What makes the contact sheet of some sources."""
        shown = [self.origin(source, "color") for source in sources]
        contents = [[each.stem, each.input, each.settings] for each in shown]
        return Origin("", "", short_hash(contents), self._model, short_hash(["sheet"]))

    def needs(self, files: Mapping[Path, Origin]) -> bool:
        """Whether some of a source's files must be written; a ConfigError if another input made one that is there."""
        needed = [self.overwrite or self._log.needs(path, origin) for path, origin in files.items()]
        return any(needed)

    def begin(self, files: Mapping[Path, Origin]) -> None:
        """Note what makes some files, just before they are written; see ``ResultLog.begin``."""
        removed = self._log.begin(files)
        if removed:
            log.info("removed, because their input has changed since: %s", ", ".join(map(str, removed)))

    def _relative(self, path: Path) -> str:
        """A path as the log lists it, so that results and inputs can be moved together."""
        try:
            return Path(os.path.relpath(path, self.folder)).as_posix()
        except ValueError:  # on another drive
            return path.absolute().as_posix()

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            check_size(path)
            self._digests[path] = content_digest(path)
        return self._digests[path]


def _label(predictor: Predictor) -> str:
    """What tells models of one experiment apart, for messages."""
    file = f" as {predictor.backend.files[0].name}" if isinstance(predictor.backend, ExportedModel) else ""
    return f"{predictor.name}{file}{' with --mirror_average' if predictor.mirror_average else ''}"
