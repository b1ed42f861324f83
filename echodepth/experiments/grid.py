"""The runs of each study: methods, rooms, label fractions, teachers and seeds."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from echodepth.core.errors import ConfigError
from echodepth.experiments.config import ExperimentConfig, Study

TeacherData = Literal["none", "same", "elsewhere"]
_NO_KD: dict[str, Any] = {"pseudo_labels": False, "lambda_kd": 0.0, "lambda_feat": 0.0}
_DECODER = ("d1", "d2", "d3", "d4")
_BEST: dict[str, Any] = {"pseudo_labels": True, "lambda_kd": 1.0, "lambda_feat": 1.0, "feature_levels": _DECODER}
SINGLE_LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "response": ("lambda_kd", {}),
    "confidence": ("lambda_kd", {"kd_confidence": True}),
    "edge": ("lambda_kd_edge", {}),
    "rank": ("lambda_rank", {}),
    "pixelwise": ("lambda_feat", {"feature_levels": ("x1", "x2", "x3", "x4", "x5")}),
    "decoder": ("lambda_feat", {"feature_levels": _DECODER}),
    "aligned": ("lambda_align", {}),
    "attention_transfer": ("lambda_attention", {}),
    "similarity": ("lambda_affinity", {}),
    "contrastive": ("lambda_contrast", {}),
}
"""Methods with one distillation loss beside the loss against ground truth: the flag of its weight, and other flags."""
WEIGHTS: dict[str, float] = {
    "response": 1.0,
    "confidence": 1.0,
    "edge": 1.0,
    "rank": 1.0,
    "pixelwise": 0.5,
    "decoder": 0.5,
    "aligned": 0.5,
    "attention_transfer": 0.5,
    "similarity": 10.0,
    "contrastive": 0.1,
}
"""Weight of each method's loss."""
SHARES = (0.1, 0.3, 1.0)
"""Norms of a loss's gradient that the study of weights tries, relative to that of the supervised loss."""


def weighted(method: str, weight: float) -> dict[str, Any]:
    """The flags of a method of ``SINGLE_LOSSES`` at a weight of its loss."""
    flag, others = SINGLE_LOSSES[method]
    return _NO_KD | others | {flag: weight}


DISTILLED: dict[str, dict[str, Any]] = {
    "same_batches": _NO_KD,
    "pseudo_labels": _NO_KD | {"pseudo_labels": True},
    **{method: weighted(method, WEIGHTS[method]) for method in SINGLE_LOSSES},
    "best": _BEST,
    "shuffled_teacher": _BEST | {"shuffle_teacher": True},
}
"""Students on all rooms with a teacher: the flags of each method. ``same_batches`` gets the same batches and nothing
of the teacher, ``shuffled_teacher`` the predictions for another frame: both are controls."""

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

_TRIED = tuple(f"{method}+{share:g}" for method in SINGLE_LOSSES for share in SHARES)
METHODS: dict[Study, tuple[str, ...]] = {
    "distillation": ("teacher", "none", *DISTILLED, "unet_baseline"),
    "weights": ("teacher", "none", "same_batches", *_TRIED),
    "ear": tuple(EAR),
    "light": ("standard", "wide_light"),
}
MIRRORED = "_mirrored"
"""Ends the name of a method that is scored with the average over the mirrored input."""


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        method: ``teacher`` or ``teacher_uncertainty``, a key of ``UNDISTILLED`` or ``DISTILLED``, or a method and the
            share of its loss in the gradient, ``response+0.3``.
        rooms: number of simulated rooms.
        label_fraction: share of the rooms with ground truth.
        teacher_data: what the teacher was trained on: the student's labelled rooms (``same``), or all of as many other
            rooms (``elsewhere``).
        seed: of teacher and student, and of the draw of labelled rooms.
    """

    method: str
    rooms: int
    label_fraction: float
    teacher_data: TeacherData
    seed: int

    @property
    def name(self) -> str:
        """Name of its experiment."""
        return f"{self.method}_{self.rooms}_{self.label_fraction:g}_{self.teacher_data}_{self.seed}"

    @property
    def is_teacher(self) -> bool:
        """Whether it trains a teacher."""
        return self.method.startswith("teacher")

    @property
    def is_distilled(self) -> bool:
        """Whether it trains a student with a teacher."""
        return self.method in DISTILLED or "+" in self.method

    @property
    def share(self) -> tuple[str, float] | None:
        """Method and share of the gradient, in the study of weights."""
        method, plus, share = self.method.partition("+")
        return (method, float(share)) if plus else None

    @property
    def teacher(self) -> "Run":
        """The training of its teacher."""
        fraction = 1.0 if self.teacher_data == "elsewhere" else self.label_fraction
        method = "teacher_uncertainty" if self.method.startswith("confidence") else "teacher"
        return replace(self, method=method, label_fraction=fraction)

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"label_seed": self.seed}


def runs_of(config: ExperimentConfig) -> list[Run]:
    """All runs of a study, teachers first.

    Raises:
        ConfigError: a method is unknown, or a share is none.
    """
    scale = config.scale
    if wrong := [fraction for fraction in scale.label_fractions if not 0 < fraction <= 1]:
        raise ConfigError(f"--label_fractions must be above 0 and up to 1, such as 0.1, not {wrong[0]:g}")
    known = METHODS[config.study]
    if unknown := sorted({*scale.methods} - {*known}):
        raise ConfigError(f"--methods {', '.join(unknown)}: {config.study} has {', '.join(known)}")
    has_labels = config.study in ("distillation", "weights")
    students: list[Run] = []
    for seed in scale.seeds:
        for rooms in scale.rooms:
            for fraction in scale.label_fractions if has_labels else (1.0,):
                for method in scale.methods or known:
                    run = Run(method, rooms, fraction, "none", seed)
                    if run.is_teacher:
                        students.append(replace(run, teacher_data="same"))
                    elif run.is_distilled:
                        students += [replace(run, teacher_data=source) for source in config.teachers]
                    else:
                        students.append(run)
    teachers = dict.fromkeys(run.teacher for run in students if run.is_distilled)
    return list(dict.fromkeys([*teachers, *students]))


def scorings(run: Run, study: Study) -> list[Run]:
    """What a run is scored as: in the study of ears also with the average over the mirrored input."""
    return [run, replace(run, method=f"{run.method}{MIRRORED}")] if study == "ear" else [run]
