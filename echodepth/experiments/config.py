"""The flags of ``echodepth experiment``. Imports nothing heavy: it feeds --help."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import tyro

from echodepth.core.errors import ConfigError

Study = Literal["distillation", "weights", "ear", "light"]
Preset = Literal["tiny", "small", "large", "gpu"]
TeacherSource = Literal["same", "elsewhere"]
ELSEWHERE_POSES = 8
"""Recordings in each room of a teacher that is trained on rooms of its own, all with ground truth."""


class Scale(NamedTuple):
    """How large a preset's runs are.

    Attributes:
        rooms: numbers of simulated rooms to compare; about 70 % to train, 10 % to validate, 20 % to test.
        poses: recordings in each room.
        image_size: pixels.
        base_channels: of all networks.
        batch_size: frames of a step.
        epochs: over all frames of the rooms, at most; with fewer frames more epochs, for the same number of steps.
        patience: share of the epochs without improvement after which a run ends; None for exactly ``epochs``.
        min_epochs: the least number of epochs with ``patience``.
        spectrogram: rows and columns of the student's spectrogram; None for the default's.
        methods: to compare; all of the study's when empty.
        label_fractions: shares of the rooms whose ground truth is used, in studies of distillation.
        seeds: one run each.
    """

    rooms: tuple[int, ...]
    poses: int
    image_size: int
    base_channels: int
    batch_size: int
    epochs: int
    patience: float | None = None
    min_epochs: int = 1
    spectrogram: tuple[int, int] | None = None
    methods: tuple[str, ...] = ()
    label_fractions: tuple[float, ...] = (1.0, 0.3, 0.1, 0.02)
    seeds: tuple[int, ...] = (0, 1, 2)


_CORE = ("teacher", "none", "same_batches", "pseudo_labels", "best", "unet_baseline")
"""Whether a teacher helps, whether it is the teacher that does, and the networks that the student is measured by."""
_EAR: dict[Preset, Scale] = {
    "tiny": Scale((12,), 2, 32, 4, 8, 1),
    "small": Scale((320,), 4, 64, 8, 8, 10),
    "large": Scale((2400,), 4, 64, 8, 8, 12),
}
_DISTILLATION: dict[Preset, Scale] = {
    "tiny": Scale((12,), 2, 32, 4, 8, 2, 0.5, 1),
    "small": Scale((320, 1280), 4, 32, 8, 16, 200, 0.2, 40, (16, 64)),
    "gpu": Scale((320,), 4, 64, 16, 64, 200, 0.2, 40, None, _CORE, (0.1,), (0, 1, 2, 3, 4)),
}
SCALES: dict[Study, dict[Preset, Scale]] = {
    "distillation": _DISTILLATION,
    "weights": {name: scale._replace(rooms=scale.rooms[:1], methods=()) for name, scale in _DISTILLATION.items()},
    "ear": _EAR,
    # At the width that the standard student has by default, in half the epochs to be affordable.
    "light": {
        name: scale._replace(base_channels=8 * scale.base_channels, epochs=max(1, scale.epochs // 2))
        for name, scale in _EAR.items()
        if name != "large"
    },
}
"""The scale of each study by preset."""


@dataclass(frozen=True)
class ExperimentConfig:
    """Run a declared grid of trainings on simulated rooms, or resume it."""

    study: Annotated[Study, tyro.conf.Positional]
    """distillation: methods of KD; weights: of its losses; ear: front ends and networks; light: the light student."""
    preset: Preset = "small"
    """small: minutes a run on one core; large: ear with 2400 rooms; gpu: distillation's core, on a GPU; tiny: test."""
    split: Literal["val", "test"] = "val"
    """Split to score: choose methods on val, report once on test."""
    methods: tuple[str, ...] = ()
    """Methods to run; when empty all of the study's, or distillation's core with --preset gpu."""
    label_fractions: tuple[float, ...] = ()
    """Shares of labelled rooms in training and validation; when empty 1, 0.3, 0.1, 0.02, or 0.1 with --preset gpu."""
    rooms: tuple[int, ...] = ()
    """Numbers of rooms, at least 3 each; the preset's when empty."""
    teachers: tuple[TeacherSource, ...] = ("same",)
    """Rooms of the teacher: same, the student's labelled ones; elsewhere, as many others, all labelled."""
    seeds: tuple[int, ...] = ()
    """Seeds, one run each; a seed also draws the labelled rooms. When empty 0 to 2, or 0 to 4 with --preset gpu."""
    workers: int = 2
    """Parallel runs, with one thread each; on a GPU also several at a time."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu"
    """Device to train on."""

    @property
    def scale(self) -> Scale:
        """The preset's scale, with the rooms, methods, label fractions and seeds that are asked for.

        Raises:
            ConfigError: the study has no such preset.
        """
        scales = SCALES[self.study]
        if self.preset not in scales:
            raise ConfigError(f"--preset {self.preset}: {self.study} has {', '.join(scales)}")
        scale = scales[self.preset]
        return scale._replace(
            rooms=self.rooms or scale.rooms,
            methods=self.methods or scale.methods,
            label_fractions=self.label_fractions or scale.label_fractions,
            seeds=self.seeds or scale.seeds,
        )
