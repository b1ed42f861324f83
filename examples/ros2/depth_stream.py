"""Depth from a stream of two-channel audio: what the ROS 2 node beside it computes, without ROS.

Blocks of samples come in with their times. Every chirp in them becomes one recording, and every recording one depth map
with the intrinsics of its camera, as ``sensor_msgs/Image`` and ``sensor_msgs/CameraInfo`` have them.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from echodepth import Predictor
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView

FULL_SCALE = 32768.0
"""Of 16-bit samples."""
LARGEST_GAP = 0.005
"""Seconds between a block's end and the next one's start; after a longer one, samples are missing."""


@dataclass(frozen=True)
class DepthFrame:
    """A depth map and its camera.

    Attributes:
        time: seconds of the sample that triggered, close to the direct sound.
        depth: metres along the optical axis, float32.
        focal_lengths: horizontal and vertical, in pixels.
    """

    time: float
    depth: Float[np.ndarray, "h w"]
    focal_lengths: tuple[float, float]

    @property
    def image(self) -> dict[str, object]:
        """Fields of ``sensor_msgs/Image`` besides its header."""
        height, width = self.depth.shape
        return {
            **{"height": height, "width": width, "encoding": "32FC1", "is_bigendian": sys.byteorder == "big"},
            **{"step": 4 * width, "data": np.ascontiguousarray(self.depth, dtype=np.float32).tobytes()},
        }

    @property
    def camera_info(self) -> dict[str, object]:
        """Fields of ``sensor_msgs/CameraInfo`` besides its header; integer coordinates are centres of pixels."""
        height, width = self.depth.shape
        (fx, fy), cx, cy = self.focal_lengths, (width - 1) / 2, (height - 1) / 2
        return {
            **{"height": height, "width": width, "distortion_model": "plumb_bob", "d": [0.0] * 5},
            **{"k": [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0], "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]},
            "p": [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        }


class ChirpCutter:
    """Cuts a recording out of a stream wherever it exceeds a level.

    Args:
        sample_rate: Hz.
        trigger: level of either ear that starts a recording, of full scale: above the background, below the chirp.
        before: seconds kept before the trigger, from which the onset's background is measured.
        after: seconds kept after the trigger; by default the round trip of sound to 30 m.
    """

    def __init__(self, sample_rate: int, trigger: float = 0.1, before: float = 0.02, after: float = 0.178) -> None:
        if not 0 < trigger < 1:
            raise ConfigError(f"trigger must be between 0 and 1 of full scale, not {trigger:g}")
        self.sample_rate, self.trigger = sample_rate, trigger
        self.before, self.after = round(before * sample_rate), round(after * sample_rate)
        self._samples = np.zeros((2, 0), dtype=np.float32)
        self._end: float | None = None

    def push(self, block: Float[np.ndarray, "2 n"], time: float) -> Iterator[tuple[float, Float[np.ndarray, "2 t"]]]:
        """Add samples.

        Args:
            block: full scale 1, left ear first.
            time: seconds of its first sample.

        Yields:
            Every recording that is complete, with the time of its trigger.
        """
        if self._end is not None and abs(time - self._end) > LARGEST_GAP:
            # Echoes of one chirp would follow the direct sound of another.
            self._samples = self._samples[:, :0]
        self._samples = np.concatenate([self._samples, block], axis=1)
        self._end = time + block.shape[1] / self.sample_rate
        while (start := self._find_trigger()) is not None and start + self.after <= self._samples.shape[1]:
            triggered = self._end - (self._samples.shape[1] - start) / self.sample_rate
            yield triggered, self._samples[:, max(0, start - self.before) : start + self.after]
            self._samples = self._samples[:, start + self.after :]
        if start is None:
            self._samples = self._samples[:, max(0, self._samples.shape[1] - self.before) :]

    def _find_trigger(self) -> int | None:
        loud = np.abs(self._samples).max(axis=0) > self.trigger
        return int(loud.argmax()) if loud.any() else None


class DepthStream:
    """A model behind a stream of interleaved 16-bit samples.

    Args:
        model: an audio model.
        sample_rate: Hz.
        trigger: see ``ChirpCutter``.
        field_of_view: of the depth map; by default that of the camera of the training data.

    Raises:
        ConfigError: the model takes images, or its camera is not known.
    """

    def __init__(
        self, model: Predictor, sample_rate: int, trigger: float = 0.1, field_of_view: FieldOfView | None = None
    ) -> None:
        if model.backend.input_key != "audio":
            raise ConfigError(f"{model.name} takes images: name a model that takes audio")
        known = field_of_view or model.field_of_view
        if known is None:
            raise ConfigError(f"the camera of {model.name} is not known: give its field_of_view in degrees")
        self.model, self.field_of_view = model, known
        self.cutter = ChirpCutter(sample_rate, trigger)

    def push(self, data: bytes, time: float) -> Iterator[DepthFrame]:
        """Add samples, and yield a frame for every chirp that is complete.

        Args:
            data: little-endian 16-bit samples, left and right in turn.
            time: seconds of the first one.

        Raises:
            DataError: the data end inside a pair of samples.
        """
        if len(data) % 4:
            raise DataError(f"{len(data)} bytes are no pairs of 16-bit samples: publish two channels as S16LE")
        block = np.frombuffer(data, dtype="<i2").reshape(-1, 2).T.astype(np.float32) / FULL_SCALE
        for triggered, recording in self.cutter.push(block, time):
            depth = self.model.infer(recording, self.cutter.sample_rate).depth
            height, width = depth.shape
            yield DepthFrame(triggered, depth, self.field_of_view.focal_lengths(width, height))
