"""ROS 2 node: subscribes to two-channel audio, publishes a depth image and its camera info for every chirp.

Run it from the root of the repository, in a sourced ROS 2 environment::

    python3 -m examples.ros2.depth_node --ros-args -p checkpoint:=echodepth-light

It has not been run on a robot.
"""

from typing import Any

import rclpy
from audio_common_msgs.msg import AudioDataStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from echodepth import load_model
from echodepth.core.errors import EchodepthError
from echodepth.core.field_of_view import FieldOfView
from examples.ros2.depth_stream import DepthFrame, DepthStream


class DepthNode:
    """Connects a ``DepthStream`` to the topics ``audio``, ``depth/image`` and ``depth/camera_info`` of a node.

    Its parameters are ``checkpoint`` (default: the model in the package), ``sample_rate`` (Hz), ``trigger`` (of full
    scale), ``field_of_view`` (two angles in degrees; default: that of the model's camera), ``frame_id`` and ``device``.
    """

    def __init__(self, node: Node) -> None:
        def parameter(name: str, default: Any) -> Any:
            return node.declare_parameter(name, default).value

        self.node = node
        self.frame_id = parameter("frame_id", "ears_optical_frame")
        angles = parameter("field_of_view", [0.0, 0.0])
        self.stream = DepthStream(
            load_model(parameter("checkpoint", "") or None, parameter("device", "auto")),
            parameter("sample_rate", 44100),
            parameter("trigger", 0.1),
            FieldOfView(*angles) if any(angles) else None,
        )
        self.images = node.create_publisher(Image, "depth/image", qos_profile_sensor_data)
        self.cameras = node.create_publisher(CameraInfo, "depth/camera_info", qos_profile_sensor_data)
        # Reliable and deep: a lost block costs the chirp in it.
        node.create_subscription(AudioDataStamped, "audio", self.on_audio, 100)

    def on_audio(self, message: AudioDataStamped) -> None:
        """Predict depth for every chirp that ends in a block of samples."""
        stamp = message.header.stamp
        try:
            for frame in self.stream.push(bytes(message.audio.data), stamp.sec + 1e-9 * stamp.nanosec):
                self.publish(frame)
        except EchodepthError as error:
            self.node.get_logger().warning(str(error))

    def publish(self, frame: DepthFrame) -> None:
        """Publish a frame's two messages under one header."""
        image, camera = Image(**frame.image), CameraInfo(**frame.camera_info)
        for message in (image, camera):
            message.header.frame_id = self.frame_id
            message.header.stamp.sec = int(frame.time)
            message.header.stamp.nanosec = int(1e9 * (frame.time % 1))
        self.images.publish(image)
        self.cameras.publish(camera)


def main() -> None:
    """Run the node until it is stopped."""
    rclpy.init()
    node = rclpy.create_node("echodepth")
    try:
        DepthNode(node)
        rclpy.spin(node)
    except EchodepthError as error:
        raise SystemExit(f"echodepth: {error}") from None
    finally:
        node.destroy_node()


if __name__ == "__main__":
    main()
