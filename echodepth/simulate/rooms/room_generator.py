"""Rooms by chance: offices, corridors, halls, L-rooms and two rooms with a doorway; and where a robot stands in them.

Sizes are those of public buildings, where BatVision V2 was recorded: corridors to 30 m and halls beside small rooms.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from echodepth.simulate.jit import jit
from echodepth.simulate.rooms import furniture
from echodepth.simulate.rooms.furniture import DOOR_HEIGHT, block, put
from echodepth.simulate.rooms.materials import CEILINGS, FLOORS, WALLS, Material
from echodepth.simulate.rooms.paint import painted
from echodepth.simulate.rooms.ray_casting import first_hit
from echodepth.simulate.rooms.scene import ROBOT_HEIGHT, Block, Kind, Piece, Pose, Room, World, corners_of

_SHARES: dict[Kind, float] = {"office": 0.2, "corridor": 0.3, "hall": 0.2, "l-room": 0.12, "two rooms": 0.18}
_SIZES: dict[Kind, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "office": ((4.0, 3.5, 2.5), (9.0, 7.0, 3.3)),
    "corridor": ((10.0, 1.8, 2.5), (30.0, 3.2, 3.5)),
    "hall": ((10.0, 8.0, 3.5), (24.0, 16.0, 6.0)),
    "l-room": ((6.0, 5.0, 2.5), (14.0, 11.0, 3.5)),
    "two rooms": ((8.0, 3.5, 2.5), (15.0, 8.0, 3.3)),
}
"""Length, width and height in metres, from and to."""

_PARTITION = 0.12  # metres thick
_MOST_BLOCKS = 90  # a room that has them is full
_CLEARANCE = 0.55  # metres along the floor between the head's centre and anything that the robot could touch
_REACH = 1.3  # metres: what begins higher than this does not stand in a robot's way
_TILT = math.radians(1.5)  # standard deviation of pitch and roll of a robot on an uneven floor
_PLACES, _HEADINGS = 128, 48


@dataclass(frozen=True)
class Wall:
    """A stretch of wall, seen with the room on its left: where it begins, its direction (radians), its length."""

    x: float
    y: float
    yaw: float
    length: float

    def hang(self, piece: Piece, along: float) -> Piece:
        """A piece with its back on the wall, its middle ``along`` metres from the wall's beginning."""
        x, y = self.x + along * math.cos(self.yaw), self.y + along * math.sin(self.yaw)
        return put(piece, x, y, self.yaw)


