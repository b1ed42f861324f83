"""Training of a student on echoes with a teacher beside it that sees."""

import torch
from jaxtyping import Float
from torch import Tensor

from echodepth.core.errors import ConfigError
from echodepth.data.sample import Sample
from echodepth.distillation.losses.base import DistillationLoss, Prediction, WeightedLosses
from echodepth.distillation.losses.feature_matching import AttentionTransfer, FeatureMatching
from echodepth.distillation.losses.learned_alignment import Alignment
from echodepth.distillation.losses.relational import ContrastiveLoss, SimilarityPreserving
from echodepth.distillation.losses.response import Ranking, Response, teacher_depth
from echodepth.distillation.teachers.frozen import Teacher
from echodepth.models.checkpoint import DepthModel
from echodepth.models.layers import DECODER_LEVELS
from echodepth.training.config import TERM_WEIGHTS, DistillationConfig
from echodepth.training.depth_task import DepthTask
from echodepth.training.losses import gradient_loss, l1_loss, mse_loss, silog_loss

KD_LOSSES = {"l1": l1_loss, "mse": mse_loss, "silog": silog_loss}
SUMMARY_LEVEL = "x5"
"""The level at which a map is nearly a summary of its frame."""


def levels_of(config: DistillationConfig) -> dict[str, tuple[str, ...]]:
    """The teacher's features that each term with a weight compares, by the weight's flag."""
    levels = {
        "lambda_feat": config.feature_levels,
        "lambda_align": config.align_levels,
        "lambda_attention": DECODER_LEVELS,
        "lambda_affinity": (SUMMARY_LEVEL,),
        "lambda_contrast": (SUMMARY_LEVEL,),
    }
    return {flag: compared for flag, compared in levels.items() if getattr(config, flag)}


def require_features(config: DistillationConfig, teacher: Teacher) -> None:
    """Raise a ConfigError for terms that compare features which the teacher does not show."""
    shown = teacher.feature_channels().keys()
    if blind := [flag for flag, levels in levels_of(config).items() if not shown >= {*levels}]:
        zeros = " ".join(f"--{flag} 0" for flag in blind)
        raise ConfigError(f"--teacher {config.teacher} shows its depth, but no features to compare: give {zeros}")


def build_distillation(config: DistillationConfig, student: DepthModel, teacher: Teacher) -> WeightedLosses:
    """The terms whose weights are not zero. A new term gets its flag in the config, its weight and its line here.

    Raises:
        ConfigError: the teacher's confidence is asked for, and it has none.
    """
    if config.kd_confidence and not teacher.uncertainty:
        raise ConfigError(
            f"--kd_confidence: {config.teacher} does not say how sure it is; train the teacher with --uncertainty, "
            "or leave --kd_confidence out"
        )
    weights = {name: getattr(config, flag) for name, flag in TERM_WEIGHTS.items() if getattr(config, flag)}
    channels = student.feature_channels(), teacher.feature_channels()

    def build(name: str) -> DistillationLoss:
        match name:
            case "kd":
                return Response(KD_LOSSES[config.kd_loss], config.kd_where, config.kd_confidence)
            case "kd_edge":
                return Response(gradient_loss, config.kd_where)
            case "rank":
                return Ranking()
            case "feat":
                return FeatureMatching(config.feature_levels, *channels, config.feature_distance)
            case "align":
                return Alignment(config.align_levels, *channels, teacher.feature_sizes())
            case "attention":
                return AttentionTransfer(DECODER_LEVELS)
            case "affinity":
                return SimilarityPreserving((SUMMARY_LEVEL,))
            case _:
                return ContrastiveLoss(SUMMARY_LEVEL, *channels)

    return WeightedLosses({name: build(name) for name in weights}, weights)


def schedule(kind: str, progress: float) -> float:
    """What all weights of the distillation are multiplied by after this share of the epochs."""
    if kind == "warmup":
        return min(5 * progress, 1.0)
    return 1.0 - progress if kind == "decay" else 1.0


class DistillationTask(DepthTask):
    """A student, its loss against measured depth, and the terms that carry over what the teacher sees.

    Args:
        model: the student, an echo model.
        teacher: not part of this module, so that no optimiser or checkpoint holds it.
        config: the run's flags.
    """

    needs_truth = False

    def __init__(self, model: DepthModel, teacher: Teacher, config: DistillationConfig) -> None:
        super().__init__(model, config)
        self.teacher = teacher
        self.shuffle_teacher = config.shuffle_teacher
        self.pseudo_labels = config.pseudo_labels
        self.kd_schedule = config.kd_schedule
        self.distillation = build_distillation(config, model, teacher)

    def losses(self, prepared: Float[Tensor, "b c h w"], batch: Sample) -> dict[str, Tensor]:
        """The supervised terms, the distillation's terms, and the sum of all as ``loss``."""
        prediction = self.predict(prepared)
        seen = self.teacher.predict(_of_another_frame(batch) if self.shuffle_teacher else batch)
        own = Prediction(prediction.depth, prediction.features, prediction.uncertainty)
        supervised = self.supervised(prediction, self._filled(batch, own, seen) if self.pseudo_labels else batch)
        taught = self.distillation(own, seen, batch["valid"])
        total = supervised.pop("loss")
        weight = schedule(self.kd_schedule, self.current_epoch / self.config.nb_epochs)
        return {**supervised, **taught, "loss": sum((weight * term for term in taught.values()), total)}

    @staticmethod
    def _filled(batch: Sample, own: Prediction, seen: Prediction) -> Sample:
        """The batch with the teacher's depth wherever none was measured: one loss, in which each pixel counts alike."""
        depth = torch.where(batch["valid"], batch["depth"], teacher_depth(own, seen))
        return {**batch, "depth": depth, "valid": torch.ones_like(batch["valid"])}


def _of_another_frame(batch: Sample) -> Sample:
    """The same batch, each frame in its neighbour's place: picture, name and side together."""
    other = batch.copy()
    other["image"] = batch["image"].roll(1, dims=0)
    other["name"] = batch["name"][-1:] + batch["name"][:-1]  # a batch has a list of names
    if "mirrored" in batch:
        other["mirrored"] = batch["mirrored"].roll(1, dims=0)
    return other
