"""The runs of each study: methods, label fractions, teachers and seeds."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from echodepth.core.errors import ConfigError
from echodepth.experiments.config import SCALES, BenchmarkConfig, Preset, Scale, Study

TeacherData = Literal["none", "same", "elsewhere"]
_NO_KD: dict[str, Any] = {"pseudo_labels": False, "lambda_kd": 0.0, "lambda_feat": 0.0}
_DECODER = ("d1", "d2", "d3", "d4")
_BEST: dict[str, Any] = {
    "pseudo_labels": True,
    "lambda_kd": 1.0,
    "lambda_feat": 1.0,
    "feature_levels": _DECODER,
}
DISTILLED: dict[str, dict[str, Any]] = {
    "pseudo_labels": _NO_KD | {"pseudo_labels": True},
    "response": _NO_KD | {"lambda_kd": 1.0},
    "edge": _NO_KD | {"lambda_kd": 1.0, "lambda_kd_edge": 1.0},
    "rank": _NO_KD | {"lambda_kd": 1.0, "lambda_rank": 1.0},
    "pixelwise": _NO_KD | {"lambda_feat": 0.5, "feature_levels": ("x1", "x2", "x3", "x4", "x5")},
    "decoder": _NO_KD | {"lambda_feat": 0.5, "feature_levels": _DECODER},
    "aligned": _NO_KD | {"lambda_align": 0.5},
    "attention_transfer": _NO_KD | {"lambda_attention": 0.5},
    "similarity": _NO_KD | {"lambda_affinity": 10.0},
    "contrastive": _NO_KD | {"lambda_contrast": 0.1},
    "best": _BEST,
    "shuffled_teacher": _BEST | {"shuffle_teacher": True},
}
"""Distilled students: the flags of each method."""

_BATVISION_INPUT: dict[str, Any] = {
    "audio_bins": None,
    "audio_frames": None,
    "audio_range": None,
    "pulse_compression": False,
}
"""A spectrogram of the depth map's size over the whole recording."""
_RESOLUTION: dict[str, Any] = {"audio_bins": 32, "audio_frames": 128, "audio_range": 10.0}
_ORIGINAL: dict[str, Any] = _BATVISION_INPUT | {
    "attention_levels": (2, 3, 4, 5),
    "shared_encoder": False,
    "image_grid": False,
}
_LIGHT: dict[str, Any] = {"model": "light", "base_channels": 32}
"""At four times the other students' width the light one still has less arithmetic than they."""
EAR: dict[str, dict[str, Any]] = {
    "original": _ORIGINAL,
    "no_attention": _ORIGINAL | {"attention_levels": ()},
    "shared_encoder": _ORIGINAL | {"shared_encoder": True},
    "resolution": _ORIGINAL | _RESOLUTION,
    "pulse_compression": _ORIGINAL | _RESOLUTION | {"pulse_compression": True},
    "binaural_cues": _ORIGINAL | {"binaural_cues": True},
    "image_grid": _ORIGINAL | {"image_grid": True},
    "all": {"attention_levels": ()},
    "all_attention": {"attention_levels": (4, 5)},
    "all_cues": {"attention_levels": (), "binaural_cues": True},
    "unet_baseline": _BATVISION_INPUT | {"model": "unet_baseline"},
    "light_original": _BATVISION_INPUT | _LIGHT | {"attention_levels": (4, 5), "image_grid": False},
    "light": _LIGHT | {"attention_levels": ()},
    "light_attention": _LIGHT | {"attention_levels": (4, 5)},
}
"""The network of the original description on a spectrogram of the depth map's size, each change to it alone, all
together, BatVision's U-Net, and the light student."""
UNDISTILLED: dict[str, dict[str, Any]] = {
    "none": {},
    "standard": {"learning_rate": 1e-3},
    "wide_light": {"model": "light"},
    **EAR,
}
"""Students without a teacher: the flags of each method."""

METHODS: dict[Study, tuple[str, ...]] = {
    "distillation": ("teacher", "none", *DISTILLED),
    "ear": tuple(EAR),
    "light": ("standard", "wide_light"),
}


def scale_of(method: str, preset: Preset) -> Scale:
    """How large a method's runs are: a preset's scale, or of the study of light students eight times as wide.

    Those are compared at the width that the standard student has by default, in half the epochs to be affordable.
    """
    scale = SCALES[preset]
    if method not in METHODS["light"]:
        return scale
    return scale._replace(base_channels=8 * scale.base_channels, epochs=max(1, scale.epochs // 2))


MIRRORED = "_mirrored"
"""Ends the name of a method that is scored with the average over the mirrored input."""


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        method: ``teacher``, or a key of ``UNDISTILLED`` or ``DISTILLED``.
        label_fraction: share of the student's training rooms with ground truth.
        teacher_data: what the teacher was trained on: the student's labelled rooms (``same``), or all of as many other
            rooms (``elsewhere``).
        seed: of teacher and student.
    """

    method: str
    label_fraction: float
    teacher_data: TeacherData
    seed: int

    @property
    def name(self) -> str:
        """Name of its experiment."""
        return f"{self.method}_{self.label_fraction:g}_{self.teacher_data}_{self.seed}"

    @property
    def teacher(self) -> "Run":
        """The training of its teacher."""
        fraction = 1.0 if self.teacher_data == "elsewhere" else self.label_fraction
        return Run("teacher", fraction, self.teacher_data, self.seed)


def runs_of(config: BenchmarkConfig) -> list[Run]:
    """All runs of a study, teachers first.

    Raises:
        ConfigError: a method is unknown, or a share is none.
    """
    if wrong := [fraction for fraction in config.label_fractions if not 0 < fraction <= 1]:
        raise ConfigError(f"--label_fractions must be above 0 and up to 1, such as 0.1, not {wrong[0]:g}")
    known = METHODS[config.study]
    if unknown := sorted({*config.methods} - {*known}):
        raise ConfigError(f"--methods {', '.join(unknown)}: {config.study} has {', '.join(known)}")
    wanted = config.methods or known
    students = []
    for seed in config.seeds:
        for method in (name for name in wanted if name != "teacher"):
            for fraction in config.label_fractions if config.study == "distillation" else (1.0,):
                # A teacher trained on other rooms is of interest where labels are few.
                teacher_data: tuple[TeacherData, ...] = ("same",) if fraction == 1.0 else ("same", "elsewhere")
                sources = teacher_data if method in DISTILLED else ("none",)
                students += [Run(method, fraction, source, seed) for source in sources]
    teachers = {run.teacher: None for run in students if run.method in DISTILLED}
    return [*teachers, *students]


def scorings(run: Run) -> list[Run]:
    """What a run is scored as: in the study of ears also with the average over the mirrored input."""
    return [run, replace(run, method=f"{run.method}{MIRRORED}")] if run.method in EAR else [run]
