"""The example node for ROS 2: its stream without ROS, and the node with stand-ins for ROS."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from echodepth import EXAMPLES, Predictor, load_model
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from examples.ros2.depth_stream import FULL_SCALE, ChirpCutter, DepthFrame, DepthStream
from tests.tiny import save_tiny, save_tiny_rgb

RATE = 44100


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("ros2")
    save_tiny(folder / "ears", v2_root)
    return folder / "ears" / "best"


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Predictor:
    return load_model(checkpoint, "cpu")


def as_bytes(audio: np.ndarray) -> bytes:
    return bytes((audio.T * FULL_SCALE).clip(-32768, 32767).astype("<i2").tobytes())


def clicks(*samples: int, length: int) -> np.ndarray:
    """Silence with a sample of 0.5 of full scale at each position, at the right ear."""
    audio = np.zeros((2, length), dtype=np.float32)
    audio[1, list(samples)] = 0.5
    return audio


def cut_all(cutter: ChirpCutter, audio: np.ndarray, block: int, start: float = 0.0) -> list[tuple[float, np.ndarray]]:
    return [
        found
        for first in range(0, audio.shape[1], block)
        for found in cutter.push(audio[:, first : first + block], start + first / cutter.sample_rate)
    ]


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_every_chirp_is_one_recording_however_the_blocks_fall(block: int) -> None:
    cutter = ChirpCutter(1000, before=0.02, after=0.1)
    audio = clicks(50, 60, 300, 950, length=1000)
    found = cut_all(cutter, audio, block, start=5.0)
    assert [time for time, _ in found] == pytest.approx([5.05, 5.3])  # 60 echoes 50; 950 is not complete
    for (_, recording), click in zip(found, (50, 300), strict=True):
        np.testing.assert_array_equal(recording, audio[:, click - 20 : click + 100])


def test_a_trigger_without_a_past_has_a_shorter_recording() -> None:
    ((time, recording),) = cut_all(ChirpCutter(1000, before=0.02, after=0.1), clicks(5, length=200), 50)
    assert time == pytest.approx(0.005)
    assert recording.shape == (2, 105)


def test_missing_samples_discard_what_came_before() -> None:
    cutter = ChirpCutter(1000, before=0.02, after=0.1)
    assert cut_all(cutter, clicks(10, length=50), 50) == []
    assert cut_all(cutter, clicks(length=200), 50, start=0.1) == []  # 50 ms are missing


def test_memory_stays_small_in_silence() -> None:
    cutter = ChirpCutter(1000, before=0.02, after=0.1)
    cut_all(cutter, clicks(length=5000), 100)
    assert cutter._samples.shape[1] == 20


def test_a_trigger_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="trigger must be between 0 and 1 of full scale, not 5"):
        ChirpCutter(1000, trigger=5)


def test_a_stream_gives_the_depth_of_the_files_in_it(model: Predictor) -> None:
    recordings = [soundfile.read(path, dtype="float32")[0].T for path in EXAMPLES[:2]]
    audio = np.concatenate(recordings, axis=1)
    stream = DepthStream(model, RATE)
    frames: list[DepthFrame] = []
    for first in range(0, audio.shape[1], 1024):
        frames += stream.push(as_bytes(audio[:, first : first + 1024]), first / RATE)
    assert len(frames) == 2
    for frame, path, start in zip(frames, EXAMPLES, (0, recordings[0].shape[1]), strict=False):
        assert frame.time == pytest.approx(start / RATE + 282 / RATE, abs=0.002)  # the direct sound
        np.testing.assert_allclose(frame.depth, model.infer(path).depth, atol=0.02)


def test_messages_hold_metres_and_the_cameras_intrinsics() -> None:
    depth = np.arange(6, dtype=np.float32).reshape(2, 3)
    frame = DepthFrame(1.5, depth, FieldOfView(90.0, 90.0).focal_lengths(3, 2))
    image, camera = frame.image, frame.camera_info
    assert (image["height"], image["width"], image["step"], image["encoding"]) == (2, 3, 12, "32FC1")
    np.testing.assert_array_equal(np.frombuffer(image["data"], np.float32).reshape(2, 3), depth)  # type: ignore[call-overload]
    # At 90 degrees the focal length is half the side; the optical axis passes between pixels 0 and 2, and 0 and 1.
    assert camera["k"] == pytest.approx([1.5, 0, 1, 0, 1, 0.5, 0, 0, 1])
    assert camera["p"] == pytest.approx([1.5, 0, 1, 0, 0, 1, 0.5, 0, 0, 0, 1, 0])


def test_unusable_models_and_data_are_refused(model: Predictor, v2_root: Path, tmp_path: Path) -> None:
    save_tiny_rgb(tmp_path / "eyes", v2_root)
    with pytest.raises(ConfigError, match="takes images: name a model that takes audio"):
        DepthStream(load_model(tmp_path / "eyes" / "best", "cpu"), RATE)
    with pytest.raises(DataError, match=r"6 bytes are no pairs of 16-bit samples: publish two channels as S16LE"):
        list(DepthStream(model, RATE).push(bytes(6), 0.0))


# ---- the node, with stand-ins for ROS ----


class Message(SimpleNamespace):
    def __init__(self, **fields: Any) -> None:
        super().__init__(header=SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0), frame_id=""), **fields)


class StandInNode:
    def __init__(self, **parameters: Any) -> None:
        self.parameters, self.published, self.warnings = parameters, [], []  # type: ignore[var-annotated]
        self.callbacks: dict[str, Any] = {}

    def declare_parameter(self, name: str, default: Any) -> Any:
        return SimpleNamespace(value=self.parameters.get(name, default))

    def create_publisher(self, kind: type, topic: str, qos: Any) -> Any:
        return SimpleNamespace(publish=lambda message: self.published.append((topic, message)))

    def create_subscription(self, kind: type, topic: str, callback: Any, depth: int) -> None:
        self.callbacks[topic] = callback

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=self.warnings.append)


def test_the_node_publishes_an_image_and_its_camera(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents: dict[str, dict[str, Any]] = {
        **{"rclpy": {}, "rclpy.node": {"Node": StandInNode}, "rclpy.qos": {"qos_profile_sensor_data": 10}},
        **{"audio_common_msgs": {}, "audio_common_msgs.msg": {"AudioDataStamped": Message}},
        **{"sensor_msgs": {}, "sensor_msgs.msg": {"Image": Message, "CameraInfo": Message}},
    }
    for name, attributes in contents.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    node = StandInNode(checkpoint=str(checkpoint), device="cpu")
    importlib.import_module("examples.ros2.depth_node").DepthNode(node)
    monkeypatch.delitem(sys.modules, "examples.ros2.depth_node")
    message = Message(audio=SimpleNamespace(data=as_bytes(soundfile.read(EXAMPLES[0], dtype="float32")[0].T)))
    message.header.stamp.sec, message.header.stamp.nanosec = 1_700_000_000, 500_000_000
    node.callbacks["audio"](message)
    (first, image), (second, camera) = node.published
    assert (first, second) == ("depth/image", "depth/camera_info")
    assert image.header.frame_id == camera.header.frame_id == "ears_optical_frame"
    assert (image.header.stamp.sec, camera.width) == (1_700_000_000, image.width)
    assert image.header.stamp.nanosec == pytest.approx(5e8 + 1e9 * 282 / RATE, abs=2e6)
    node.callbacks["audio"](Message(audio=SimpleNamespace(data=bytes(3))))
    assert node.warnings == ["3 bytes are no pairs of 16-bit samples: publish two channels as S16LE"]
