"""What stands in rooms and hangs on their walls, as pieces of a few blocks each.

A piece is made in a frame of its own, x along the wall, y away from it, z up, with its back on y = 0 and its middle
on x = 0, and is then put into a place. Sizes in metres: EN 527-1 tables, EN 1335-1 chairs and common products.
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
)
from echodepth.simulate.rooms.paint import painted, repainted
from echodepth.simulate.rooms.scene import Block, Piece

DOOR_HEIGHT = 2.05
"""Metres."""


def block(low: Vector, high: Vector, material: Material) -> Block:
    """A block between two corners, the same on all sides."""
    centre = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2)
    half = ((high[0] - low[0]) / 2, (high[1] - low[1]) / 2, (high[2] - low[2]) / 2)
    return Block(centre, half, 0.0, (material,) * 6)


def put(piece: Piece, x: float, y: float, yaw: float) -> Piece:
    """Turn a piece about its origin and bring it to a place on the floor."""
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


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _legs(width: float, near: float, far: float, height: float, thick: float, material: Material) -> Piece:
    half = width / 2
    return tuple(
        block((x, y, 0.0), (x + thick, y + thick, height), material)
        for x in (-half, half - thick)
        for y in (near, far - thick)
    )


def table(rng: np.random.Generator) -> Piece:
    """A top on four legs."""
    wood, width, depth, height = painted(rng, WOODS), _between(rng, 1.0, 1.8), _between(rng, 0.6, 0.9), 0.74
    top = block((-width / 2, 0.0, height - 0.04), (width / 2, depth, height), wood)
    return (top, *_legs(width, 0.0, depth, height - 0.04, 0.05, wood))


def chair(rng: np.random.Generator) -> Piece:
    """A seat on four legs, and a back."""
    wood, size, seat = painted(rng, (CHAIR,)), 0.44, 0.45
    top = block((-size / 2, 0.0, seat - 0.05), (size / 2, size, seat), wood)
    back = block((-size / 2, 0.0, seat + 0.12), (size / 2, 0.03, 0.90), wood)
    return (top, back, *_legs(size, 0.0, size, seat - 0.05, 0.035, wood))


def desk(rng: np.random.Generator) -> Piece:
    """A table with a chair before it."""
    top = table(rng)
    reach = top[0].centre[1] + top[0].half[1]
    return top + put(chair(rng), _between(rng, -0.2, 0.2), reach + _between(rng, 0.35, 0.55), math.pi)


def bookcase(rng: np.random.Generator) -> Piece:
    """Rows of books between boards."""
    wood, width, height = painted(rng, WOODS), _between(rng, 0.8, 1.6), _between(rng, 1.4, 2.1)
    books = block((-width / 2 + 0.02, 0.0, 0.08), (width / 2 - 0.02, 0.28, height - 0.02), painted(rng, (BOOKS,)))
    sides = tuple(block((side - 0.02, 0.0, 0.0), (side + 0.02, 0.32, height), wood) for side in (-width / 2, width / 2))
    return (books, *sides, block((-width / 2, 0.0, height - 0.02), (width / 2, 0.32, height + 0.01), wood))


def cupboard(rng: np.random.Generator) -> Piece:
    """A closed box, low or tall."""
    front = painted(rng, LACQUERS + WOODS)
    width, depth = _between(rng, 0.6, 1.4), _between(rng, 0.4, 0.6)
    height = _between(rng, 0.7, 1.2) if rng.random() < 0.5 else _between(rng, 1.7, 2.1)
    return (block((-width / 2, 0.0, 0.0), (width / 2, depth, height), front),)


def sofa(rng: np.random.Generator) -> Piece:
    """A seat, a back and two arms."""
    cloth, half = painted(rng, (UPHOLSTERY,)), _between(rng, 0.7, 1.1)
    arms = tuple(block((x - 0.1, 0.0, 0.0), (x + 0.1, 0.85, 0.6), cloth) for x in (-half, half))
    seat = block((-half, 0.0, 0.05), (half, 0.85, 0.42), cloth)
    return (seat, block((-half, 0.0, 0.42), (half, 0.22, 0.85), cloth), *arms)


def pillar(rng: np.random.Generator, height: float) -> Piece:
    """From floor to ceiling."""
    half = _between(rng, 0.15, 0.3)
    return (block((-half, 0.0, 0.0), (half, 2 * half, height), painted(rng, WALLS)),)


def door(rng: np.random.Generator) -> Piece:
    """A closed door in its frame."""
    leaf, frame = painted(rng, DOORS), painted(rng, WOODS)
    sides = tuple(block((x - 0.04, 0.0, 0.0), (x + 0.04, 0.05, DOOR_HEIGHT + 0.04), frame) for x in (-0.47, 0.47))
    lintel = block((-0.43, 0.0, DOOR_HEIGHT), (0.43, 0.05, DOOR_HEIGHT + 0.04), frame)
    return (block((-0.43, 0.0, 0.0), (0.43, 0.02, DOOR_HEIGHT), leaf), *sides, lintel)


def open_door(rng: np.random.Generator) -> Piece:
    """A leaf that stands open into the room, hinged on y = 0."""
    leaf = block((0.0, 0.0, 0.01), (0.86, 0.04, DOOR_HEIGHT), painted(rng, DOORS))
    return put((leaf,), 0.0, 0.03, _between(rng, 1.1, 1.9))


def window(rng: np.random.Generator) -> Piece:
    """Glass on a sill; often with a radiator below or a curtain beside it."""
    half, low, high = _between(rng, 0.5, 1.1), 0.95, _between(rng, 1.9, 2.3)
    pieces = [
        block((-half, 0.0, low), (half, 0.02, high), GLASS),
        block((-half - 0.05, 0.0, low - 0.04), (half + 0.05, 0.12, low), painted(rng, WOODS)),
    ]
    if rng.random() < 0.6:
        pieces.append(block((-half + 0.1, 0.03, 0.12), (half - 0.1, 0.13, 0.72), RADIATOR))
    if rng.random() < 0.3:
        cloth = painted(rng, (CURTAIN,))
        pieces += [block((x - 0.12, 0.0, 0.1), (x + 0.12, 0.1, high + 0.1), cloth) for x in (-half, half)]
    return tuple(pieces)


def picture(rng: np.random.Generator) -> Piece:
    """A canvas at eye height."""
    half, tall = _between(rng, 0.25, 0.7), _between(rng, 0.3, 0.5)
    canvas = repainted(rng, CANVAS)
    return (block((-half, 0.0, 1.5 - tall), (half, 0.03, 1.5 + tall), canvas),)


def radiator(rng: np.random.Generator) -> Piece:
    """A ribbed heater on the wall."""
    half = _between(rng, 0.4, 0.8)
    return (block((-half, 0.04, 0.12), (half, 0.14, 0.72), RADIATOR),)
