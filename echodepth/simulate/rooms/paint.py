"""Colours of a room's things: a material keeps its texture and its sound, its colour varies."""

from dataclasses import replace

import numpy as np

from echodepth.simulate.rooms.materials import Material


def painted(rng: np.random.Generator, choices: tuple[Material, ...]) -> Material:
    """Take one of several materials, up to a quarter darker or a little brighter and tinted."""
    material = choices[rng.integers(len(choices))]
    tint = rng.uniform(0.75, 1.15) * rng.uniform(0.85, 1.15, 3)
    return _coloured(material, tint * material.colour)


def repainted(rng: np.random.Generator, material: Material) -> Material:
    """The material in any colour."""
    return _coloured(material, rng.uniform(0.1, 0.9, 3))


def _coloured(material: Material, colour: np.ndarray) -> Material:
    red, green, blue = (float(value) for value in np.clip(colour, 0.03, 0.95))
    return replace(material, colour=(red, green, blue))
