"""Patterns of a fixed size in metres, so that an image shows how far a surface is.

Every pattern fades to its mean where a pixel spans a period: there is no moiré.
"""

import numpy as np

from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.materials import PATTERNS

_MOTTLE, _PLANKS, _TILES, _BRICKS, _STRIPES, _CHECKS, _PICTURE, _PANES, _BOOKS = (
    PATTERNS.index(name)
    for name in ("mottle", "planks", "tiles", "bricks", "stripes", "checks", "picture", "panes", "books")
)


@jit
def noise(u: float, v: float) -> float:
    """A number in 0..1 for each pair of numbers, to a sixteenth, the same in every room."""
    key = int(np.floor(16 * u)) * 73856093 ^ int(np.floor(16 * v)) * 19349663
    key = (key ^ (key >> 13)) * 1274126177
    key = (key ^ (key >> 16)) * 668265263
    return ((key ^ (key >> 15)) & 0xFFFFFF) / 0x1000000


@jit
def cloud(u: float, v: float) -> float:
    """Smooth noise in 0..1 with one free value for each pair of whole numbers."""
    left, low = np.floor(u), np.floor(v)
    right, high = u - left, v - low
    right, high = right**2 * (3 - 2 * right), high**2 * (3 - 2 * high)
    below = noise(left, low) * (1 - right) + noise(left + 1, low) * right
    above = noise(left, low + 1) * (1 - right) + noise(left + 1, low + 1) * right
    return float(below * (1 - high) + above * high)


@jit
def _line(place: float, width: float, pixel: float) -> float:
    """A line at every whole number; one thinner than a pixel is drawn a pixel wide and fainter, not as dashes."""
    drawn = max(width, pixel)
    return width / drawn if place - np.floor(place) < drawn else 0.0


@jit
def _rows(pattern: int, u: float, v: float, fine: float) -> float:
    """The patterns that are laid in rows: planks, tiles, bricks."""
    if pattern == _PLANKS:
        row = np.floor(v)
        shade = 0.8 + 0.2 * noise(row, np.floor(u / 8 + noise(row, 0.0)))
        return float(shade * (1 - 0.6 * _line(v, 0.06, fine)))
    if pattern == _TILES:
        shade = 0.9 + 0.1 * noise(np.floor(u), np.floor(v))
        return float(shade * (1 - 0.6 * _line(u, 0.04, fine)) * (1 - 0.6 * _line(v, 0.04, fine)))
    course = np.floor(3 * v)  # a course is a third of a brick's length high
    shifted = u + 0.5 * (course % 2)
    shade = 0.75 + 0.25 * noise(np.floor(shifted), course)
    mortar = max(_line(shifted, 0.05, fine), _line(3 * v, 0.15, 3 * fine))
    return float(shade + mortar * (1.3 - shade))


@jit
def grey(pattern: int, u: float, v: float, fine: float) -> float:
    """Factor on a material's colour.

    Args:
        pattern: place in ``PATTERNS``.
        u: place along the surface, in periods.
        v: the same, upwards.
        fine: a pixel's width there, in periods.
    """
    shade = 0.9
    if pattern == _MOTTLE:
        shade = 0.8 + 0.2 * cloud(u, v)
    elif pattern in (_PLANKS, _TILES, _BRICKS):
        shade = _rows(pattern, u, v, fine)
    elif pattern == _STRIPES:
        shade = 1.0 if u - np.floor(u) < 0.5 else 0.8
    elif pattern == _CHECKS:
        shade = 0.7 + 0.3 * ((np.floor(u) + np.floor(v)) % 2)
    contrast = min(max(1.5 - 2 * fine, 0.0), 1.0)
    return 0.9 + (shade - 0.9) * contrast


@jit
def coloured(pattern: int, u: float, v: float, fine: float, seed: float) -> tuple[float, float, float]:
    """Factors on red, green and blue: those of `grey`, or of the patterns that bring colours of their own.

    Args:
        pattern: place in ``PATTERNS``.
        u: place along the surface, in periods.
        v: the same, upwards.
        fine: a pixel's width there, in periods.
        seed: tells one picture, or one shelf, from another.
    """
    if pattern == _PICTURE:
        # Three soft colour fields, warped, as an abstract painting.
        field = np.floor(3 * cloud(4 * u + seed, 4 * v + 7 * seed) + 2 * v)
        return 0.5 + noise(field, seed), 0.5 + noise(field + 11, seed), 0.5 + noise(field + 23, seed)
    if pattern == _BOOKS:
        shelf = np.floor(v)
        spine = np.floor(7 * u + 2 * noise(shelf, seed))  # a spine is about 4 cm of a 30 cm shelf
        contrast = min(max(1.5 - 14 * fine, 0.0), 1.0)
        top = v - shelf > 0.78 + 0.18 * noise(spine, shelf + seed)
        dark = 0.25 if top else 1.0
        red, green, blue = noise(spine, shelf), noise(spine + 3, shelf), noise(spine + 5, shelf)
        return (
            dark * (0.8 + contrast * (red - 0.5)),
            dark * (0.8 + contrast * (green - 0.5)),
            dark * (0.8 + contrast * (blue - 0.5)),
        )
    if pattern == _PANES:
        bars = max(_line(u, 0.08, fine), _line(v, 0.08, fine))
        sky = (0.85 + 0.15 * min(v / 2, 1.0)) * (1 - 0.7 * bars)
        return sky, sky, sky
    shade = grey(pattern, u, v, fine)
    return shade, shade, shade
