"""The flags of ``echodepth benchmark``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import tyro

Study = Literal["distillation", "ear", "light"]
Preset = Literal["tiny", "small", "large"]
FEW = 0.1
"""Label fraction of the few-labels setting."""


class Rooms(NamedTuple):
    """Simulated rooms, and recordings in each."""

    rooms: int
    poses: int


class Scale(NamedTuple):
    """How large a preset's runs are.

    Attributes:
        rooms: of the students: about 70 % to train, 10 % to validate, 20 % to test.
        elsewhere: other rooms, for a teacher that is trained on rooms of its own.
        image_size: pixels.
        base_channels: of all networks.
        epochs: over all of the student's frames; with fewer frames more epochs, for the same number of steps.
    """

    rooms: Rooms
    elsewhere: Rooms
    image_size: int
    base_channels: int
    epochs: int


SCALES: dict[Preset, Scale] = {
    "tiny": Scale(Rooms(12, 2), Rooms(12, 2), 32, 4, 1),
    "small": Scale(Rooms(320, 4), Rooms(320, 8), 64, 8, 10),
    "large": Scale(Rooms(2400, 4), Rooms(320, 8), 64, 8, 12),
}


@dataclass(frozen=True)
class BenchmarkConfig:
    """Run a declared grid of trainings on simulated rooms; finished runs are kept, interrupted ones resume."""

    study: Annotated[Study, tyro.conf.Positional]
    """distillation: KD methods; ear: front ends and networks of the student; light: the light student."""
    preset: Preset = "small"
    """small: 320 rooms x 4 poses at 64 pixels, a few minutes a run; large: 2400 x 4; tiny checks that all works."""
    split: Literal["val", "test"] = "val"
    """Split to score: choose methods on val, report once on test."""
    methods: tuple[str, ...] = ()
    """Methods to run; all of the study's when empty."""
    label_fractions: tuple[float, ...] = (1.0, FEW)
    """Shares of the training rooms with ground truth."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds, one run each."""
    workers: int = 2
    """Parallel runs, with one thread each."""
