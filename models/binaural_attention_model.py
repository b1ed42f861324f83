"""The binaural student under its documented import path."""

from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet, create_binaural_attention_model

__all__ = ["BinauralAttentionDepthNet", "create_binaural_attention_model"]
