"""Random rooms (offices, corridors, halls, L-shaped rooms, two rooms with a doorway) and poses of the robot in them.

Sizes are those of public buildings, where BatVision V2 was recorded: corridors up to 30 m, halls and small rooms.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from echodepth.simulate.jit import jit
from echodepth.simulate.rig import DEFAULT_RIG
from echodepth.simulate.rooms import furniture
from echodepth.simulate.rooms.furniture import DOOR_HEIGHT, block, place
from echodepth.simulate.rooms.materials import CEILINGS, FLOORS, WALLS, Material, Vector, draw_material
from echodepth.simulate.rooms.ray_casting import block_coordinates, first_hit
from echodepth.simulate.rooms.scene import Block, Piece, Pose, Room, RoomKind, Scene, corners_of

_PROBABILITIES: dict[RoomKind, float] = {"office": 0.2, "corridor": 0.3, "hall": 0.2, "l-room": 0.12, "two rooms": 0.18}
_SIZES: dict[RoomKind, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "office": ((4.0, 3.5, 2.5), (9.0, 7.0, 3.3)),
    "corridor": ((10.0, 1.8, 2.5), (30.0, 3.2, 3.5)),
    "hall": ((10.0, 8.0, 3.5), (24.0, 16.0, 6.0)),
    "l-room": ((6.0, 5.0, 2.5), (14.0, 11.0, 3.5)),
    "two rooms": ((8.0, 3.5, 2.5), (15.0, 8.0, 3.3)),
}
"""Smallest and largest length, width and height, metres."""

_PARTITION = 0.12  # thickness, metres
_MAX_BLOCKS = 90  # in one room
_CLEARANCE = 0.55  # metres along the floor between the head's centre and the nearest obstacle
_HEADROOM = 0.4  # metres: a block whose underside is higher above the head is no obstacle to the robot
_HEIGHT_TOLERANCE = 0.02  # metres either way: carpets, tyres; more would leave the scale of an image unknown
_TILT = math.radians(1.5)  # standard deviation of pitch and roll on an uneven floor
_POSITIONS, _HEADINGS = 128, 48  # candidates for a pose


@dataclass(frozen=True)
class Wall:
    """A straight section of wall with the room on its left.

    Attributes:
        x: start, metres.
        y: start, metres.
        yaw: direction, radians.
        length: metres.
    """

    x: float
    y: float
    yaw: float
    length: float

    def attach(self, piece: Piece, along: float) -> Piece:
        """Place a piece with its back on the wall and its middle ``along`` metres from the wall's start."""
        x, y = self.x + along * math.cos(self.yaw), self.y + along * math.sin(self.yaw)
        return place(piece, x, y, self.yaw)


