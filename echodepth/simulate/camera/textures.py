"""Procedural textures of a fixed size in metres, so that an image contains a cue for distance.

Every pattern fades to its mean where a pixel spans a period, which prevents moiré.
"""

import numpy as np

from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.materials import PATTERNS

_MOTTLE, _PLANKS, _TILES, _BRICKS, _STRIPES, _CHECKS, _PICTURE, _PANES, _BOOKS = (
    PATTERNS.index(name)
    for name in ("mottle", "planks", "tiles", "bricks", "stripes", "checks", "picture", "panes", "books")
)


@jit
def hash_noise(u: float, v: float) -> float:
    """Pseudo-random number in 0..1 for each cell of a grid with a spacing of 1/16, the same in every room."""
    key = int(np.floor(16 * u)) * 73856093 ^ int(np.floor(16 * v)) * 19349663
    key = (key ^ (key >> 13)) * 1274126177
    key = (key ^ (key >> 16)) * 668265263
    return ((key ^ (key >> 15)) & 0xFFFFFF) / 0x1000000


@jit
def value_noise(u: float, v: float) -> float:
    """Smooth noise in 0..1 that interpolates between pseudo-random values at whole numbers."""
    left, low = np.floor(u), np.floor(v)
    right, high = u - left, v - low
    right, high = right**2 * (3 - 2 * right), high**2 * (3 - 2 * high)
    below = hash_noise(left, low) * (1 - right) + hash_noise(left + 1, low) * right
    above = hash_noise(left, low + 1) * (1 - right) + hash_noise(left + 1, low + 1) * right
    return float(below * (1 - high) + above * high)


@jit
def _line(coordinate: float, width: float, pixel: float) -> float:
    """A line at every whole number. A line thinner than a pixel is drawn one pixel wide and fainter."""
    drawn = max(width, pixel)
    return width / drawn if coordinate - np.floor(coordinate) < drawn else 0.0


@jit
def _row_pattern(pattern: int, u: float, v: float, pixel: float) -> float:
    """Patterns that consist of rows: planks, tiles, bricks."""
    if pattern == _PLANKS:
        row = np.floor(v)
        shade = 0.8 + 0.2 * hash_noise(row, np.floor(u / 8 + hash_noise(row, 0.0)))
        return float(shade * (1 - 0.6 * _line(v, 0.06, pixel)))
    if pattern == _TILES:
        shade = 0.9 + 0.1 * hash_noise(np.floor(u), np.floor(v))
        return float(shade * (1 - 0.6 * _line(u, 0.04, pixel)) * (1 - 0.6 * _line(v, 0.04, pixel)))
    course = np.floor(3 * v)  # a course is a third of a brick's length high
    shifted = u + 0.5 * (course % 2)
    shade = 0.75 + 0.25 * hash_noise(np.floor(shifted), course)
    mortar = max(_line(shifted, 0.05, pixel), _line(3 * v, 0.15, 3 * pixel))
    return float(shade + mortar * (1.3 - shade))


@jit
def texture_shade(pattern: int, u: float, v: float, pixel: float) -> float:
    """Factor on a material's colour, the same for all channels.

    Args:
        pattern: index in ``PATTERNS``.
        u: horizontal coordinate on the surface, in periods.
        v: vertical coordinate, in periods.
        pixel: width of a pixel on the surface, in periods.
    """
    shade = 0.9
    if pattern == _MOTTLE:
        shade = 0.8 + 0.2 * value_noise(u, v)
    elif pattern in (_PLANKS, _TILES, _BRICKS):
        shade = _row_pattern(pattern, u, v, pixel)
    elif pattern == _STRIPES:
        shade = 1.0 if u - np.floor(u) < 0.5 else 0.8
    elif pattern == _CHECKS:
        shade = 0.7 + 0.3 * ((np.floor(u) + np.floor(v)) % 2)
    contrast = min(max(1.5 - 2 * pixel, 0.0), 1.0)
    return 0.9 + (shade - 0.9) * contrast


@jit
def texture_colour(pattern: int, u: float, v: float, pixel: float, seed: float) -> tuple[float, float, float]:
    """Factors on red, green and blue.

    Args:
        pattern: index in ``PATTERNS``.
        u: horizontal coordinate on the surface, in periods.
        v: vertical coordinate, in periods.
        pixel: width of a pixel on the surface, in periods.
        seed: varies pictures and bookshelves.
    """
    if pattern == _PICTURE:
        # Three soft colour fields, warped, as an abstract painting.
        field = np.floor(3 * value_noise(4 * u + seed, 4 * v + 7 * seed) + 2 * v)
        return 0.5 + hash_noise(field, seed), 0.5 + hash_noise(field + 11, seed), 0.5 + hash_noise(field + 23, seed)
    if pattern == _BOOKS:
        shelf = np.floor(v)
        spine = np.floor(7 * u + 2 * hash_noise(shelf, seed))  # a spine is about 4 cm of a 30 cm shelf
        contrast = min(max(1.5 - 14 * pixel, 0.0), 1.0)
        top = v - shelf > 0.78 + 0.18 * hash_noise(spine, shelf + seed)
        dark = 0.25 if top else 1.0
        red, green, blue = hash_noise(spine, shelf), hash_noise(spine + 3, shelf), hash_noise(spine + 5, shelf)
        return (
            dark * (0.8 + contrast * (red - 0.5)),
            dark * (0.8 + contrast * (green - 0.5)),
            dark * (0.8 + contrast * (blue - 0.5)),
        )
    if pattern == _PANES:
        bars = max(_line(u, 0.08, pixel), _line(v, 0.08, pixel))
        sky = (0.85 + 0.15 * min(v / 2, 1.0)) * (1 - 0.7 * bars)
        return sky, sky, sky
    shade = texture_shade(pattern, u, v, pixel)
    return shade, shade, shade
