"""Front ends: from a sensor's output to a network's input."""

from typing import TYPE_CHECKING

from echodepth.core.registry import Registry

if TYPE_CHECKING:
    from echodepth.models.frontends.base import FrontEnd

FRONT_ENDS: "Registry[type[FrontEnd]]" = Registry("front end", "echodepth.models.frontends", "front_end")


def default_front_end(modality: str) -> str:
    """Name of the front end that models of a modality take unless another one is named."""
    return next(each.name for each in FRONT_ENDS if each.modality == modality and each.is_default)
