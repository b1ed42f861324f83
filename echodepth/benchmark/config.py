"""The flags of ``echodepth benchmark``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import tyro

Study = Literal["distillation", "cues"]
Preset = Literal["tiny", "small"]


class Scale(NamedTuple):
    """How large a preset's runs are.

    Attributes:
        rooms: simulated, for the students; as many others for a teacher that learns elsewhere.
        poses: recordings in each.
        image_size: pixels.
        base_channels: of all networks.
        epochs: over all of the student's frames; with fewer frames more epochs, so that the steps are as many.
    """

    rooms: int
    poses: int
    image_size: int
    base_channels: int
    epochs: int


SCALES: dict[Preset, Scale] = {
    "tiny": Scale(12, 2, 32, 4, 1),
    "small": Scale(160, 8, 64, 8, 10),
}


@dataclass(frozen=True)
class BenchmarkConfig:
    """Run a declared grid of trainings on simulated rooms, and print one table: mean and spread over seeds.

    Finished runs are kept, interrupted ones go on from their last epoch.
    """

    study: Annotated[Study, tyro.conf.Positional]
    """distillation: what each way of teaching is worth; cues: what the ears' differences are worth without it."""
    preset: Preset = "small"
    """small: 160 rooms x 8, 64 pixels, a few minutes a run; tiny only shows that everything works."""
    split: Literal["val", "test"] = "val"
    """Choose a method on val; report on test, once."""
    methods: tuple[str, ...] = ()
    """Only these methods; all when empty."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run each."""
    workers: int = 2
    """Runs at a time, a thread each."""
