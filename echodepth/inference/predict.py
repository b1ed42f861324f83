"""``echodepth predict``: run one model over files, folders, videos or a dataset split and write the results."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from echodepth.core.errors import ConfigError, DataError, EchodepthError, plain_message, require_at_least
from echodepth.inference.cloud_camera import CloudCamera, check_camera_flags
from echodepth.inference.config import OutputFormat, PredictConfig
from echodepth.inference.estimate import Estimate
from echodepth.inference.outputs import OutputWriter, add_to_sheet
from echodepth.inference.point_cloud import require_trimesh
from echodepth.inference.predict_video import VideoPrediction
from echodepth.inference.predictor import Predictor, load_model
from echodepth.inference.results import Results
from echodepth.inference.sources import Source, find_sources
from echodepth.inference.video import require_av
from echodepth.report.contact_sheet import ContactSheet

log = logging.getLogger(__name__)

DEFAULT_FORMATS: tuple[OutputFormat, ...] = ("npy", "png", "color")
DEFAULT_VIDEO_FORMATS: tuple[OutputFormat, ...] = ("color",)
"""The arrays of one minute of video would fill gigabytes."""


def predict(config: PredictConfig) -> list[Path]:
    """Predict depth for everything that the flags name, and write the results.

    For each file, ``--save`` selects from ``<stem>_depth.npy`` (float32 metres), ``<stem>_depth.png`` (16-bit
    millimetres, clipped at 65.535 m), ``<stem>_depth_color.png`` (an image with a scale in metres), and
    ``<stem>_depth.ply`` and ``.glb`` (point clouds). A model with uncertainty also writes its predicted uncertainty, in
    the first three formats, as ``<stem>_uncertainty``. A video becomes ``<stem>_depth_color.mp4``; other formats are
    written per frame into a folder. ``contact_sheet.png`` shows all predictions.

    A result of the same input, model and settings is skipped; ``made_from.jsonl`` lists what made each. One whose input
    or settings have changed is made anew, and one of another input or model is an error without ``--overwrite``. A bad
    file is reported and does not stop the others.

    Returns:
        The files written.

    Raises:
        CheckpointError: the model does not exist.
        ConfigError: the flags do not fit the model or each other.
        DataError: no input is found, or, at the end, some files could not be predicted.
    """
    _check_flags(config)
    predictor = load_model(
        config.checkpoint,
        config.device,
        config.backend,
        compile="latency",
        mirror_average=config.mirror_average,
        trust_code=config.trust_code,
    )
    camera = CloudCamera.of(predictor, config) if _writes_clouds(config) else None
    folder = config.out if config.out is not None else Path("results") / predictor.name / "predictions"
    sources = find_sources(config, predictor, folder)
    if any(source.is_video for source in sources):
        require_av()
    run = _Run(config, predictor, Results(folder, predictor, config), camera)
    with logging_redirect_tqdm():
        run.predict_all(sources)
    if run.written:
        log.info("%d %s written to %s", len(run.written), "file" if len(run.written) == 1 else "files", folder)
        pictures = [path for path in run.written if path.stem.endswith("_depth_color")]
        if pictures:
            log.info("to look at: %s%s", pictures[0], f" and {len(pictures) - 1} more" if len(pictures) > 1 else "")
    if run.skipped:
        log.info("%d of %d are up to date and were skipped: --overwrite predicts them again", run.skipped, len(sources))
    if run.errors:
        if len(sources) == 1:
            raise run.errors[0]
        raise DataError(f"{len(run.errors)} of {len(sources)} could not be predicted: they are named above")
    return run.written


def _check_flags(config: PredictConfig) -> None:
    require_at_least(1, frame_stride=config.frame_stride)
    check_camera_flags(config)
    if _writes_clouds(config):
        require_trimesh()
    elif config.fov is not None or config.intrinsics is not None:
        raise ConfigError("--fov and --intrinsics are for point clouds: add ply or glb to --save")


def _writes_clouds(config: PredictConfig) -> bool:
    return "ply" in config.save or "glb" in config.save


@dataclass
class _Run:
    """One call of the command.

    Attributes:
        config: the flags.
        predictor: the model.
        results: those in the output folder.
        camera: the camera of point clouds; None without any.
        written: files written so far.
        errors: errors of the sources that could not be predicted.
        skipped: number of sources whose results are up to date.
    """

    config: PredictConfig
    predictor: Predictor
    results: Results
    camera: CloudCamera | None = None
    written: list[Path] = field(default_factory=list)
    errors: list[EchodepthError] = field(default_factory=list)
    skipped: int = 0

    def predict_all(self, sources: list[Source]) -> None:
        """Predict every source, then draw the contact sheet."""
        writer = self._writer(DEFAULT_FORMATS)
        images = [source for source in sources if not source.is_video]
        sheet = self._contact_sheet(images, writer)
        on_sheet = {id(source) for index, source in enumerate(images) if sheet is not None and index in sheet.chosen}
        for source in tqdm(sources, desc="Predicting", unit="file", disable=None):
            try:
                if source.is_video:
                    self._predict_video(source)
                else:
                    self._predict_one(source, writer, sheet if id(source) in on_sheet else None)
            except EchodepthError as error:
                self.errors.append(error)
                if len(sources) > 1:
                    message = plain_message(error)
                    log.error("%s", message if source.name in message else f"{source.name}: {message}")
        if sheet is not None:
            self.results.begin({sheet.path: self.results.sheet_origin(images)})
            self.written += sheet.write(self.predictor.name, self.predictor.backend.max_depth)

    def _writer(self, default: tuple[OutputFormat, ...]) -> OutputWriter:
        backend = self.predictor.backend
        formats = tuple(format for format in get_args(OutputFormat) if format in (self.config.save or default))
        return OutputWriter(
            self.results.folder, formats, backend.max_depth, self.camera, show_image=backend.input_key == "audio"
        )

    def _contact_sheet(self, sources: list[Source], writer: OutputWriter) -> ContactSheet | None:
        """The contact sheet, or None if it is not requested or up to date."""
        if "sheet" not in writer.formats or not sources:
            return None
        path = self.results.folder / "contact_sheet.png"
        is_needed = self.results.needs({path: self.results.sheet_origin(sources)})
        return ContactSheet(path, len(sources)) if is_needed else None

    def _predict_one(self, source: Source, writer: OutputWriter, sheet: ContactSheet | None) -> None:
        results, paths = self.results, writer.depth_paths(source.stem)
        outdated = results.needs({path: results.origin(source, format) for path, format in paths.items()})
        self.skipped += bool(paths) and not outdated
        if not outdated and sheet is None:
            return
        estimate = self.predictor.estimate([source.read()])[0]
        image = source.image() if source.image is not None else None
        if outdated:
            if estimate.uncertainty is not None:
                paths |= writer.uncertainty_paths(source.stem)
            results.begin({path: results.origin(source, format) for path, format in paths.items()})
            self.written += writer.write(source.stem, estimate, image)
            log.info("%s: %s", source.name, _summary(estimate))
        if sheet is not None:
            add_to_sheet(sheet, str(source.stem), estimate, image)

    def _predict_video(self, source: Source) -> None:
        writer = self._writer(DEFAULT_VIDEO_FORMATS)
        video = VideoPrediction(source, self.predictor, writer, self.results)
        try:
            self.skipped += not video.run()
        finally:
            self.written += video.written


def _summary(estimate: Estimate) -> str:
    depth = estimate.depth
    summary = (
        f"{depth.shape[1]}x{depth.shape[0]}, {depth.min():.2f} to {depth.max():.2f} m, median {np.median(depth):.2f} m"
    )
    if estimate.uncertainty is not None:
        summary += f", median predicted uncertainty {np.median(estimate.uncertainty):.2f} m"
    return summary
