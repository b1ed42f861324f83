"""Supervised losses: one file a term, each registered in ``LOSSES``."""

from typing import TYPE_CHECKING

from echodepth.core.registry import Registry

if TYPE_CHECKING:
    from echodepth.losses.base import LossTerm

LOSSES: "Registry[type[LossTerm]]" = Registry("loss", "echodepth.losses")
"""Terms of the training loss by name."""
