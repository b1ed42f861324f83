"""Lightning module that trains a student on audio with a frozen RGB teacher."""

import torch
from jaxtyping import Float
from torch import Tensor

from echodepth.core.errors import ConfigError
from echodepth.data.sample import Sample
from echodepth.distillation.losses.base import StudentInfo, resize_like
from echodepth.distillation.losses.total import build_distillation, levels_of
from echodepth.distillation.teachers.frozen import Teacher
from echodepth.models.checkpoint import DepthModel
from echodepth.models.layers import Prediction
from echodepth.training.config import DistillConfig
from echodepth.training.depth_task import DepthTask


def require_features(config: DistillConfig, network: StudentInfo, name: str) -> None:
    """Raise a ConfigError for losses that compare features which a network does not have.

    Args:
        config: of the run.
        network: the teacher or the student.
        name: of it, for the message.
    """
    available = network.feature_channels().keys()
    if unavailable := [flag for flag, levels in levels_of(config.distillation).items() if not available >= {*levels}]:
        zeros = " ".join(f"--{flag} 0" for flag in unavailable)
        raise ConfigError(
            f"{name} predicts depth, but {'not all' if available else 'no'} features to compare: give {zeros}"
        )


def schedule(kind: str, progress: float) -> float:
    """Factor of all distillation weights after this share of the epochs (0..1)."""
    if kind == "warmup":
        return min(5 * progress, 1.0)
    return 1.0 - progress if kind == "decay" else 1.0


class DistillationTask(DepthTask):
    """A student with its supervised loss and the distillation losses against a teacher.

    Args:
        model: the student, an echo model.
        teacher: not part of this module, so that no optimiser or checkpoint holds it.
        config: the run's flags.

    Raises:
        ConfigError: the teacher does not predict what a loss compares.
    """

    needs_ground_truth = False

    def __init__(self, model: DepthModel, teacher: Teacher, config: DistillConfig) -> None:
        super().__init__(model, config)
        require_features(config, model, type(model.network).__name__)
        self.teacher = teacher
        self.shuffle_teacher = config.distillation.shuffle_teacher
        self.pseudo_labels = config.distillation.pseudo_labels
        self.kd_schedule = config.distillation.kd_schedule
        self.distillation = build_distillation(config.distillation, model, teacher)

    def losses(self, prepared: Float[Tensor, "b c h w"], batch: Sample) -> dict[str, Tensor]:
        """The supervised terms, the weighted distillation losses, and the sum of all as ``loss``."""
        supervised, distilled = self.loss_terms(prepared, batch)
        total = supervised.pop("loss")
        weight = schedule(self.kd_schedule, self.current_epoch / self.config.optimisation.nb_epochs)
        return {**supervised, **distilled, "loss": sum((weight * loss for loss in distilled.values()), total)}

    def loss_terms(
        self, prepared: Float[Tensor, "b c h w"], batch: Sample
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The supervised terms with their sum as ``loss``, and the distillation losses times their weights."""
        student_output = self.predict(prepared)
        if self.shuffle_teacher and len(batch["name"]) == 1:
            # The last batch of an epoch may have one frame: its teacher would be given the right picture.
            return self.supervised(student_output, batch), {}
        teacher_output = self.teacher.predict(_shuffled(batch) if self.shuffle_teacher else batch)
        labels = _pseudo_labelled(batch, student_output, teacher_output) if self.pseudo_labels else batch
        distilled = self.distillation(student_output, teacher_output, batch["valid"])
        return self.supervised(student_output, labels), distilled


def _pseudo_labelled(batch: Sample, student: Prediction, teacher: Prediction) -> Sample:
    """The batch with teacher depth as pseudo-labels where ground truth is missing; every pixel has equal weight."""
    depth = torch.where(batch["valid"], batch["depth"], resize_like(teacher.depth, student.depth))
    return {**batch, "depth": depth, "valid": torch.ones_like(batch["valid"])}


def _shuffled(batch: Sample) -> Sample:
    """The batch with image, name and mirroring of each frame replaced by those of the frame before it."""
    shuffled = batch.copy()
    shuffled["image"] = batch["image"].roll(1, dims=0)
    shuffled["name"] = batch["name"][-1:] + batch["name"][:-1]  # a batch has a list of names
    if "mirrored" in batch:
        shuffled["mirrored"] = batch["mirrored"].roll(1, dims=0)
    return shuffled
