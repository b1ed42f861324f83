"""Furniture, doors, windows and pictures, as pieces of a few blocks each.

A piece is made in its own frame: x along the wall, y away from it, z up, the back on y = 0 and the middle on x = 0.
`place` then moves it into the room. Sizes are metres, from EN 527-1 (tables), EN 1335-1 (chairs) and common products.
"""

import math

import numpy as np

from echodepth.simulate.rooms.materials import (
    BOOKS,
    CANVAS,
    CHAIR,
    CURTAIN,
    DOORS,
    GLASS,
    LACQUERS,
    RADIATOR,
    UPHOLSTERY,
    WALLS,
    WOODS,
    Material,
    Vector,
    draw_colour,
    draw_material,
)
from echodepth.simulate.rooms.scene import Block, Piece

DOOR_HEIGHT = 2.05
"""Height of a door, metres; no ceiling step is lower."""


def block(low: Vector, high: Vector, material: Material) -> Block:
    """Make a block from two opposite corners, with one material on all faces."""
    centre = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2)
    half = ((high[0] - low[0]) / 2, (high[1] - low[1]) / 2, (high[2] - low[2]) / 2)
    return Block(centre, half, 0.0, (material,) * 6)


def place(piece: Piece, x: float, y: float, yaw: float) -> Piece:
    """Rotate a piece about its origin by ``yaw`` radians and move it to a position on the floor, metres."""
    cosine, sine = math.cos(yaw), math.sin(yaw)
    return tuple(
        Block(
            (x + cosine * b.centre[0] - sine * b.centre[1], y + sine * b.centre[0] + cosine * b.centre[1], b.centre[2]),
            b.half,
            b.yaw + yaw,
            b.materials,
        )
        for b in piece
    )


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _legs(width: float, near: float, far: float, height: float, thick: float, material: Material) -> Piece:
    half = width / 2
    return tuple(
        block((x, y, 0.0), (x + thick, y + thick, height), material)
        for x in (-half, half - thick)
        for y in (near, far - thick)
    )


def table(rng: np.random.Generator) -> Piece:
    """Make a table: a top on four legs."""
    wood, width, depth, height = draw_material(rng, WOODS), _uniform(rng, 1.0, 1.8), _uniform(rng, 0.6, 0.9), 0.74
    top = block((-width / 2, 0.0, height - 0.04), (width / 2, depth, height), wood)
    return (top, *_legs(width, 0.0, depth, height - 0.04, 0.05, wood))


def chair(rng: np.random.Generator) -> Piece:
    """Make a chair: a seat on four legs, and a back."""
    wood, size, seat = draw_material(rng, (CHAIR,)), 0.44, 0.45
    top = block((-size / 2, 0.0, seat - 0.05), (size / 2, size, seat), wood)
    back = block((-size / 2, 0.0, seat + 0.12), (size / 2, 0.03, 0.90), wood)
    return (top, back, *_legs(size, 0.0, size, seat - 0.05, 0.035, wood))


def desk(rng: np.random.Generator) -> Piece:
    """Make a desk: a table with a chair in front of it."""
    top = table(rng)
    reach = top[0].centre[1] + top[0].half[1]
    return top + place(chair(rng), _uniform(rng, -0.2, 0.2), reach + _uniform(rng, 0.35, 0.55), math.pi)


def bookcase(rng: np.random.Generator) -> Piece:
    """Make a bookcase: rows of books between boards."""
    wood, width, height = draw_material(rng, WOODS), _uniform(rng, 0.8, 1.6), _uniform(rng, 1.4, 2.1)
    books = block((-width / 2 + 0.02, 0.0, 0.08), (width / 2 - 0.02, 0.28, height - 0.02), draw_material(rng, (BOOKS,)))
    sides = tuple(block((side - 0.02, 0.0, 0.0), (side + 0.02, 0.32, height), wood) for side in (-width / 2, width / 2))
    return (books, *sides, block((-width / 2, 0.0, height - 0.02), (width / 2, 0.32, height + 0.01), wood))


