"""The flags of ``echodepth simulate``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SimulateConfig:
    """Simulate rooms, and write what a robot sees and hears in them in BatVision V2's format."""

    out: Path
    """The root to write; an interrupted run continues where it stopped."""
    rooms: int = 30
    """How many rooms; about 70 % go to train, 10 % to val, 20 % to test, whole rooms only."""
    poses: int = 8
    """Recordings in each room."""
    seed: int = 0
    """Decides everything: a recording depends on seed, room and pose alone, never on the workers."""
    image_size: int = 256
    """Side in pixels of the square image and depth map; the field of view is 86 x 86 degrees."""
    workers: int = 2
    """Processes; 1 stays in this one."""
    depth_holes: float = 1.0
    """How much the depth camera misses (shadows at edges, patches without depth); 0 is the exact depth."""
    snr: float = 35.0
    """Direct sound over background noise in dB; a genuine BatVision V2 frame has about 39 dB above 50 Hz."""
    speed_of_sound: float = 343.0
    """m/s, of dry air at 20 °C (ISO 9613-1); BatVision's own code assumes 340 when it cuts."""
