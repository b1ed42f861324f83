"""Flags of ``echodepth simulate``. The module imports nothing heavy because ``--help`` needs it."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from echodepth.core.errors import ConfigError
from echodepth.core.flags import PathsFromText
from echodepth.simulate.rig import BOUNDS, DEFAULT_RIG, Rig, is_in_range, read_rig, require_above_floor

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
class SimulateConfig(PathsFromText):
    """Simulate rooms: images, depth and binaural echoes in BatVision V2's format."""

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
    rig: Path | None = None
    """Robot to simulate, rig.json of `echodepth calibrate`; three flags below replace its values."""
    rig_variation: float = 0.0
    """Draw a robot of its own for each room, around the rig, up to 1: for a model that is not tied to one robot."""
    robot_height: float | None = None
    """Height of camera and head, metres; each recording's is within 2 cm. Default: 0.35, BatVision V2's robot's."""
    isolation: float | None = None
    """Attenuation of the direct sound by the robot's body, between loudspeaker and microphones, dB. Default: 12."""
    snr: float | None = None
    """Direct sound over background noise, dB. Default: 32, that of a real BatVision V2 recording."""
    depth_holes: float = 1.0
    """Strength of the depth camera's missing pixels (occlusion, glossy and far surfaces); 0 writes exact depth."""
    keep_exact: bool = False
    """Also write the exact depth, float32 metres, to depth_exact/."""
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

    @cached_property
    def robot(self) -> Rig:
        """The rig of ``--rig`` with the values of the flags that are given; read once.

        Raises:
            ConfigError: the file is no rig, or a flag is out of range.
        """
        rig = DEFAULT_RIG if self.rig is None else read_rig(self.rig)
        flags = {"robot_height": "height", "isolation": "isolation", "snr": "snr"}
        given = {field: value for flag, field in flags.items() if (value := getattr(self, flag)) is not None}
        for flag, field in flags.items():
            is_silent = field == "snr" and given.get(field) == math.inf
            if field in given and not is_silent and not is_in_range(field, given[field]):
                unit, silent = BOUNDS[field].unit, ", or inf for no noise" if field == "snr" else ""
                span = f"{BOUNDS[field].least:g} to {BOUNDS[field].most:g}"
                raise ConfigError(f"--{flag} is {given[field]}: give {unit}, {span}{silent}")
        rig = replace(rig, **given)
        require_above_floor(rig, "--robot_height")
        return rig
