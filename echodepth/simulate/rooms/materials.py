"""Materials: texture, colour and gloss of a surface, and its sound absorption and scattering per octave band.

Absorption coefficients are the table in the annex of Vorländer, Auralization (Springer 2008), under the row names of
pyroomacoustics. Scattering coefficients are from the same annex where it has a row (tables and chairs, audience);
otherwise they are what Odeon's manual suggests for the middle frequencies (smooth surfaces 0.02 to 0.05, brick with
open joints 0.1 to 0.2, a shelf with books 0.3), equal in all octaves. Above a row's last octave its last value holds.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

Vector = tuple[float, float, float]
Pattern = Literal["plain", "mottle", "planks", "tiles", "bricks", "stripes", "checks", "picture", "panes", "books"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)

OCTAVES = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)
"""Centre frequencies of the octave bands of the acoustic simulation, Hz (IEC 61260-1)."""


@dataclass(frozen=True)
class Material:
    """Optical and acoustic properties of a surface.

    Attributes:
        name: row of the absorption table.
        pattern: texture.
        period: metres after which the texture repeats; fixed per material, so that an image has a metric scale.
        colour: linear RGB reflectance in 0..1.
        absorption: absorption coefficient per octave band: share of the sound energy that is not reflected.
        scattering: scattering coefficient per octave band (ISO 17497-1): share of the reflected energy that leaves by
            Lambert's law instead of specularly.
        gloss: share of the light that is reflected specularly: 0 is matt, 1 is glass. A depth camera fails on glossy
            surfaces.
    """

    name: str
    pattern: Pattern
    period: float
    colour: Vector
    absorption: tuple[float, ...]
    scattering: tuple[float, ...]
    gloss: float = 0.0


def _all_octaves(values: tuple[float, ...]) -> tuple[float, ...]:
    return values + values[-1:] * (len(OCTAVES) - len(values))


_ABSORPTION = {
    "brickwork": (0.01, 0.02, 0.02, 0.03, 0.03, 0.04, 0.04),  # rendered
    "rough_concrete": (0.02, 0.03, 0.03, 0.03, 0.04, 0.07, 0.07),
    "smooth_brickwork_10mm_pointing": (0.08, 0.09, 0.12, 0.16, 0.22, 0.24, 0.24),
    "plasterboard": (0.15, 0.10, 0.06, 0.04, 0.04, 0.05, 0.05),  # on a steel frame
    "wooden_lining": (0.27, 0.23, 0.22, 0.15, 0.10, 0.07, 0.06),
    "stage_floor": (0.10, 0.07, 0.06, 0.06, 0.06, 0.06),  # wood over an airspace
    "ceramic_tiles": (0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.02),
    "marble_floor": (0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.02),
    "carpet_thin": (0.02, 0.04, 0.08, 0.20, 0.35, 0.40),  # cemented to concrete
    "linoleum_on_concrete": (0.02, 0.03, 0.03, 0.03, 0.03, 0.02),
    "ceiling_plasterboard": (0.20, 0.15, 0.10, 0.08, 0.04, 0.02),  # on battens
    "ceiling_fissured_tile": (0.49, 0.53, 0.53, 0.75, 0.92, 0.99),
    "wood_16mm": (0.18, 0.12, 0.10, 0.09, 0.08, 0.07, 0.07),
    "wooden_door": (0.14, 0.10, 0.06, 0.08, 0.10, 0.10, 0.10),
    "hard_surface": (0.02, 0.02, 0.03, 0.03, 0.04, 0.05, 0.05),
    "chairs_upholstered_cloth": (0.44, 0.60, 0.77, 0.89, 0.82, 0.70, 0.70),
    "chairs_wooden": (0.05, 0.08, 0.10, 0.12, 0.12, 0.12),
    "double_glazing_30mm": (0.15, 0.05, 0.03, 0.03, 0.02, 0.02, 0.02),
    "curtains_fabric": (0.10, 0.38, 0.63, 0.52, 0.55, 0.65),
}
_SMOOTH, _JOINTS, _BOOKS = (0.05,), (0.15,), (0.30,)  # Odeon's manual
_TABLES = (0.2, 0.3, 0.4, 0.5, 0.5, 0.6, 0.6)  # Vorländer: rows of classroom tables and persons on chairs
_AUDIENCE = (0.3, 0.5, 0.6, 0.6, 0.7, 0.7, 0.7)  # Vorländer: theatre audience


def _material(
    name: str, pattern: Pattern, period: float, colour: Vector, scattering: tuple[float, ...], gloss: float = 0.0
) -> Material:
    return Material(name, pattern, period, colour, _all_octaves(_ABSORPTION[name]), _all_octaves(scattering), gloss)


WALLS = (
    _material("brickwork", "mottle", 0.15, (0.75, 0.72, 0.66), _SMOOTH),
    _material("plasterboard", "stripes", 0.20, (0.60, 0.68, 0.66), _SMOOTH),  # papered
    _material("plasterboard", "mottle", 0.30, (0.78, 0.78, 0.74), _SMOOTH),  # painted
    _material("smooth_brickwork_10mm_pointing", "bricks", 0.25, (0.55, 0.27, 0.19), _JOINTS),
    _material("wooden_lining", "planks", 0.14, (0.52, 0.36, 0.22), _SMOOTH),
    _material("rough_concrete", "mottle", 0.60, (0.52, 0.51, 0.49), _SMOOTH),
)
FLOORS = (
    _material("stage_floor", "planks", 0.12, (0.45, 0.30, 0.18), _SMOOTH),
    _material("ceramic_tiles", "tiles", 0.30, (0.62, 0.60, 0.56), _SMOOTH, gloss=0.3),
    _material("marble_floor", "checks", 0.50, (0.66, 0.64, 0.60), _SMOOTH, gloss=0.4),
    _material("carpet_thin", "mottle", 0.05, (0.30, 0.33, 0.42), _SMOOTH),
    _material("linoleum_on_concrete", "checks", 0.60, (0.48, 0.50, 0.46), _SMOOTH, gloss=0.1),
)
CEILINGS = (
    _material("ceiling_plasterboard", "mottle", 0.15, (0.85, 0.84, 0.82), _SMOOTH),
    _material("ceiling_fissured_tile", "tiles", 0.60, (0.80, 0.80, 0.78), _JOINTS),
    _material("rough_concrete", "planks", 0.50, (0.60, 0.59, 0.57), _SMOOTH),  # with the marks of its boards
)
WOODS = (
    _material("wood_16mm", "planks", 0.25, (0.48, 0.30, 0.16), _SMOOTH),
    _material("wood_16mm", "plain", 1.0, (0.72, 0.70, 0.66), _SMOOTH, gloss=0.1),
)
LACQUERS = (
    _material("hard_surface", "plain", 1.0, (0.42, 0.45, 0.50), _SMOOTH, gloss=0.2),
    _material("hard_surface", "plain", 1.0, (0.66, 0.64, 0.58), _SMOOTH, gloss=0.2),
)
DOORS = (
    _material("wooden_door", "plain", 1.0, (0.42, 0.26, 0.14), _SMOOTH),
    _material("wooden_door", "plain", 1.0, (0.70, 0.70, 0.68), _SMOOTH, gloss=0.1),
)
UPHOLSTERY = _material("chairs_upholstered_cloth", "mottle", 0.08, (0.50, 0.12, 0.14), _AUDIENCE)
CHAIR = _material("chairs_wooden", "plain", 1.0, (0.36, 0.24, 0.14), _TABLES)
BOOKS = _material("wood_16mm", "books", 0.30, (0.55, 0.45, 0.38), _BOOKS)
RADIATOR = _material("hard_surface", "stripes", 0.06, (0.80, 0.79, 0.76), _JOINTS, gloss=0.1)
CANVAS = _material("wood_16mm", "picture", 1.0, (0.60, 0.55, 0.50), _SMOOTH)
GLASS = _material("double_glazing_30mm", "panes", 0.70, (0.75, 0.80, 0.85), _SMOOTH, gloss=1.0)
CURTAIN = _material("curtains_fabric", "stripes", 0.16, (0.55, 0.50, 0.40), _AUDIENCE)


def draw_material(rng: np.random.Generator, choices: tuple[Material, ...]) -> Material:
    """Draw one of several materials and vary its brightness by -25 to +15 % and its tint by 15 %."""
    material = choices[rng.integers(len(choices))]
    tint = rng.uniform(0.75, 1.15) * rng.uniform(0.85, 1.15, 3)
    return _with_colour(material, tint * material.colour)


def draw_colour(rng: np.random.Generator, material: Material) -> Material:
    """Give a material a random colour."""
    return _with_colour(material, rng.uniform(0.1, 0.9, 3))


def _with_colour(material: Material, colour: np.ndarray) -> Material:
    red, green, blue = (float(value) for value in np.clip(colour, 0.03, 0.95))
    return replace(material, colour=(red, green, blue))
