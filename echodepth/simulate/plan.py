"""Which recordings a simulated set has, in which split, and where their files lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from echodepth.core.errors import ConfigError
from echodepth.simulate.config import SimulateConfig

Split = Literal["train", "val", "test"]
Part = Literal["audio", "camera", "depth", "depth_exact"]

_SUFFIXES: dict[Part, str] = {"audio": ".wav", "camera": ".jpeg", "depth": ".npy", "depth_exact": ".npy"}
_ROOMS_PER_LOCATION = 10


@dataclass(frozen=True)
class Instance:
    """One recording to be made.

    Attributes:
        room: number of its room, from 0.
        pose: number of the place in that room, from 0.
        location: name of its folder.
        split: its room's split.
    """

    room: int
    pose: int
    location: str
    split: Split

    def file_name(self, part: Part) -> str:
        """Name of one of its files."""
        return f"{part}_{self.room:04d}_{self.pose:03d}{_SUFFIXES[part]}"

    def path(self, root: Path, part: Part) -> Path:
        """Where one of its files lies."""
        return root / self.location / part / self.file_name(part)


def parts_of(config: SimulateConfig) -> tuple[Part, ...]:
    """The files that each recording has."""
    return ("audio", "camera", "depth", "depth_exact") if config.keep_exact else ("audio", "camera", "depth")


def plan(config: SimulateConfig) -> list[Instance]:
    """List all recordings of a set: each location has at least one room in every split.

    Raises:
        ConfigError: a setting makes no sense, or there are fewer rooms than splits.
    """
    check(config)
    rooms, poses, _ = config.amount
    order = np.random.default_rng(config.seed).permutation(rooms)
    instances = []
    for number, members in enumerate(np.array_split(order, max(1, rooms // _ROOMS_PER_LOCATION))):
        val, test = max(1, round(0.1 * members.size)), max(1, round(0.2 * members.size))
        for place, room in enumerate(members):
            split: Split = "val" if place < val else "test" if place < val + test else "train"
            location = f"simulated_{number:02d}"
            instances += [Instance(int(room), pose, location, split) for pose in range(poses)]
    return sorted(instances, key=lambda instance: (instance.room, instance.pose))


def check(config: SimulateConfig) -> None:
    """Refuse settings that make no sense.

    Raises:
        ConfigError: naming the setting.
    """
    rooms, poses, image_size = config.amount
    if rooms < 3:
        raise ConfigError(f"rooms is {rooms}: train, val and test need a room each, so give at least 3")
    for name, value, least in (
        ("poses", poses, 1),
        ("workers", config.workers, 1),
        ("image_size", image_size, 16),
        ("seed", config.seed, 0),
    ):
        if value < least:
            raise ConfigError(f"{name} is {value}: it must be at least {least}")
    if not config.snr > 0:
        raise ConfigError(f"snr is {config.snr}: give decibels above 0, or inf for silence")
    if not 0 <= config.depth_holes <= 5:
        raise ConfigError(f"depth_holes is {config.depth_holes}: give 0 (exact depth) to 5")
    if not 300 <= config.speed_of_sound <= 400:
        raise ConfigError(f"speed_of_sound is {config.speed_of_sound}: give metres per second, 300 to 400")
