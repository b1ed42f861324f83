"""The command predict: everything that is named goes through one model, and what is wanted of it is written."""

import json
import logging
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError, DataError, EchodepthError, plain_message, require_at_least
from echodepth.inference.config import Kind, PredictConfig
from echodepth.inference.inputs import check_kind
from echodepth.inference.outputs import Outputs, Sheet
from echodepth.inference.point_cloud import Intrinsics, require_trimesh
from echodepth.inference.predictor import Estimate, Predictor, load_model
from echodepth.inference.sources import Source, find_sources
from echodepth.inference.video import Film, require_av, write_film
from echodepth.report.figures import depth_to_rgb, display_limit

log = logging.getLogger(__name__)

OF_A_FILE: tuple[Kind, ...] = ("npy", "png", "color")
OF_A_FILM: tuple[Kind, ...] = ("color",)
"""Of a minute of film, arrays would fill gigabytes."""
MADE_BY = "model.json"
"""Beside the results, what is known of the model: those of another are not taken for its own."""


def predict(config: PredictConfig) -> list[Path]:
    """Predict the depth of everything that the flags name, and write it.

    For each file, those of these that ``--save`` names: ``<stem>_depth.npy`` (float32, metres), ``<stem>_depth.png``
    (16 bits, millimetres, cut off at 65.535 m), ``<stem>_depth_color.png`` (a picture with its scale in metres),
    ``<stem>_depth.ply`` and ``.glb`` (a cloud of points). A model with uncertainty also writes how far off it expects
    to be, as the first three, under ``<stem>_uncertainty``. A film becomes ``<stem>_depth_color.mp4``, and a folder of
    the others. ``contact_sheet.png`` shows all.

    What is there already is left out. A bad file is named, and does not stop the rest.

    Returns:
        The files written.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: the flags do not fit the model, or each other.
        DataError: nothing is found, or, at the end, files could not be predicted.
    """
    _check_flags(config)
    predictor = load_model(config.checkpoint, config.device, config.backend)
    folder = config.out if config.out is not None else Path("results") / predictor.name / "predictions"
    sources = find_sources(config, predictor, folder)
    if any(source.is_film for source in sources):
        require_av()
    _claim(folder, predictor, config.overwrite)
    run = _Run(config, predictor, folder)
    with logging_redirect_tqdm():
        run.all_of(sources)
    if run.written:
        log.info("%d %s written to %s", len(run.written), "file" if len(run.written) == 1 else "files", folder)
    if run.there:
        log.info("%d of %d were there already: --overwrite makes them anew", run.there, len(sources))
    if run.failed:
        if len(sources) == 1:
            raise run.failed[0]
        raise DataError(f"{len(run.failed)} of {len(sources)} could not be predicted: they are named above")
    return run.written


def _check_flags(config: PredictConfig) -> None:
    require_at_least(1, every=config.every)
    if config.intrinsics is not None and config.fov is not None:
        raise ConfigError("--intrinsics and --fov say the same thing: give one of them")
    if "ply" in config.save or "glb" in config.save:
        require_trimesh()
        if (camera := _camera(config)) is None:
            raise ConfigError("--save ply and glb need the camera: give --fov DEGREES or --intrinsics FX FY CX CY")
        camera((1, 1))
    elif _camera(config) is not None:
        raise ConfigError("--fov and --intrinsics are for clouds of points: add ply or glb to --save")


def _camera(config: PredictConfig) -> Callable[[tuple[int, int]], Intrinsics] | None:
    if config.intrinsics is not None:
        intrinsics = Intrinsics(*config.intrinsics)
        return lambda size: intrinsics
    fov = config.fov
    return None if fov is None else lambda size: Intrinsics.from_fov(fov, size)


def _claim(folder: Path, predictor: Predictor, overwrite: bool) -> None:
    """Say beside the results whose they are; a ConfigError if they are another model's."""
    path, mine = folder / MADE_BY, json.loads(json.dumps(predictor.backend.run.to_plain()))
    try:
        theirs = json.loads(path.read_text())
    except FileNotFoundError:
        theirs = mine
    except ValueError:
        theirs = None
    if theirs != mine and not overwrite:
        raise ConfigError(f"{folder} holds what another model predicted: give another --out, or --overwrite it")
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(mine, indent=2) + "\n")


