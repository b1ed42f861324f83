"""Which runs a study consists of."""

from dataclasses import dataclass
from typing import Any, Literal

from echodepth.core.errors import ConfigError
from echodepth.experiments.config import SCALES, BenchmarkConfig, Preset, Scale, Study

TeacherData = Literal["none", "same", "elsewhere"]
_FULL: dict[str, Any] = {"attention": "full"}
"""With which the published tables were made."""
_ALONE: dict[str, Any] = _FULL | {"pseudo_labels": False, "lambda_kd": 0.0, "lambda_feat": 0.0}
_DECODER = ("d1", "d2", "d3", "d4")
_BEST: dict[str, Any] = _FULL | {
    "pseudo_labels": True,
    "lambda_kd": 1.0,
    "lambda_feat": 1.0,
    "feature_levels": _DECODER,
}
DISTILLING: dict[str, dict[str, Any]] = {
    "filled": _ALONE | {"pseudo_labels": True},
    "response": _ALONE | {"lambda_kd": 1.0},
    "edge": _ALONE | {"lambda_kd": 1.0, "lambda_kd_edge": 1.0},
    "rank": _ALONE | {"lambda_kd": 1.0, "lambda_rank": 1.0},
    "pixelwise": _ALONE | {"lambda_feat": 0.5, "feature_levels": ("x1", "x2", "x3", "x4", "x5")},
    "decoder": _ALONE | {"lambda_feat": 0.5, "feature_levels": _DECODER},
    "aligned": _ALONE | {"lambda_align": 0.5},
    "attention": _ALONE | {"lambda_attention": 0.5},
    "affinity": _ALONE | {"lambda_affinity": 10.0},
    "contrast": _ALONE | {"lambda_contrast": 0.1},
    "best": _BEST,
    "wrong_pair": _BEST | {"shuffle_teacher": True},
}
"""Each way of teaching, by its flags."""

LOOKING = ("full", "band", "time", "pooled")
"""Each form of attention, by its name."""
ALONE: dict[str, dict[str, Any]] = {
    "none": _FULL,
    "cues": _FULL | {"cues": True},
    "separated": _FULL | {"convolution": "separated"},
    **{form: {"attention": form, "attention_levels": (2, 3, 4, 5)} for form in LOOKING},
    "standard": _FULL | {"attention_levels": (2, 3, 4, 5), "learning_rate": 1e-3},
    "light": {"model": "light"},
}
"""Students without a teacher, by their flags."""

METHODS: dict[Study, tuple[str, ...]] = {
    "distillation": ("teacher", "none", *DISTILLING),
    "cues": ("none", "cues", "separated"),
    "attention": LOOKING,
    "light": ("standard", "light"),
}


def scale_of(method: str, preset: Preset) -> Scale:
    """How large a method's runs are: a preset's scale, or of the study of light students eight times as wide.

    Those are compared at the width that the standard student has by default, in half the epochs to be affordable.
    """
    scale = SCALES[preset]
    if method not in METHODS["light"]:
        return scale
    return scale._replace(base_channels=8 * scale.base_channels, epochs=max(1, scale.epochs // 2))


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        method: ``teacher``, or a key of ``ALONE`` or ``DISTILLING``.
        label_fraction: share of the student's training rooms whose depth is known.
        teacher_data: what the teacher learnt from: the student's labelled rooms (``same``), or all of as many other
            rooms (``elsewhere``).
        seed: of teacher and student.
    """

    method: str
    label_fraction: float
    teacher_data: TeacherData
    seed: int

    @property
    def name(self) -> str:
        """Of its experiment."""
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
                # A teacher from elsewhere is for those who have few labels of their own.
                taught_by: tuple[TeacherData, ...] = ("same",) if fraction == 1.0 else ("same", "elsewhere")
                sources = taught_by if method in DISTILLING else ("none",)
                students += [Run(method, fraction, source, seed) for source in sources]
    teachers = {run.teacher: None for run in students if run.method in DISTILLING}
    return [*teachers, *students]
