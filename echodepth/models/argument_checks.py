"""Checks of constructor arguments and inputs that the networks share."""

from collections.abc import Sequence

from torch import Tensor

from echodepth.models.frontends.base import LARGEST_SIZE, MINIMUM_SIZE

LARGEST_WIDTH = 512
"""Largest base_channels: eight times the usual, 64 times as many weights."""


def check_network_arguments(base_channels: int, output_size: int | None) -> None:
    """Raise a ValueError that names a constructor argument out of range."""
    if base_channels < 1:
        raise ValueError(f"base_channels must be at least 1, not {base_channels}")
    if base_channels > LARGEST_WIDTH:
        raise ValueError(f"base_channels must be at most {LARGEST_WIDTH}, not {base_channels}")
    if output_size is None:
        return
    if output_size < 1:
        raise ValueError(f"output_size must be at least 1 pixel, not {output_size}")
    if output_size > LARGEST_SIZE:
        raise ValueError(f"output_size must be at most {LARGEST_SIZE} pixels, not {output_size}")


def check_binaural_arguments(attention_levels: Sequence[int], ear_channels: int) -> None:
    """Raise a ValueError that names an argument of a binaural network out of range."""
    if wrong := sorted(set(attention_levels) - {1, 2, 3, 4, 5}):
        raise ValueError(f"attention_levels must be out of 1 to 5, not {wrong}")
    if ear_channels < 1:
        raise ValueError(f"ear_channels must be at least 1, not {ear_channels}")
    if ear_channels > LARGEST_WIDTH:
        raise ValueError(f"ear_channels must be at most {LARGEST_WIDTH}, not {ear_channels}")


def check_input(x: Tensor, channels: int, argument: str, meaning: str) -> None:
    """Raise a ValueError that names ``argument`` when ``x`` is not [B, channels, H>=16, W>=16]."""
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"{argument} must be [B, {channels}, H, W] ({meaning}), not {list(x.shape)}")
    if min(x.shape[-2:]) < MINIMUM_SIZE:
        raise ValueError(f"{argument} must be at least {MINIMUM_SIZE} pixels high and wide, not {list(x.shape[-2:])}")