@dataclass
class _Run:
    """One call of the command: what has been written so far, what was there, and what failed."""

    config: PredictConfig
    predictor: Predictor
    folder: Path
    written: list[Path] = field(default_factory=list)
    failed: list[EchodepthError] = field(default_factory=list)
    there: int = 0

    def _outputs(self, default: tuple[Kind, ...]) -> Outputs:
        backend = self.predictor.backend
        kinds = tuple(kind for kind in get_args(Kind) if kind in (self.config.save or default))
        return Outputs(self.folder, kinds, backend.max_depth, _camera(self.config), backend.input_key == "audio")

    def all_of(self, sources: list[Source]) -> None:
        outputs = self._outputs(OF_A_FILE)
        still = [source for source in sources if not source.is_film]
        sheet = self._sheet(still, outputs)
        place = {id(source): index for index, source in enumerate(still)}
        for source in tqdm(sources, desc="Predicting", unit="file", disable=None):
            try:
                if source.is_film:
                    self._film(source)
                else:
                    shown = sheet if sheet is not None and place[id(source)] in sheet.chosen else None
                    self._one(source, outputs, shown)
            except EchodepthError as error:
                self.failed.append(error)
                if len(sources) > 1:
                    message = plain_message(error)
                    log.error("%s", message if source.name in message else f"{source.name}: {message}")
        if sheet is not None:
            self.written += sheet.write(self.predictor.name, self.predictor.backend.max_depth)

    def _sheet(self, still: list[Source], outputs: Outputs) -> Sheet | None:
        """The page, if it is wanted and not there as it would be drawn now."""
        if "sheet" not in outputs.kinds or not still:
            return None
        path = self.folder / "contact_sheet.png"
        fresh = path.is_file() and all(outputs.are_there(source.stem, (*source.files,)) for source in still)
        newest = max((file.stat().st_mtime for source in still for file in source.files if file.is_file()), default=0.0)
        if fresh and path.stat().st_mtime >= newest and not self.config.overwrite:
            return None
        return Sheet(path, len(still))

    def _one(self, source: Source, outputs: Outputs, sheet: Sheet | None) -> None:
        there = not self.config.overwrite and outputs.are_there(source.stem, source.files)
        self.there += there and bool(outputs.paths(source.stem))
        if there and sheet is None:
            return
        estimate = self.predictor.estimate([source.read()])[0]
        picture = source.picture() if source.picture is not None else None
        if not there:
            self.written += outputs.write(source.stem, estimate, picture)
            log.info("%s: %s", source.name, _told(estimate))
        if sheet is not None:
            sheet.add(str(source.stem), estimate, picture)

    def _film(self, source: Source) -> None:
        """A film of depth, on one scale, and every frame as a picture of its own where more is wanted."""
        check_kind(source.files[0], self.predictor.backend.input_key, self.predictor.name)
        outputs = self._outputs(OF_A_FILM)
        of_frames = Outputs(
            self.folder / source.stem,
            tuple(kind for kind in outputs.kinds if kind not in ("color", "sheet")),
            outputs.max_depth,
            outputs.camera,
        )
        path = self.folder / source.stem.with_name(f"{source.stem.name}_depth_color.mp4")
        if "color" not in outputs.kinds and not of_frames.kinds:
            raise ConfigError(f"{source.name}: a sheet shows no films: add color to --save")
        there = not self.config.overwrite and path.is_file() and path.stat().st_mtime >= _changed(source)
        drawn = "color" in outputs.kinds and not there
        if not drawn and not of_frames.kinds:
            self.there += 1
            return
        film = Film(source.files[0], self.config.every)
        limit = self._limit(film) if drawn else 0.0
        with closing(self._frames(film, source, of_frames, drawn)) as frames:
            if not drawn:
                for _ in frames:
                    pass
                return
            pictures = (depth_to_rgb(depth, np.isfinite(depth), limit) for depth in frames)
            with atomic_write(path) as unfinished:
                write_film(unfinished, pictures, film.rate)
        self.written.append(path)
        log.info("%s: a film of depth from 0 to %g m", source.name, limit)

    def _limit(self, film: Film) -> float:
        """The end of the film's scale; a film without a picture has none."""
        sampled = film.sample()
        if not sampled:
            raise DataError(f"{film.path} holds no picture")
        depth = np.stack([self._estimate(frame).depth[::4, ::4] for frame in sampled])
        return display_limit(depth, np.isfinite(depth), self.predictor.backend.max_depth)

    def _frames(
        self, film: Film, source: Source, outputs: Outputs, drawn: bool
    ) -> Generator[Float[np.ndarray, "h w"], None, None]:
        """The depth of each frame, once what is wanted of it is written; all of them if they are drawn."""
        frames = tqdm(film, desc=source.stem.name, unit="frame", total=film.count, leave=False, disable=None)
        for number, frame in enumerate(frames):
            stem = Path(f"{number * film.every:06d}")
            wanted = bool(outputs.kinds)
            wanted &= self.config.overwrite or not outputs.are_there(stem, source.files)
            if not wanted and not drawn:
                continue
            estimate = self._estimate(frame)
            if wanted:
                self.written += outputs.write(stem, estimate, Image.fromarray(frame))
            yield estimate.depth

    def _estimate(self, frame: UInt8[np.ndarray, "h w 3"]) -> Estimate:
        return self.predictor.estimate([self.predictor.prepare(frame)])[0]


def _changed(source: Source) -> float:
    return max((file.stat().st_mtime for file in source.files if file.is_file()), default=float("inf"))


def _told(estimate: Estimate) -> str:
    depth = estimate.depth
    told = (
        f"{depth.shape[1]}x{depth.shape[0]}, {depth.min():.2f} to {depth.max():.2f} m, median {np.median(depth):.2f} m"
    )
    if estimate.uncertainty is not None:
        told += f", expected to be off by {np.median(estimate.uncertainty):.2f} m"
    return told