def _around(x: float, y: float, length: float, width: float) -> list[Wall]:
    return [
        Wall(x, y, 0.0, length),
        Wall(x + length, y, math.pi / 2, width),
        Wall(x + length, y + width, math.pi, length),
        Wall(x, y + width, 1.5 * math.pi, width),
    ]


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a room with its furniture and lamps."""
    kind = list(_SHARES)[int(rng.choice(len(_SHARES), p=list(_SHARES.values())))]
    length, width, height = (float(side) for side in rng.uniform(*_SIZES[kind]))
    wall, half = painted(rng, WALLS), (length / 2, width / 2, height / 2)
    feature = painted(rng, WALLS) if rng.random() < 0.4 else wall
    shell = Block(half, half, 0.0, (feature, wall, wall, wall, painted(rng, FLOORS), painted(rng, CEILINGS)))
    walls, structure = _structure(rng, kind, length, width, height, wall)
    room = Room(kind, shell, tuple(structure), _lamps(rng, kind, length, width, height))
    return _Furnisher(rng, room, walls).furnish()


def _structure(
    rng: np.random.Generator, kind: Kind, length: float, width: float, height: float, wall: Material
) -> tuple[list[Wall], list[Piece]]:
    """What divides a room, and the walls that there are then."""
    walls, pieces = _around(0.0, 0.0, length, width), list[Piece]()
    if kind == "l-room":
        a, b = float(rng.uniform(0.35, 0.6)) * length, float(rng.uniform(0.35, 0.6)) * width
        pieces.append((block((length - a, width - b, 0.0), (length, width, height), wall),))
        walls = [
            walls[0],
            Wall(length, 0.0, math.pi / 2, width - b),
            Wall(length, width - b, math.pi, a),
            Wall(length - a, width - b, math.pi / 2, b),
            Wall(length - a, width, math.pi, length - a),
            walls[3],
        ]
    elif kind == "two rooms":
        x, wide = float(rng.uniform(0.35, 0.65)) * length, float(rng.uniform(0.9, 1.6))
        y = float(rng.uniform(0.4, width - wide - 0.4))
        west, east = x - _PARTITION / 2, x + _PARTITION / 2
        pieces.append(
            (
                block((west, 0.0, 0.0), (east, y, height), wall),
                block((west, y + wide, 0.0), (east, width, height), wall),
                block((west, y, DOOR_HEIGHT), (east, y + wide, height), wall),
            )
        )
        if rng.random() < 0.6:
            pieces.append(put(furniture.open_door(rng), east, y, -math.pi / 2 + 0.0))
        walls = [*_around(0.0, 0.0, west, width), *_around(east, 0.0, length - east, width)]
        del walls[7], walls[1]
    if rng.random() < 0.35:
        pieces += _ceiling_steps(rng, length, width, height)
    return walls, pieces


def _ceiling_steps(rng: np.random.Generator, length: float, width: float, height: float) -> list[Piece]:
    """Beams across the room, or a lower part of the ceiling; no lower than a door."""
    material, drop = painted(rng, CEILINGS), min(float(rng.uniform(0.2, 0.6)), height - DOOR_HEIGHT - 0.15)
    if rng.random() < 0.5:
        start = float(rng.uniform(0.2, 0.8)) * length
        return [(block((start, 0.0, height - drop), (length, width, height), material),)]
    count = int(rng.integers(1, 5))
    return [
        (block((x - 0.15, 0.0, height - drop), (x + 0.15, width, height), material),)
        for x in (np.arange(count) + 0.5) / count * length
    ]


def _lamps(
    rng: np.random.Generator, kind: Kind, length: float, width: float, height: float
) -> tuple[tuple[float, float, float], ...]:
    rows = 2 if kind in ("hall", "l-room") else 1
    count = int(np.clip(round(length / 4), 2, 4 if rows == 1 else 3))
    return tuple(
        (
            (column + float(rng.uniform(0.3, 0.7))) / count * length,
            (row + float(rng.uniform(0.3, 0.7))) / rows * width,
            height - 0.7,
        )
        for column in range(count)
        for row in range(rows)
    )


class _Furnisher:
    """Puts pieces where they do not touch each other, until a room is full enough."""

    def __init__(self, rng: np.random.Generator, room: Room, walls: list[Wall]) -> None:
        self.rng, self.room, self.walls = rng, room, walls
        self.pieces = list(room.pieces)
        self.taken = [self._footprint(piece, 0.05) for piece in room.pieces if self._stands(piece)]
        if room.kind == "two rooms":  # nothing stands in the way through the door
            low, _, high = (block.centre for block in room.pieces[0])
            self.taken.append((low[0] - 1.0, high[1] - 1.0, low[0] + 1.0, high[1] + 1.0))

    def furnish(self) -> Room:
        """Along the walls first, then in the open."""
        for wall in self.walls:
            self._line(wall)
        if self.room.kind != "corridor":
            self._fill()
        return Room(self.room.kind, self.room.shell, tuple(self.pieces), self.room.lights)

    def _line(self, wall: Wall) -> None:
        narrow = self.room.kind == "corridor"
        makers: tuple[Callable[[np.random.Generator], Piece], ...] = (
            (furniture.door, furniture.door, furniture.picture, furniture.radiator, furniture.bookcase)
            if narrow
            else (
                furniture.window,
                furniture.picture,
                furniture.door,
                furniture.bookcase,
                furniture.cupboard,
                furniture.desk,
                furniture.sofa,
                furniture.radiator,
            )
        )
        along = float(self.rng.uniform(0.6, 1.8))
        while along < wall.length - 0.6:
            if narrow and self.rng.random() < 0.15:
                piece = furniture.pillar(self.rng, float(self.room.size[2]))
            else:
                piece = makers[int(self.rng.integers(len(makers)))](self.rng)
            self._try(wall.hang(piece, along))
            along += float(self.rng.uniform(1.2, 4.0 if narrow else 3.2))

    def _fill(self) -> None:
        length, width, height = (float(side) for side in self.room.size)
        if self.room.kind == "hall" and self.rng.random() < 0.7:
            self._colonnade(length, width, height)
        makers = (furniture.table, furniture.desk, furniture.chair, furniture.sofa, furniture.cupboard)
        for _ in range(int(self.rng.integers(1, 4 + int(length * width / 25)))):
            piece = makers[int(self.rng.integers(len(makers)))](self.rng)
            x, y = (float(value) for value in self.rng.uniform((1.0, 1.0), (length - 1.0, width - 1.0)))
            self._try(put(piece, x, y, float(self.rng.uniform(-math.pi, math.pi))))

    def _colonnade(self, length: float, width: float, height: float) -> None:
        rows, spacing = int(self.rng.integers(1, 3)), float(self.rng.uniform(3.0, 5.0))
        one = furniture.pillar(self.rng, height)
        for row in range(rows):
            for x in np.arange(spacing / 2, length - 1.0, spacing):
                self._try(put(one, float(x), (row + 1) * width / (rows + 1), 0.0))

    def _try(self, piece: Piece) -> None:
        """Keep a piece if it lies in the room, clear of all others, and the room is not full."""
        if sum(map(len, self.pieces)) + len(piece) > _MOST_BLOCKS:
            return
        length, width, height = (float(side) for side in self.room.size)
        x0, y0, x1, y1 = self._footprint(piece, 0.0)
        top = max(block.centre[2] + block.half[2] for block in piece)
        if min(x0, y0) < -1e-6 or x1 > length + 1e-6 or y1 > width + 1e-6 or top > height + 1e-6:
            return
        if any(x0 < c and a < x1 and y0 < d and b < y1 for a, b, c, d in self.taken):
            return
        self.pieces.append(piece)
        self.taken.append(self._footprint(piece, 0.15))

    @staticmethod
    def _stands(piece: Piece) -> bool:
        return any(block.centre[2] - block.half[2] < DOOR_HEIGHT for block in piece)

    @staticmethod
    def _footprint(piece: Piece, margin: float) -> tuple[float, float, float, float]:
        standing = [b for b in piece if b.centre[2] - b.half[2] < DOOR_HEIGHT]
        corners = np.concatenate([corners_of(block) for block in standing], axis=1)[:2]
        (x0, y0), (x1, y1) = corners.min(axis=1) - margin, corners.max(axis=1) + margin
        return float(x0), float(y0), float(x1), float(y1)


@jit
def clearance(world: World, x: float, y: float) -> float:
    """Metres along the floor from a place to the nearest wall or thing in a robot's way; 0 inside one."""
    shell = world.blocks[0]
    nearest = min(shell[3] - abs(x - shell[0]), shell[4] - abs(y - shell[1]))
    for index in range(1, world.blocks.shape[0]):
        block = world.blocks[index]
        if block[2] - block[5] > _REACH:
            continue
        rx, ry = x - block[0], y - block[1]
        across = max(abs(block[6] * rx + block[7] * ry) - block[3], 0.0)
        beyond = max(abs(block[6] * ry - block[7] * rx) - block[4], 0.0)
        nearest = min(nearest, np.hypot(across, beyond))
    return float(nearest)


