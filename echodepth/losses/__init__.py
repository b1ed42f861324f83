"""Supervised losses: one file a term, each registered in ``LOSSES``."""

from echodepth.core.registry import Registry
from echodepth.losses.base import LossTerm

LOSSES: Registry[type[LossTerm]] = Registry("loss", "echodepth.losses")
"""Terms of the training loss by name."""
