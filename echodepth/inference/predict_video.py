"""Depth prediction for a video: a video of depth maps, and output files for each frame."""

import logging
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from tqdm import tqdm

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError, DataError
from echodepth.inference.estimate import Estimate
from echodepth.inference.inputs import check_file
from echodepth.inference.outputs import OutputWriter, subsample
from echodepth.inference.predictor import Predictor
from echodepth.inference.results import Results
from echodepth.inference.sources import Source
from echodepth.inference.video import TimedFrame, Video, write_video
from echodepth.report.figures import depth_to_rgb, display_limit

log = logging.getLogger(__name__)
_DRAWN_SIDE = 1280  # pixels: an encoder holds tens of frames


class VideoPrediction:
    """Prediction of one video.

    The format ``color`` is one video on one depth scale. All other formats are written per frame, as
    ``<stem>/000000_depth.npy`` and so on, named by the number of the frame in the video.

    Args:
        source: the video.
        predictor: the model.
        writer: output folder and formats.
        results: those in the folder.
    """

    def __init__(self, source: Source, predictor: Predictor, writer: OutputWriter, results: Results) -> None:
        self.source = source
        self.predictor = predictor
        self.results = results
        self.video_path = writer.folder / source.stem.with_name(f"{source.stem.name}_depth_color.mp4")
        self.writes_video = "color" in writer.formats
        self.frame_writer = OutputWriter(
            writer.folder / source.stem,
            tuple(format for format in writer.formats if format not in ("color", "sheet")),
            writer.max_depth,
            writer.camera,
        )
        self.written: list[Path] = []
        """Files written so far, also if ``run`` fails."""

    def run(self) -> bool:
        """Predict the video and write the results.

        Returns:
            False if the results are up to date and nothing was predicted.

        Raises:
            ConfigError: the model does not take videos, only a contact sheet is requested, or another input made a
                result that is there.
            DataError: the video is unreadable.
        """
        check_file(self.source.files[0], self.predictor.backend.input_key, self.predictor.name)
        if not self.writes_video and not self.frame_writer.formats:
            raise ConfigError(f"{self.source.name}: a contact sheet does not show videos: add color to --save")
        path, origin = self.video_path, self.results.origin(self.source, "color", is_video=True)
        draws_video = self.writes_video and self.results.needs({path: origin})
        if not draws_video and not self.frame_writer.formats:
            return False
        video = Video(self.source.files[0], self.results.frame_stride)
        limit = self._depth_limit(video) if draws_video else 0.0
        with closing(self._predict_frames(video, draws_video)) as depth_maps:
            if not draws_video:
                for _ in depth_maps:  # the generator writes the frames' files
                    pass
                return True
            drawn = ((seconds, subsample(depth, _DRAWN_SIDE)) for seconds, depth in depth_maps)
            images = (TimedFrame(seconds, depth_to_rgb(depth, np.isfinite(depth), limit)) for seconds, depth in drawn)
            with atomic_write(path) as unfinished:
                write_video(unfinished, images, str(video.path))
                self.results.begin({path: origin})
        self.written.append(path)
        log.info("%s: video of depth from 0 to %g m", self.source.name, limit)
        return True

    def _depth_limit(self, video: Video) -> float:
        """Upper end of the depth scale in metres, from a sample of frames."""
        frames = video.sample()
        if not frames:
            raise DataError(f"{video.path} has no frames")
        # Flat: the size of the frames may change.
        depth = np.concatenate([self._estimate(frame).depth[::4, ::4].ravel() for frame in frames])
        return display_limit(depth, np.isfinite(depth), self.predictor.backend.max_depth)

    def _predict_frames(
        self, video: Video, draws_video: bool
    ) -> Generator[tuple[float, Float[np.ndarray, "h w"]], None, None]:
        """Write the files of each frame and yield its time and depth; skip frames that neither files nor video need."""
        writer, results = self.frame_writer, self.results
        origins = {format: results.origin(self.source, format) for format in writer.formats}
        progress = tqdm(video, desc=self.source.stem.name, unit="frame", total=video.count, leave=False, disable=None)
        for number, (seconds, frame) in enumerate(progress):
            stem = Path(f"{number * results.frame_stride:06d}")
            paths = writer.depth_paths(stem)
            writes_files = results.needs({path: origins[format] for path, format in paths.items()})
            if not writes_files and not draws_video:
                continue
            estimate = self._estimate(frame)
            if writes_files:
                if estimate.uncertainty is not None:
                    paths |= writer.uncertainty_paths(stem)
                results.begin({path: origins[format] for path, format in paths.items()})
                self.written += writer.write(stem, estimate, Image.fromarray(frame))
            yield seconds, estimate.depth

    def _estimate(self, frame: UInt8[np.ndarray, "h w 3"]) -> Estimate:
        return self.predictor.estimate([self.predictor.prepare(frame)])[0]
