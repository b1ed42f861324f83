"""The RGB teacher under its documented import path."""

from echodepth.models.networks.rgb_depth import RGBDepthNet, create_rgb_depth_model

__all__ = ["RGBDepthNet", "create_rgb_depth_model"]
