"""Networks: one file each, with its config and its layers."""

from typing import TYPE_CHECKING

from echodepth.core.registry import Registry

if TYPE_CHECKING:
    from echodepth.models.layers import DepthNet

NETWORKS: "Registry[type[DepthNet]]" = Registry("network", "echodepth.models.networks", "model")
