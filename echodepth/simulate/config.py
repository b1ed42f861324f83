"""Flags of ``echodepth simulate``. The module imports nothing heavy because ``--help`` needs it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Preset = Literal["demo", "batvision-like"]
Backend = Literal["loky", "ray", "dask"]


class Amount(NamedTuple):
    """Size of a set: the number of rooms, the recordings per room, and the side of the images in pixels."""

    rooms: int
    poses: int
    image_size: int


PRESETS: dict[Preset, Amount] = {
    "demo": Amount(120, 6, 128),
    "batvision-like": Amount(312, 10, 256),  # BatVision V2 has 3120 instances
}


@dataclass(frozen=True)
class SimulateConfig:
    """Simulate rooms and write images, depth maps and binaural echoes in BatVision V2's format."""

    out: Path
    """Folder to write. A second run with the same settings resumes an interrupted one."""
    preset: Preset = "batvision-like"
    """Size of the set: demo is 120 rooms x 6 poses at 128 pixels, batvision-like is 312 x 10 at 256."""
    rooms: int | None = None
    """Number of rooms; of each ten, 7 are train, 1 val, 2 test, in sets of all sizes. Default: the preset's."""
    poses: int | None = None
    """Number of recordings per room. Default: the preset's."""
    image_size: int | None = None
    """Side in pixels of the square image and depth map; the field of view is 86 x 57 degrees. Default: the preset's."""
    seed: int = 0
    """Random seed. A recording depends on seed, room and pose alone, not on the number of workers."""
    workers: int = 2
    """Number of worker processes; 1 uses the current process. With ray or dask: number of rooms in flight."""
    backend: Backend = "loky"
    """Backend that runs the workers: loky on this machine; ray or dask on a running cluster."""
    robot_height: float = 0.35
    """Height of camera and head, metres; each recording's is within 2 cm. The default is BatVision V2's robot's."""
    isolation: float = 12.0
    """Attenuation of the direct sound by the robot's body, between loudspeaker and microphones, dB."""
    depth_holes: float = 1.0
    """Strength of the depth camera's missing pixels (occlusion, glossy and far surfaces); 0 writes exact depth."""
    keep_exact: bool = False
    """Also write the exact depth, float32 metres, to depth_exact/."""
    snr: float = 32.0
    """Direct sound over background noise, dB. The default is that of a real BatVision V2 recording."""
    speed_of_sound: float = 343.0
    """Speed of sound, m/s. The default is that of dry air at 20 °C; BatVision's own code assumes 340."""

    @property
    def amount(self) -> Amount:
        """Size of the set: the preset's, overridden by the flags that are given."""
        preset = PRESETS[self.preset]
        return Amount(
            preset.rooms if self.rooms is None else self.rooms,
            preset.poses if self.poses is None else self.poses,
            preset.image_size if self.image_size is None else self.image_size,
        )
