"""Training of a student on echoes with a teacher beside it that sees."""

from jaxtyping import Float
from torch import Tensor

from echodepth.data.sample import Sample
from echodepth.distillation.alignment import Alignment
from echodepth.distillation.features import AttentionTransfer, FeatureMatching
from echodepth.distillation.relations import Affinity, Contrast
from echodepth.distillation.response import Ranking, Response
from echodepth.distillation.teacher import FrozenTeacher
from echodepth.distillation.terms import Distillation, Term, View
from echodepth.errors import ConfigError
from echodepth.models.layers import DECODER_LEVELS
from echodepth.models.store import DepthModel
from echodepth.training.config import TERM_WEIGHTS, DistillationConfig
from echodepth.training.depth_task import DepthTask
from echodepth.training.losses import gradient_loss, l1_loss, mse_loss, silog_loss

KD_LOSSES = {"l1": l1_loss, "mse": mse_loss, "silog": silog_loss}
SUMMARY_LEVEL = "x5"
"""The level at which a map is nearly a summary of its frame."""


def build_distillation(config: DistillationConfig, student: DepthModel, teacher: DepthModel) -> Distillation:
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

    def build(name: str) -> Term:
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
                return Affinity((SUMMARY_LEVEL,))
            case _:
                return Contrast(SUMMARY_LEVEL, *channels)

    return Distillation({name: build(name) for name in weights}, weights)


def schedule(kind: str, progress: float) -> float:
    """What all weights of the distillation are multiplied by after this share of the epochs."""
    if kind == "warmup":
        return min(5 * progress, 1.0)
    return 1.0 - progress if kind == "decay" else 1.0


class DistillationTask(DepthTask):
    """A student, its loss against measured depth, and the terms that carry over what the teacher sees.

    Args:
        model: the student, an echo model.
        teacher: frozen; not part of this module, so that no optimiser or checkpoint holds it.
        config: the run's flags.
    """

    needs_truth = False

    def __init__(self, model: DepthModel, teacher: FrozenTeacher, config: DistillationConfig) -> None:
        super().__init__(model, config)
        self.teacher = teacher
        self.wrong_pairs = config.wrong_pairs
        self.kd_schedule = config.kd_schedule
        self.distillation = build_distillation(config, model, teacher.model)

    def losses(self, prepared: Float[Tensor, "b c h w"], batch: Sample) -> dict[str, Tensor]:
        """The supervised terms, the distillation's terms, and the sum of all as ``loss``."""
        prediction = self.model.network.predict(prepared)
        supervised = self.supervised(prediction, batch)
        image = batch["image"].roll(1, dims=0) if self.wrong_pairs else batch["image"]
        own = View(prediction.depth, prediction.features, prediction.scale)
        taught = self.distillation(own, self.teacher.look(image), batch["valid"])
        total = supervised.pop("loss")
        weight = schedule(self.kd_schedule, self.current_epoch / self.config.nb_epochs)
        return {**supervised, **taught, "loss": sum((weight * term for term in taught.values()), total)}
