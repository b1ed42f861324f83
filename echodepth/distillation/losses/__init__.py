"""Distillation losses: one file a loss, each registered in ``DISTILLATION_LOSSES``."""

from echodepth.core.registry import Registry
from echodepth.distillation.losses.base import DistillationLossConfig

DISTILLATION_LOSSES: Registry[type[DistillationLossConfig]] = Registry(
    "distillation loss", "echodepth.distillation.losses"
)
"""Config classes of the distillation losses by name."""
