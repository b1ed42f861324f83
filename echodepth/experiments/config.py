"""The flags of ``echodepth benchmark``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import tyro

Study = Literal["distillation", "cues", "attention", "light"]
Preset = Literal["tiny", "small"]
FEW = 0.1
"""The small share of labelled rooms."""


class Rooms(NamedTuple):
    """Simulated rooms, and recordings in each."""

    rooms: int
    poses: int


class Scale(NamedTuple):
    """How large a preset's runs are.

    Attributes:
        rooms: the students': about 70 % to learn from, 10 % to validate, 20 % to test.
        elsewhere: others, for a teacher that learns elsewhere.
        image_size: pixels.
        base_channels: of all networks.
        epochs: over all of the student's frames; with fewer frames more epochs, so that the steps are as many.
    """

    rooms: Rooms
    elsewhere: Rooms
    image_size: int
    base_channels: int
    epochs: int


SCALES: dict[Preset, Scale] = {
    "tiny": Scale(Rooms(12, 2), Rooms(12, 2), 32, 4, 1),
    "small": Scale(Rooms(320, 4), Rooms(320, 8), 64, 8, 10),
}


@dataclass(frozen=True)
class BenchmarkConfig:
    """Run a declared grid of trainings on simulated rooms, and print one table: mean and spread over seeds.

    Finished runs are kept, interrupted ones go on from their last epoch.
    """

    study: Annotated[Study, tyro.conf.Positional]
    """distillation: what each way of teaching is worth; cues: what the ears' differences, and separated
    convolutions, are worth without it; attention: what each form of looking across is worth at levels 2 to 5; light:
    what the light student loses against the standard one."""
    preset: Preset = "small"
    """small: 320 rooms x 4, 64 pixels, a few minutes a run; tiny only shows that everything works."""
    split: Literal["val", "test"] = "val"
    """Choose a method on val; report on test, once."""
    methods: tuple[str, ...] = ()
    """Only these methods; all when empty."""
    label_fractions: tuple[float, ...] = (1.0, FEW)
    """Shares of the training rooms whose depth is known."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run each."""
    workers: int = 2
    """Runs at a time, a thread each."""
