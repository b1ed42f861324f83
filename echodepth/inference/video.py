"""Films: their frames as pictures, and pictures of depth as a film."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from echodepth.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

_SAMPLED = 8
_USUAL_RATE = Fraction(25)


def require_av() -> None:
    """Raise a ConfigError if the optional package that reads films is not installed."""
    if find_spec("av") is None:
        raise ConfigError("films need PyAV: pip install 'echodepth[video]'")


class Film:
    """A film's frames, upright, as often as one goes through them.

    Args:
        path: any format that FFmpeg reads.
        every: take one of so many frames.

    Raises:
        DataError: the film is unreadable or shows nothing.
    """

    def __init__(self, path: Path, every: int = 1) -> None:
        self.path = path
        self.every = every
        with self._opened() as container:
            stream = container.streams.video[0]
            self.rate = (stream.average_rate or _USUAL_RATE) / every
            self.count = -(-stream.frames // every) or None
            """How many frames there will be, where the file says so."""

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        with self._opened() as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number % self.every == 0:
                    yield _upright(frame)

    def sample(self) -> list[UInt8[np.ndarray, "h w 3"]]:
        """From 1 to 15 frames spread over the film, of those that are quick to decode."""
        kept: list[VideoFrame] = []
        step = 1
        with self._opened() as container:
            container.streams.video[0].codec_context.skip_frame = "NONKEY"
            for number, frame in enumerate(container.decode(video=0)):
                if number % step == 0:
                    kept.append(frame)
                if len(kept) == 2 * _SAMPLED:
                    kept, step = kept[::2], 2 * step
        return [_upright(frame) for frame in kept]

    @contextmanager
    def _opened(self) -> Iterator["InputContainer"]:
        import av

        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise DataError(f"{self.path} holds no film: it has no stream of pictures")
                container.streams.video[0].thread_type = "AUTO"
                yield container
        except av.FFmpegError as error:
            raise DataError(f"{self.path} cannot be read as a film: {error.strerror}") from error


def _upright(frame: "VideoFrame") -> UInt8[np.ndarray, "h w 3"]:
    """As the film asks to be shown: a phone held upright films lying, and says so."""
    # FFmpeg's angle is counter-clockwise, as np.rot90's is.
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def write_film(path: Path, frames: Iterator[UInt8[np.ndarray, "h w 3"]], rate: Fraction) -> None:
    """Write pictures of one size as an H.264 film that every player knows.

    Args:
        path: the file, whatever its ending: MP4.
        frames: at least one.
        rate: pictures a second.
    """
    import av

    first = _even(next(frames))
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in chain([first], map(_even, frames)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _even(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """With its last row or column twice where need be: the format halves the colours' resolution."""
    height, width, _ = picture.shape
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
