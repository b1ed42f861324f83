"""The flags of ``echodepth simulate``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Preset = Literal["demo", "batvision-like"]
Backend = Literal["loky", "ray", "dask"]


class Amount(NamedTuple):
    """How much a preset makes: rooms, recordings in each, and the pictures' side in pixels."""

    rooms: int
    poses: int
    image_size: int


PRESETS: dict[Preset, Amount] = {
    "demo": Amount(120, 6, 128),
    "batvision-like": Amount(312, 10, 256),  # BatVision V2 has 3120 instances
}


@dataclass(frozen=True)
class SimulateConfig:
    """Simulate rooms, and write what a robot sees and hears in them in BatVision V2's format."""

    out: Path
    """The root to write; an interrupted run continues where it stopped."""
    preset: Preset = "batvision-like"
    """How much: demo is 120 rooms x 6 poses at 128 pixels, batvision-like 312 x 10 at 256; the world is the same."""
    rooms: int | None = None
    """How many rooms; about 70 % go to train, 10 % to val, 20 % to test, whole rooms only. Default: the preset's."""
    poses: int | None = None
    """Recordings in each room. Default: the preset's."""
    image_size: int | None = None
    """Side in pixels of the square image and depth map, which see 86 x 57 degrees. Default: the preset's."""
    seed: int = 0
    """Decides everything: a recording depends on seed, room and pose alone, never on the workers."""
    workers: int = 2
    """Processes; 1 stays in this one. With ray or dask: how many rooms are under way at a time."""
    backend: Backend = "loky"
    """Who runs the workers: loky on this machine; ray or dask, the engine of a cluster that is running."""
    depth_holes: float = 1.0
    """How much the depth camera misses (shadows at edges, glossy and far surfaces); 0 is the exact depth."""
    keep_exact: bool = False
    """Write the exact depth beside the measured one: float32 metres in depth_exact/."""
    snr: float = 32.0
    """Direct sound over background noise in dB, as in a genuine BatVision V2 frame; most of it lies below 50 Hz."""
    speed_of_sound: float = 343.0
    """m/s, of dry air at 20 °C; BatVision's own code assumes 340 when it cuts."""

    @property
    def amount(self) -> Amount:
        """The preset's, with what was given in its place."""
        preset = PRESETS[self.preset]
        return Amount(
            preset.rooms if self.rooms is None else self.rooms,
            preset.poses if self.poses is None else self.poses,
            preset.image_size if self.image_size is None else self.image_size,
        )
