"""Reading the frames of a video, and writing images as a video. Frames have times: many videos have no even rate."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from echodepth.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)
MAX_PIXELS = 10_000_000
"""Pixels of the largest frame, which 4K has: FFmpeg's decoder holds up to sixteen."""
_SAMPLED_FRAMES, _SAMPLED_SIDE = 8, 1024
_DEFAULT_RATE = Fraction(25)
_FASTEST_RATE = 240  # frames per second; browsers and recorders that know none write 1000
_ONLY_FILES = {
    "format_whitelist": "mov,mp4,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v",
    "protocol_whitelist": "file",
}
"""FFmpeg's formats that are opened, whatever a file's name says: it knows playlists, which name other files."""
_UNREADABLE = "it was cut short, is damaged, or is none of MP4, MOV, MKV, WebM, AVI and MPEG"
_STATE_DURATION = ("matroska", "mov")  # other formats' is derived from the file's size or its last frames
_TIME_BASE = Fraction(1, 90_000)  # seconds: the customary unit of video time stamps


@dataclass
class _Read:
    """What was read of a video: decoded frames, whole and undecodable packets, and the end of the last in seconds."""

    frames: int = 0
    packets: int = 0
    damaged: int = 0
    end: float = 0.0


class TimedFrame(NamedTuple):
    """A frame, and its time in seconds since the first one."""

    seconds: float
    pixels: UInt8[np.ndarray, "h w 3"]


def require_av() -> None:
    """Raise a ConfigError if PyAV, the optional package that reads and writes videos, is not installed."""
    if find_spec("av") is None:
        raise ConfigError("videos need PyAV: pip install 'echodepth[video]'")


class Video:
    """The upright frames of a video; each iteration decodes the file anew.

    Args:
        path: a file in any format that FFmpeg reads.
        frame_stride: take every n-th frame.

    Frames that cannot be decoded are left out. A warning states how many of a damaged or incomplete video are left.

    Raises:
        DataError: the file is unreadable or has no video stream; when iterated, no frame can be decoded.
    """

    def __init__(self, path: Path, frame_stride: int = 1) -> None:
        self.path = path
        self.frame_stride = frame_stride
        with self._open() as container:
            stream, *others = _films(container)
            if others:
                log.warning("%s: the first of its %d video streams is read", path, 1 + len(others))
            rate = stream.average_rate
            self.rate = rate if rate and rate <= _FASTEST_RATE else _DEFAULT_RATE
            """Frames per second before the stride, for frames without a time."""
            self.count = -(-stream.frames // frame_stride) or None
            """Number of frames after the stride; None if the file does not state it."""

    def __iter__(self) -> Iterator[TimedFrame]:
        first: float | None = None
        last: float | None = None
        with self._open() as container:
            for number, frame in enumerate(self._decode(container)):
                seconds = 0.0 if last is None else last + float(1 / self.rate)
                if frame.time is not None:
                    first = frame.time - seconds if first is None else first
                    # Time may stand still or run back where recordings were joined.
                    seconds = frame.time - first if last is None or frame.time - first > last else seconds
                last = seconds
                if number % self.frame_stride == 0:
                    yield TimedFrame(seconds, self._upright(frame))

    def sample(self) -> list[UInt8[np.ndarray, "h w 3"]]:
        """From 1 to 15 key frames spread over the video, of at most 1024 pixels a side; others are slow to decode."""
        # A video that was trimmed without being encoded again may show none of its key frames.
        return self._sample("NONKEY") or self._sample("DEFAULT")

    def _sample(self, skipped: Literal["NONKEY", "DEFAULT"]) -> list[UInt8[np.ndarray, "h w 3"]]:
        kept: list[UInt8[np.ndarray, "h w 3"]] = []
        step = 1
        with self._open() as container:
            _films(container)[0].codec_context.skip_frame = skipped
            for number, frame in enumerate(self._decode(container, is_sample=True)):
                if number % step == 0:
                    thinned = math.ceil(max(frame.width, frame.height) / _SAMPLED_SIDE)
                    kept.append(self._upright(frame)[::thinned, ::thinned].copy())
                if len(kept) == 2 * _SAMPLED_FRAMES:
                    kept, step = kept[::2], 2 * step
        return kept

    def _decode(self, container: "InputContainer", is_sample: bool = False) -> Iterator["VideoFrame"]:
        """All frames that can be decoded; unless they are a sample, a warning says whether others are missing."""
        import av

        stream = _films(container)[0]
        read = _Read()
        # Matroska states one duration, that of its longest stream.
        for packet in container.demux(stream) if stream.duration is not None else container.demux():
            if packet.stream.index == stream.index:  # the last packets, which are empty, have no index themselves
                try:
                    frames = stream.decode(packet)
                except av.InvalidDataError:
                    read.damaged += 1
                    continue
                read.packets += packet.size > 0
                read.frames += len(frames)
                yield from frames
            if packet.pts is not None:
                read.end = max(read.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if not is_sample:
            self._check_end(container, read)

    def _check_end(self, container: "InputContainer", read: _Read) -> None:
        if not read.frames:
            raise DataError(f"{self.path} has no frames that can be decoded: it was cut short or is damaged")
        stream, duration = _films(container)[0], 0.0
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / 1e6
        if container.format.name.startswith(_STATE_DURATION):
            is_short = read.end + 2 / float(self.rate) < duration
        else:
            is_short = read.packets < stream.frames
        if is_short or read.damaged:
            of = f" of {stream.frames}" if stream.frames else ""
            until = f", to {read.end:.1f} of {duration:.1f} s" if read.end < duration else ""
            log.warning(
                "%s: %d%s frames can be decoded%s: it was cut short or is damaged", self.path, read.frames, of, until
            )

    def _upright(self, frame: "VideoFrame") -> UInt8[np.ndarray, "h w 3"]:
        """A frame after the rotation that the video asks for: phones store upright videos rotated by 90 degrees."""
        self._check_size(frame.width, frame.height)
        # FFmpeg's angle is counter-clockwise, as np.rot90's is.
        return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))

    def _check_size(self, width: int, height: int) -> None:
        if width * height > MAX_PIXELS:
            raise DataError(
                f"{self.path} has frames of {width}x{height} pixels, over the limit of {MAX_PIXELS / 1e6:.0f} million: "
                "scale it down first"
            )

    @contextmanager
    def _open(self) -> Iterator["InputContainer"]:
        import av

        try:
            # FFmpeg takes a relative name with a colon, such as 12:30.mp4, for an address.
            with av.open(str(self.path.resolve()), options=_ONLY_FILES) as container:
                if not _films(container):
                    raise DataError(f"{self.path} is not a video: it has no video stream")
                codec = _films(container)[0].codec_context
                self._check_size(codec.width, codec.height)
                # Threads that decode a frame each lose frames before a damaged one, and its error.
                _films(container)[0].thread_type = "SLICE"
                # FFmpeg refuses larger frames before it allocates them, also where the size changes.
                codec.options = {"max_pixels": str(MAX_PIXELS)}
                yield container
        except av.FFmpegError as error:
            raise DataError(f"{self.path} cannot be read as a video: {error.strerror}; {_UNREADABLE}") from error


