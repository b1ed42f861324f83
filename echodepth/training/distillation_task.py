"""Training of a student on echoes with a teacher beside it that sees."""

from jaxtyping import Float
from torch import Tensor

from echodepth.data.sample import Sample
from echodepth.distillation.features import FeatureMatching
from echodepth.distillation.response import Response
from echodepth.distillation.teacher import FrozenTeacher
from echodepth.distillation.terms import Distillation, Term, View
from echodepth.models.store import DepthModel
from echodepth.training.config import DistillationConfig
from echodepth.training.depth_task import DepthTask
from echodepth.training.losses import l1_loss, mse_loss, silog_loss

KD_LOSSES = {"l1": l1_loss, "mse": mse_loss, "silog": silog_loss}


def build_distillation(config: DistillationConfig, student: DepthModel, teacher: DepthModel) -> Distillation:
    """The terms whose weights are not zero. A new term gets its flag in the config and its line here."""
    terms: dict[str, Term] = {}
    if config.lambda_kd:
        terms["kd"] = Response(KD_LOSSES[config.kd_loss])
    if config.lambda_feat:
        channels = student.feature_channels(), teacher.feature_channels()
        terms["feat"] = FeatureMatching(config.feature_levels, *channels)
    return Distillation(terms, {"kd": config.lambda_kd, "feat": config.lambda_feat})


class DistillationTask(DepthTask):
    """A student, its loss against measured depth, and the terms that carry over what the teacher sees.

    Args:
        model: the student, an echo model.
        teacher: frozen; not part of this module, so that no optimiser or checkpoint holds it.
        config: the run's flags.
    """

    def __init__(self, model: DepthModel, teacher: FrozenTeacher, config: DistillationConfig) -> None:
        super().__init__(model, config)
        self.teacher = teacher
        self.distillation = build_distillation(config, model, teacher.model)

    def losses(self, prepared: Float[Tensor, "b c h w"], batch: Sample) -> dict[str, Tensor]:
        """The supervised terms, the distillation's terms, and the sum of all as ``loss``."""
        depth, features = self.model.network(prepared, return_features=True)
        supervised = self.supervised(depth, batch)
        taught = self.distillation(View(depth, features), self.teacher.look(batch["image"]))
        total = supervised.pop("loss")
        return {**supervised, **taught, "loss": sum(taught.values(), total)}
