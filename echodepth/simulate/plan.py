"""Plan of a simulated set: its recordings, their splits and the paths of their files."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from echodepth.core.errors import ConfigError
from echodepth.simulate.config import SimulateConfig

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
FileKind = Literal["audio", "camera", "depth", "depth_exact"]

LISTED_KINDS: tuple[FileKind, ...] = ("audio", "camera", "depth")
"""Kinds of files that the CSV tables list."""
_SUFFIXES: dict[FileKind, str] = {"audio": ".wav", "camera": ".jpeg", "depth": ".npy", "depth_exact": ".npy"}
_ROOMS_PER_LOCATION = 10
_VAL, _TEST = 1, 2  # of the ten rooms of a block; the other seven are for training


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


def _hash(seed: int, room: int) -> bytes:
    # SHA-256 rather than a random generator, whose stream may change with NumPy's version.
    return hashlib.sha256(f"{seed}/{room}".encode()).digest()


@cache
def _split_block(seed: int, block: int) -> tuple[Split, ...]:
    """Splits of the ten rooms of a block, from the first room on."""
    start = block * _ROOMS_PER_LOCATION
    ranked = sorted(range(_ROOMS_PER_LOCATION), key=lambda number: _hash(seed, start + number))
    if block == 0:
        # The first three rooms get one split each, so that a set of three rooms has all of them.
        first = [number for number in ranked if number < len(SPLITS)]
        others = [number for number in ranked if number >= len(SPLITS)]
        ranked = [*first[:2], *others, first[2]]
    splits: list[Split] = ["train"] * _ROOMS_PER_LOCATION
    for number in ranked[:_VAL]:
        splits[number] = "val"
    for number in ranked[_VAL : _VAL + _TEST]:
        splits[number] = "test"
    return tuple(splits)


def split_of(seed: int, room: int) -> Split:
    """Split of a room, from a hash of seed and room alone: the same in sets of all sizes.

    Of rooms 0 to 9, 10 to 19 and so on, the one with the lowest hash is for validation, the next two are for testing
    and the other seven for training. Rooms 0, 1 and 2 have a split each, so that no split of a small set is empty.
    """
    block, number = divmod(room, _ROOMS_PER_LOCATION)
    return _split_block(seed, block)[number]


def plan(config: SimulateConfig) -> list[Instance]:
    """List all recordings of a set, ordered by room and pose. Each location has at least one room in every split.

    Raises:
        ConfigError: a setting is out of range, or there are fewer rooms than splits.
    """
    check(config)
    rooms, poses, _ = config.amount
    # An incomplete block joins the location before it, since a block's first rooms may lack a split.
    last = max(1, rooms // _ROOMS_PER_LOCATION) - 1
    return [
        Instance(room, pose, f"simulated_{min(room // _ROOMS_PER_LOCATION, last):02d}", split_of(config.seed, room))
        for room in range(rooms)
        for pose in range(poses)
    ]


def check(config: SimulateConfig) -> None:
    """Check the ranges of all settings.

    Raises:
        ConfigError: a setting is out of range, or ``--rig`` names no rig; the message names it.
    """
    _ = config.robot
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
    if not 0 <= config.depth_holes <= 5:
        raise ConfigError(f"--depth_holes is {config.depth_holes}: give 0 (exact depth) to 5")
    if not 0 <= config.rig_variation <= 1:
        raise ConfigError(f"--rig_variation is {config.rig_variation}: give 0 (one robot) to 1")
    if not 300 <= config.speed_of_sound <= 400:
        raise ConfigError(f"--speed_of_sound is {config.speed_of_sound}: give metres per second, 300 to 400")
