"""Reading the frames of a video, and writing images as a video."""

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

_SAMPLED_FRAMES = 8
_DEFAULT_RATE = Fraction(25)


def require_av() -> None:
    """Raise a ConfigError if PyAV, the optional package that reads and writes videos, is not installed."""
    if find_spec("av") is None:
        raise ConfigError("videos need PyAV: pip install 'echodepth[video]'")


class Video:
    """The upright frames of a video; each iteration decodes the file anew.

    Args:
        path: a file in any format that FFmpeg reads.
        frame_stride: take every n-th frame.

    Raises:
        DataError: the file is unreadable or has no video stream.
    """

    def __init__(self, path: Path, frame_stride: int = 1) -> None:
        self.path = path
        self.frame_stride = frame_stride
        with self._open() as container:
            stream = container.streams.video[0]
            self.rate = (stream.average_rate or _DEFAULT_RATE) / frame_stride
            self.count = -(-stream.frames // frame_stride) or None
            """Number of frames after the stride; None if the file does not state it."""

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        with self._open() as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number % self.frame_stride == 0:
                    yield _upright(frame)

    def sample(self) -> list[UInt8[np.ndarray, "h w 3"]]:
        """From 1 to 15 key frames spread over the video; other frames are slow to decode."""
        kept: list[VideoFrame] = []
        step = 1
        with self._open() as container:
            container.streams.video[0].codec_context.skip_frame = "NONKEY"
            for number, frame in enumerate(container.decode(video=0)):
                if number % step == 0:
                    kept.append(frame)
                if len(kept) == 2 * _SAMPLED_FRAMES:
                    kept, step = kept[::2], 2 * step
        return [_upright(frame) for frame in kept]

    @contextmanager
    def _open(self) -> Iterator["InputContainer"]:
        import av

        try:
            # FFmpeg takes a relative name with a colon, such as 12:30.mp4, for an address.
            with av.open(str(self.path.resolve())) as container:
                if not container.streams.video:
                    raise DataError(f"{self.path} is not a video: it has no video stream")
                container.streams.video[0].thread_type = "AUTO"
                yield container
        except av.FFmpegError as error:
            raise DataError(f"{self.path} cannot be read as a video: {error.strerror}") from error


def _upright(frame: "VideoFrame") -> UInt8[np.ndarray, "h w 3"]:
    """A frame after the rotation that the video asks for: phones store upright videos rotated by 90 degrees."""
    # FFmpeg's angle is counter-clockwise, as np.rot90's is.
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def write_video(path: Path, frames: Iterator[UInt8[np.ndarray, "h w 3"]], rate: Fraction) -> None:
    """Write frames of one size as an H.264 video in an MP4 container, which every player supports.

    Args:
        path: file to write; the format is MP4 whatever its suffix.
        frames: at least one frame.
        rate: frames per second.
    """
    import av

    first = _pad_to_even(next(frames))
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in chain([first], map(_pad_to_even, frames)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _pad_to_even(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Repeat the last row or column of an odd side: yuv420p halves the resolution of the colours."""
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