def _walls_of_rectangle(x: float, y: float, length: float, width: float) -> list[Wall]:
    return [
        Wall(x, y, 0.0, length),
        Wall(x + length, y, math.pi / 2, width),
        Wall(x + length, y + width, math.pi, length),
        Wall(x, y + width, 1.5 * math.pi, width),
    ]


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a room with its furniture and lamps."""
    kind = list(_PROBABILITIES)[int(rng.choice(len(_PROBABILITIES), p=list(_PROBABILITIES.values())))]
    length, width, height = (float(side) for side in rng.uniform(*_SIZES[kind]))
    wall, half = draw_material(rng, WALLS), (length / 2, width / 2, height / 2)
    feature = draw_material(rng, WALLS) if rng.random() < 0.4 else wall
    floor, ceiling = draw_material(rng, FLOORS), draw_material(rng, CEILINGS)
    shell = Block(half, half, 0.0, (feature, wall, wall, wall, floor, ceiling))
    walls, structure = _draw_structure(rng, kind, length, width, height, wall)
    room = Room(kind, shell, tuple(structure), _draw_lamps(rng, kind, length, width, height))
    return _Furnisher(rng, room, walls).furnish()


def _draw_structure(
    rng: np.random.Generator, kind: RoomKind, length: float, width: float, height: float, wall: Material
) -> tuple[list[Wall], list[Piece]]:
    """Draw partitions and ceiling steps; return the resulting walls and the pieces."""
    walls, pieces = _walls_of_rectangle(0.0, 0.0, length, width), list[Piece]()
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
            pieces.append(place(furniture.open_door(rng), east, y, -math.pi / 2))
        walls = [*_walls_of_rectangle(0.0, 0.0, west, width), *_walls_of_rectangle(east, 0.0, length - east, width)]
        del walls[7], walls[1]
    if rng.random() < 0.35:
        pieces += _draw_ceiling_steps(rng, length, width, height)
    return walls, pieces


def _draw_ceiling_steps(rng: np.random.Generator, length: float, width: float, height: float) -> list[Piece]:
    """Draw beams across the room, or a lower part of the ceiling, both higher than a door."""
    material, drop = draw_material(rng, CEILINGS), min(float(rng.uniform(0.2, 0.6)), height - DOOR_HEIGHT - 0.15)
    if rng.random() < 0.5:
        start = float(rng.uniform(0.2, 0.8)) * length
        return [(block((start, 0.0, height - drop), (length, width, height), material),)]
    count = int(rng.integers(1, 5))
    return [
        (block((x - 0.15, 0.0, height - drop), (x + 0.15, width, height), material),)
        for x in (np.arange(count) + 0.5) / count * length
    ]


def _draw_lamps(
    rng: np.random.Generator, kind: RoomKind, length: float, width: float, height: float
) -> tuple[Vector, ...]:
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
    """Places pieces that do not touch each other in a room."""

    def __init__(self, rng: np.random.Generator, room: Room, walls: list[Wall]) -> None:
        self.rng, self.room, self.walls = rng, room, walls
        self.pieces = list(room.pieces)
        self.occupied = [self._footprint(piece, 0.05) for piece in room.pieces if self._is_obstacle(piece)]
        if room.kind == "two rooms":  # the doorway stays free
            low, _, high = (block.centre for block in room.pieces[0])
            self.occupied.append((low[0] - 1.0, high[1] - 1.0, low[0] + 1.0, high[1] + 1.0))

    def furnish(self) -> Room:
        """Furnish the walls first, then the floor between them."""
        for wall in self.walls:
            self._furnish_wall(wall)
        if self.room.kind != "corridor":
            self._furnish_floor()
        return Room(self.room.kind, self.room.shell, tuple(self.pieces), self.room.lights)

    def _furnish_wall(self, wall: Wall) -> None:
        is_corridor = self.room.kind == "corridor"
        makers: tuple[Callable[[np.random.Generator], Piece], ...] = (
            (furniture.door, furniture.door, furniture.picture, furniture.radiator, furniture.bookcase)
            if is_corridor
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
            if is_corridor and self.rng.random() < 0.15:
                piece = furniture.pillar(self.rng, float(self.room.size[2]))
            else:
                piece = makers[int(self.rng.integers(len(makers)))](self.rng)
            self._add_if_free(wall.attach(piece, along))
            along += float(self.rng.uniform(1.2, 4.0 if is_corridor else 3.2))

    def _furnish_floor(self) -> None:
        length, width, height = (float(side) for side in self.room.size)
        if self.room.kind == "hall" and self.rng.random() < 0.7:
            self._place_pillars(length, width, height)
        makers = (furniture.table, furniture.desk, furniture.chair, furniture.sofa, furniture.cupboard)
        for _ in range(int(self.rng.integers(1, 4 + int(length * width / 25)))):
            piece = makers[int(self.rng.integers(len(makers)))](self.rng)
            x, y = (float(value) for value in self.rng.uniform((1.0, 1.0), (length - 1.0, width - 1.0)))
            self._add_if_free(place(piece, x, y, float(self.rng.uniform(-math.pi, math.pi))))

    def _place_pillars(self, length: float, width: float, height: float) -> None:
        rows, spacing = int(self.rng.integers(1, 3)), float(self.rng.uniform(3.0, 5.0))
        one = furniture.pillar(self.rng, height)
        for row in range(rows):
            for x in np.arange(spacing / 2, length - 1.0, spacing):
                self._add_if_free(place(one, float(x), (row + 1) * width / (rows + 1), 0.0))

    def _add_if_free(self, piece: Piece) -> None:
        """Add a piece if it lies inside the room, touches no other piece, and the room has space for its blocks."""
        if sum(map(len, self.pieces)) + len(piece) > _MAX_BLOCKS:
            return
        length, width, height = (float(side) for side in self.room.size)
        x0, y0, x1, y1 = self._footprint(piece, 0.0)
        top = max(block.centre[2] + block.half[2] for block in piece)
        if min(x0, y0) < -1e-6 or x1 > length + 1e-6 or y1 > width + 1e-6 or top > height + 1e-6:
            return
        if any(x0 < c and a < x1 and y0 < d and b < y1 for a, b, c, d in self.occupied):
            return
        self.pieces.append(piece)
        self.occupied.append(self._footprint(piece, 0.15))

    @staticmethod
    def _is_obstacle(piece: Piece) -> bool:
        return any(block.centre[2] - block.half[2] < DOOR_HEIGHT for block in piece)

    @staticmethod
    def _footprint(piece: Piece, margin: float) -> tuple[float, float, float, float]:
        standing = [b for b in piece if b.centre[2] - b.half[2] < DOOR_HEIGHT]
        corners = np.concatenate([corners_of(block) for block in standing], axis=1)[:2]
        (x0, y0), (x1, y1) = corners.min(axis=1) - margin, corners.max(axis=1) + margin
        return float(x0), float(y0), float(x1), float(y1)


@jit
def clearance(scene: Scene, x: float, y: float, height: float) -> float:
    """Distance along the floor from a position to the nearest wall or obstacle, metres; 0 inside an obstacle.

    A block that is 0.4 m above a head at ``height`` metres is no obstacle.
    """
    shell = scene.blocks[0]
    nearest = min(shell[3] - abs(x - shell[0]), shell[4] - abs(y - shell[1]))
    for index in range(1, scene.blocks.shape[0]):
        block = scene.blocks[index]
        if block[2] - block[5] > height + _HEADROOM:
            continue
        u, v, _ = block_coordinates(block, (x, y, 0.0))
        gap_u, gap_v = max(abs(u) - block[3], 0.0), max(abs(v) - block[4], 0.0)
        nearest = min(nearest, np.hypot(gap_u, gap_v))
    return float(nearest)


@jit
def _free_distances(
    scene: Scene, head: Vector, yaws: Float[np.ndarray, " n"], distances: Float[np.ndarray, " n"]
) -> None:
    """Write the distance to the first surface at the height of the head in each direction, metres."""
    for index in range(yaws.size):
        direction = (np.cos(yaws[index]), np.sin(yaws[index]), 0.0)
        distances[index] = first_hit(scene, head, direction)[0]


def draw_pose(rng: np.random.Generator, room: Room, height: float = DEFAULT_RIG.height) -> Pose:
    """Draw a position with free floor around it, a height within 2 cm of ``height`` metres, and a heading.

    The probability of a heading grows with the free distance in its direction, since a robot drives where it has room.
    If no candidate position is free enough, the freest one is taken.
    """
    length, width, _ = room.size
    positions = rng.uniform((0, 0), (length, width), (_POSITIONS, 2))
    offset, quantile = float(rng.uniform(0, 2 * math.pi)), float(rng.random())
    pitch, roll = (float(angle) for angle in rng.normal(0, _TILT, 2))
    z = height + float(rng.uniform(-_HEIGHT_TOLERANCE, _HEIGHT_TOLERANCE))
    clearances = np.array([clearance(room.scene, float(x), float(y), height) for x, y in positions])
    is_free = clearances > _CLEARANCE
    chosen = int(np.argmax(is_free)) if is_free.any() else int(np.argmax(clearances))
    x, y = (float(value) for value in positions[chosen])
    yaws, distances = offset + 2 * math.pi * np.arange(_HEADINGS) / _HEADINGS, np.empty(_HEADINGS)
    _free_distances(room.scene, (x, y, z), yaws, distances)
    heading = int(np.searchsorted(np.cumsum(distances**2.5) / (distances**2.5).sum(), quantile))
    return Pose((x, y, z), float(yaws[min(heading, _HEADINGS - 1)]), pitch, roll)