@jit
def _view(world: World, x: float, y: float, yaws: Float[np.ndarray, " n"], free: Float[np.ndarray, " n"]) -> None:
    """Write how far one sees at head's height in each direction."""
    for index in range(yaws.size):
        free[index] = first_hit(world, x, y, ROBOT_HEIGHT, np.cos(yaws[index]), np.sin(yaws[index]), 0.0)[0]


def draw_pose(rng: np.random.Generator, room: Room) -> Pose:
    """Draw a place with free floor around it, and a heading.

    Headings are drawn with a chance that grows with the free way ahead, as a robot that drives there has them. Where
    a room has no such place, the freest of those tried is taken.
    """
    length, width, _ = room.size
    places = rng.uniform((0, 0), (length, width), (_PLACES, 2))
    offset, chance = float(rng.uniform(0, 2 * math.pi)), float(rng.random())
    pitch, roll = (float(angle) for angle in rng.normal(0, _TILT, 2))
    around = np.array([clearance(room.world, float(x), float(y)) for x, y in places])
    chosen = int(np.argmax(around > _CLEARANCE)) if (around > _CLEARANCE).any() else int(np.argmax(around))
    x, y = (float(value) for value in places[chosen])
    yaws, free = offset + 2 * math.pi * np.arange(_HEADINGS) / _HEADINGS, np.empty(_HEADINGS)
    _view(room.world, x, y, yaws, free)
    heading = int(np.searchsorted(np.cumsum(free**2.5) / (free**2.5).sum(), chance))
    return Pose((x, y, ROBOT_HEIGHT), float(yaws[min(heading, _HEADINGS - 1)]), pitch, roll)
