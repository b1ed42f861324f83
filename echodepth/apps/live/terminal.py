"""Depth maps in a terminal: one character shows two pixels, by its foreground and its background colour."""

import numpy as np
from jaxtyping import Float, UInt8

from echodepth.core.field_of_view import FieldOfView
from echodepth.core.sampling import pixel_centres
from echodepth.report.figures import depth_to_rgb

_RESET = "\x1b[0m"


def half_blocks(rgb: UInt8[np.ndarray, "h w 3"]) -> list[str]:
    """Lines of text in 24-bit colour for an image with an even number of rows."""
    lines = []
    for upper, lower in zip(rgb[::2].tolist(), rgb[1::2].tolist(), strict=True):
        cells = (
            f"\x1b[38;2;{t[0]};{t[1]};{t[2]};48;2;{b[0]};{b[1]};{b[2]}m▀" for t, b in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + _RESET)
    return lines


def depth_lines(depth: Float[np.ndarray, "h w"], limit: float, columns: int, camera: FieldOfView) -> list[str]:
    """Draw a square depth map in metres in the shape of its camera, ``columns`` wide, from 0 to ``limit``."""
    rows = 2 * max(1, round(columns / camera.aspect_ratio / 2))
    height, width = depth.shape
    drawn = depth[np.ix_(pixel_centres(height, rows), pixel_centres(width, columns))]
    return half_blocks(depth_to_rgb(drawn, np.isfinite(drawn), limit))


def scale_line(limit: float, columns: int) -> str:
    """Draw the colour scale from 0 to ``limit`` metres, with labels at its ends."""
    bar = depth_to_rgb(np.linspace(0, limit, columns)[None].repeat(2, axis=0), np.ones((2, columns), dtype=bool), limit)
    return f"0 m {half_blocks(bar)[0]} {limit:g} m"


def side_by_side(titles: list[str], drawings: list[list[str]], columns: int) -> list[str]:
    """Join drawings of equal size horizontally, each below its title."""
    heading = "  ".join(f"{title:<{columns}}" for title in titles).rstrip()
    return [heading, *("  ".join(line) for line in zip(*drawings, strict=True))]
