"""Front ends: from a sensor's output to a network's input."""

from typing import TYPE_CHECKING

from echodepth.core.registry import Registry

if TYPE_CHECKING:
    from echodepth.models.frontends.base import FrontEnd

FRONT_ENDS: "Registry[type[FrontEnd]]" = Registry("front end", "echodepth.models.frontends", "front_end")
