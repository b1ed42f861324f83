"""Plan of a simulated set: its recordings, their splits and the paths of their files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from echodepth.core.errors import ConfigError
from echodepth.simulate.config import SimulateConfig

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
FileKind = Literal["audio", "camera", "depth", "depth_exact"]

LISTED_KINDS: tuple[FileKind, ...] = ("audio", "camera", "depth")
"""Kinds of files that the CSV tables list."""
_SUFFIXES: dict[FileKind, str] = {"audio": ".wav", "camera": ".jpeg", "depth": ".npy", "depth_exact": ".npy"}
_ROOMS_PER_LOCATION = 10


@dataclass(frozen=True)
class Instance:
    """One recording.

    Attributes:
        room: number of the room, from 0.
        pose: number of the robot's pose in that room, from 0.
        location: name of the folder.
        split: split of the room.
    """

    room: int
    pose: int
    location: str
    split: Split

    def file_name(self, kind: FileKind) -> str:
        """Name of the file of a kind."""
        return f"{kind}_{self.room:04d}_{self.pose:03d}{_SUFFIXES[kind]}"

    def path(self, root: Path, kind: FileKind) -> Path:
        """Path of the file of a kind."""
        return root / self.location / kind / self.file_name(kind)


def file_kinds(config: SimulateConfig) -> tuple[FileKind, ...]:
    """Kinds of files that each recording has."""
    return (*LISTED_KINDS, "depth_exact") if config.keep_exact else LISTED_KINDS


def plan(config: SimulateConfig) -> list[Instance]:
    """List all recordings of a set. Each location has at least one room in every split.

    Raises:
        ConfigError: a setting is out of range, or there are fewer rooms than splits.
    """
    check(config)
    rooms, poses, _ = config.amount
    order = np.random.default_rng(config.seed).permutation(rooms)
    instances = []
    for number, members in enumerate(np.array_split(order, max(1, rooms // _ROOMS_PER_LOCATION))):
        val, test = max(1, round(0.1 * members.size)), max(1, round(0.2 * members.size))
        for position, room in enumerate(members):
            split: Split = "val" if position < val else "test" if position < val + test else "train"
            location = f"simulated_{number:02d}"
            instances += [Instance(int(room), pose, location, split) for pose in range(poses)]
    return sorted(instances, key=lambda instance: (instance.room, instance.pose))


def check(config: SimulateConfig) -> None:
    """Check the ranges of all settings.

    Raises:
        ConfigError: a setting is out of range; the message names it.
    """
    rooms, poses, image_size = config.amount
    if rooms < 3:
        raise ConfigError(f"--rooms is {rooms}: train, val and test need one room each, so give at least 3")
    for name, value, least in (
        ("poses", poses, 1),
        ("workers", config.workers, 1),
        ("image_size", image_size, 16),
        ("seed", config.seed, 0),
    ):
        if value < least:
            raise ConfigError(f"--{name} is {value}: give at least {least}")
    if not config.snr > 0:
        raise ConfigError(f"--snr is {config.snr}: give decibels above 0, or inf for no noise")
    if not 0 <= config.depth_holes <= 5:
        raise ConfigError(f"--depth_holes is {config.depth_holes}: give 0 (exact depth) to 5")
    if not 300 <= config.speed_of_sound <= 400:
        raise ConfigError(f"--speed_of_sound is {config.speed_of_sound}: give metres per second, 300 to 400")