def cupboard(rng: np.random.Generator) -> Piece:
    """Make a cupboard: a closed box, low or tall."""
    front = draw_material(rng, LACQUERS + WOODS)
    width, depth = _uniform(rng, 0.6, 1.4), _uniform(rng, 0.4, 0.6)
    height = _uniform(rng, 0.7, 1.2) if rng.random() < 0.5 else _uniform(rng, 1.7, 2.1)
    return (block((-width / 2, 0.0, 0.0), (width / 2, depth, height), front),)


def sofa(rng: np.random.Generator) -> Piece:
    """Make a sofa: a seat, a back and two arms."""
    cloth, half = draw_material(rng, (UPHOLSTERY,)), _uniform(rng, 0.7, 1.1)
    arms = tuple(block((x - 0.1, 0.0, 0.0), (x + 0.1, 0.85, 0.6), cloth) for x in (-half, half))
    seat = block((-half, 0.0, 0.05), (half, 0.85, 0.42), cloth)
    return (seat, block((-half, 0.0, 0.42), (half, 0.22, 0.85), cloth), *arms)


def pillar(rng: np.random.Generator, height: float) -> Piece:
    """Make a square pillar from floor to ceiling."""
    half = _uniform(rng, 0.15, 0.3)
    return (block((-half, 0.0, 0.0), (half, 2 * half, height), draw_material(rng, WALLS)),)


def door(rng: np.random.Generator) -> Piece:
    """Make a closed door in its frame."""
    leaf, frame = draw_material(rng, DOORS), draw_material(rng, WOODS)
    sides = tuple(block((x - 0.04, 0.0, 0.0), (x + 0.04, 0.05, DOOR_HEIGHT + 0.04), frame) for x in (-0.47, 0.47))
    lintel = block((-0.43, 0.0, DOOR_HEIGHT), (0.43, 0.05, DOOR_HEIGHT + 0.04), frame)
    return (block((-0.43, 0.0, 0.0), (0.43, 0.02, DOOR_HEIGHT), leaf), *sides, lintel)


def open_door(rng: np.random.Generator) -> Piece:
    """Make a door leaf that stands open into the room, hinged on y = 0."""
    leaf = block((0.0, 0.0, 0.01), (0.86, 0.04, DOOR_HEIGHT), draw_material(rng, DOORS))
    return place((leaf,), 0.0, 0.03, _uniform(rng, 1.1, 1.9))


def window(rng: np.random.Generator) -> Piece:
    """Make a window: glass on a sill, often with a radiator below it or curtains beside it."""
    half, low, high = _uniform(rng, 0.5, 1.1), 0.95, _uniform(rng, 1.9, 2.3)
    pieces = [
        block((-half, 0.0, low), (half, 0.02, high), GLASS),
        block((-half - 0.05, 0.0, low - 0.04), (half + 0.05, 0.12, low), draw_material(rng, WOODS)),
    ]
    if rng.random() < 0.6:
        pieces.append(block((-half + 0.1, 0.03, 0.12), (half - 0.1, 0.13, 0.72), RADIATOR))
    if rng.random() < 0.3:
        cloth = draw_material(rng, (CURTAIN,))
        pieces += [block((x - 0.12, 0.0, 0.1), (x + 0.12, 0.1, high + 0.1), cloth) for x in (-half, half)]
    return tuple(pieces)


def picture(rng: np.random.Generator) -> Piece:
    """Make a picture: a canvas at eye height."""
    half, tall = _uniform(rng, 0.25, 0.7), _uniform(rng, 0.3, 0.5)
    canvas = draw_colour(rng, CANVAS)
    return (block((-half, 0.0, 1.5 - tall), (half, 0.03, 1.5 + tall), canvas),)


def radiator(rng: np.random.Generator) -> Piece:
    """Make a ribbed radiator on the wall."""
    half = _uniform(rng, 0.4, 0.8)
    return (block((-half, 0.04, 0.12), (half, 0.14, 0.72), RADIATOR),)