def _films(container: "InputContainer") -> "list[VideoStream]":
    """The video streams of a file, without its cover picture, which is a video of one frame to FFmpeg."""
    from av.stream import Disposition

    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def write_video(path: Path, frames: Iterator[TimedFrame], name: str = "the video") -> None:
    """Write frames as an H.264 video in an MP4 container, which every player supports.

    Args:
        path: file to write; the format is MP4 whatever its suffix.
        frames: at least one frame. Frames of another size than the first are scaled into it.
        name: the video that they are from, for messages.
    """
    import av

    first, second = next(frames), next(frames, None)
    gap = 1 / float(_DEFAULT_RATE) if second is None else second.seconds - first.seconds
    # The last frame is shown for the time of one frame at this rate.
    rate = Fraction(1 / min(max(gap, 1 / _FASTEST_RATE), 100.0)).limit_denominator(1001)
    frames = chain([first], [] if second is None else [second], frames)
    height, width = _pad_to_even(first.pixels).shape[:2]
    was_said = False
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.codec_context.time_base = _TIME_BASE
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuv420p"
        for seconds, pixels in frames:
            fitted = _pad_to_even(pixels)
            if fitted.shape[:2] != (height, width):
                if not was_said:
                    log.warning("%s: the size of the frames changes: they are scaled into that of the first", name)
                was_said = True
                fitted = np.asarray(ImageOps.pad(Image.fromarray(pixels), (width, height)))
            frame = av.VideoFrame.from_ndarray(fitted, format="rgb24")
            frame.pts, frame.time_base = round(seconds / _TIME_BASE), _TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _pad_to_even(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Repeat the last row or column of an odd side: yuv420p halves the resolution of the colours."""
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
