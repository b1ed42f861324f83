"""Depth in a terminal: a character is two pixels, the upper in its own colour, the lower in its ground's."""

import numpy as np
from jaxtyping import Float, UInt8

from echodepth.report.figures import depth_to_rgb

_ASPECT = 57 / 86  # of the view that depth maps squeeze to a square
_RESET = "\x1b[0m"


def half_blocks(rgb: UInt8[np.ndarray, "h w 3"]) -> list[str]:
    """Lines of 24-bit colour for a picture of an even number of rows."""
    lines = []
    for upper, lower in zip(rgb[::2].tolist(), rgb[1::2].tolist(), strict=True):
        cells = (
            f"\x1b[38;2;{t[0]};{t[1]};{t[2]};48;2;{b[0]};{b[1]};{b[2]}m▀" for t, b in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + _RESET)
    return lines


def depth_lines(depth: Float[np.ndarray, "h w"], limit: float, columns: int) -> list[str]:
    """A depth map in metres, ``columns`` wide, on a scale from 0 to ``limit``."""
    rows = 2 * max(1, round(columns * _ASPECT / 2))
    height, width = depth.shape
    down, right = ((2 * np.arange(n) + 1) * side // (2 * n) for n, side in ((rows, height), (columns, width)))
    shown = depth[np.ix_(down, right)]
    return half_blocks(depth_to_rgb(shown, np.isfinite(shown), limit))


def scale_line(limit: float, columns: int) -> str:
    """The scale's colours from 0 to ``limit`` metres, with its ends in words."""
    bar = depth_to_rgb(np.linspace(0, limit, columns)[None].repeat(2, axis=0), np.ones((2, columns), dtype=bool), limit)
    return f"0 m {half_blocks(bar)[0]} {limit:g} m"


def side_by_side(titles: list[str], pictures: list[list[str]], columns: int) -> list[str]:
    """Pictures of one size next to each other, each below its title."""
    heading = "  ".join(f"{title:<{columns}}" for title in titles).rstrip()
    return [heading, *("  ".join(line) for line in zip(*pictures, strict=True))]
