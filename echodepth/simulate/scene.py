"""Rooms, furniture and poses, and the two questions that light and sound ask of them: what is hit, what is hidden.

The world is metric: x and y along the floor, z up, a corner of the room at the origin. Arrays of points and
directions have their three coordinates first, [3, n]. Everything solid is a `Block`; the room itself is one, seen
from inside.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

Vector = tuple[float, float, float]
Pattern = Literal["mottle", "planks", "tiles", "bricks", "stripes", "checks"]

ROBOT_HEIGHT = 0.9
"""Metres from the floor to the camera and the head's centre; fixed, or else scale could not be seen."""

_CLEARANCE = 0.5  # metres along the floor between the head's centre and anything solid
_SKIN = 1e-6  # of a segment's length: a surface does not hide its own points


@dataclass(frozen=True)
class Material:
    """How a surface looks and sounds.

    Attributes:
        pattern: its texture.
        period: metres over which the texture repeats; fixed per material, as in the real world.
        colour: linear RGB reflectance in 0..1.
        absorption: share of the sound energy that does not come back.
        scattering: share of the reflected energy that leaves in all directions (Lambert) instead of specularly.
    """

    pattern: Pattern
    period: float
    colour: Vector
    absorption: float
    scattering: float

    @property
    def specular(self) -> float:
        """Pressure reflection coefficient of the mirror direction."""
        return math.sqrt((1 - self.absorption) * (1 - self.scattering))

    @property
    def diffuse(self) -> float:
        """Share of the incident energy that is scattered."""
        return (1 - self.absorption) * self.scattering


# Absorption: mean of the octaves 500 Hz to 4 kHz in the tables of Vorländer, Auralization (Springer 2008), annex.
# Scattering: assumed (0.05 smooth, more where joints or furniture's fronts break the surface); no measured table.
WALLS = (
    Material("mottle", 0.15, (0.75, 0.72, 0.66), 0.03, 0.05),  # rendered brickwork
    Material("stripes", 0.20, (0.60, 0.68, 0.66), 0.05, 0.05),  # plasterboard, papered
    Material("bricks", 0.25, (0.55, 0.27, 0.19), 0.19, 0.15),  # brickwork, 10 mm deep pointing
    Material("planks", 0.14, (0.52, 0.36, 0.22), 0.14, 0.10),  # wooden lining
)
FLOORS = (
    Material("planks", 0.12, (0.45, 0.30, 0.18), 0.06, 0.05),  # wooden floor
    Material("tiles", 0.30, (0.62, 0.60, 0.56), 0.02, 0.05),  # ceramic tiles
    Material("mottle", 0.05, (0.30, 0.33, 0.42), 0.26, 0.10),  # thin carpet
    Material("checks", 0.60, (0.48, 0.50, 0.46), 0.03, 0.05),  # linoleum
)
CEILINGS = (
    Material("mottle", 0.15, (0.85, 0.84, 0.82), 0.06, 0.05),  # plasterboard
    Material("tiles", 0.60, (0.80, 0.80, 0.78), 0.80, 0.15),  # fissured tiles
)
FURNITURE = (
    Material("planks", 0.25, (0.48, 0.30, 0.16), 0.09, 0.30),  # 16 mm wood
    Material("stripes", 0.40, (0.42, 0.45, 0.50), 0.04, 0.20),  # lacquer: hard surface
    Material("mottle", 0.08, (0.50, 0.12, 0.14), 0.78, 0.50),  # upholstery
)
# Width, depth and height in metres, from and to: table, cupboard, chest, seat, pillar (as tall as the room).
_SHAPES = (
    ((0.8, 0.5, 0.7), (1.6, 0.8, 0.8)),
    ((0.6, 0.35, 1.6), (1.2, 0.6, 2.1)),
    ((0.5, 0.4, 0.8), (1.2, 0.5, 1.3)),
    ((0.5, 0.5, 0.4), (0.9, 0.9, 1.0)),
    ((0.3, 0.3, 9.0), (0.6, 0.6, 9.0)),
)


def rotate(vectors: Float[np.ndarray, "3 n"], angle: float) -> Float[np.ndarray, "3 n"]:
    """Turn vectors about the vertical, counter-clockwise seen from above, by ``angle`` radians."""
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y, z = vectors
    turned: np.ndarray = np.stack([cosine * x - sine * y, sine * x + cosine * y, z])
    return turned


def column(vector: Vector) -> Float[np.ndarray, "3 1"]:
    """One vector as an array that broadcasts against [3, n]."""
    return np.array(vector, dtype=np.float64)[:, None]


@dataclass(frozen=True)
class Block:
    """A box that stands upright.

    Attributes:
        centre: metres.
        half: half of its width, depth and height in its own frame, metres.
        yaw: its turn about the vertical, radians.
        materials: of the faces -x, +x, -y, +y, -z, +z of its own frame.
    """

    centre: Vector
    half: Vector
    yaw: float
    materials: tuple[Material, ...]

    def to_local(self, points: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
        """World coordinates to the block's own frame, whose origin is its centre."""
        return rotate(points - column(self.centre), -self.yaw)

    def to_world(self, points: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
        """The block's own frame to world coordinates."""
        points_there: np.ndarray = rotate(points, self.yaw) + column(self.centre)
        return points_there


@dataclass(frozen=True)
class Room:
    """A shoebox with furniture and lamps.

    Attributes:
        shell: floor, walls and ceiling; its corner lies at the origin and its yaw is 0.
        boxes: the furniture.
        lights: the lamps' places, metres.
    """

    shell: Block
    boxes: tuple[Block, ...]
    lights: tuple[Vector, ...]

    @property
    def size(self) -> Float[np.ndarray, "3"]:
        """Inner length, width and height in metres."""
        return 2 * np.array(self.shell.half)


@dataclass(frozen=True)
class Pose:
    """Where the robot stands: its head's centre, which is also the camera's, in metres; its heading in radians."""

    position: Vector
    yaw: float

    def to_world(self, offset: Vector) -> Float[np.ndarray, "3 1"]:
        """A point given as metres forward, left and up from the head's centre."""
        point: np.ndarray = rotate(column(offset), self.yaw) + column(self.position)
        return point


def _crossings(
    block: Block, origins: Float[np.ndarray, "3 m"], directions: Float[np.ndarray, "3 n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Where rays enter and leave a block's slabs, in lengths of ``directions``; they miss it when enter > leave."""
    local = rotate(directions, -block.yaw)
    inverse = 1 / np.where(np.abs(local) < 1e-12, 1e-12, local)
    middle = -block.to_local(origins) * inverse
    reach = column(block.half) * np.abs(inverse)
    return (middle - reach).max(axis=0), (middle + reach).min(axis=0)


def first_hit(
    room: Room, origin: Float[np.ndarray, "3 1"], directions: Float[np.ndarray, "3 n"]
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """What rays from inside the room meet first.

    Args:
        room: where.
        origin: the rays' common start, metres.
        directions: of any length.

    Returns:
        The way to the hit in lengths of ``directions``, and what was hit: 0 is the shell, i the i-th box from 1.
    """
    _, distance = _crossings(room.shell, origin, directions)
    what = np.zeros(distance.shape, dtype=np.int64)
    for index, box in enumerate(room.boxes, start=1):
        enter, leave = _crossings(box, origin, directions)
        nearer = (enter < leave) & (enter > 0) & (enter < distance)
        distance = np.where(nearer, enter, distance)
        what[nearer] = index
    return distance, what


def hidden(room: Room, starts: Float[np.ndarray, "3 m"], ends: Float[np.ndarray, "3 n"]) -> Bool[np.ndarray, " k"]:
    """Which straight ways a box stands in. Either side may be one point that all ways share."""
    way = np.subtract(ends, starts)
    blocked = np.zeros(way.shape[1], dtype=bool)
    for box in room.boxes:
        enter, leave = _crossings(box, starts, way)
        blocked |= (enter < leave) & (leave > _SKIN) & (enter < 1 - _SKIN)
    return blocked


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a room: one in five is a corridor of 8 to 20 m, the others measure 3-9 x 3-7 m; 2.5-3.5 m high."""
    corridor = rng.random() < 0.2
    low, high = ((8.0, 1.8, 2.5), (20.0, 2.6, 3.2)) if corridor else ((3.0, 3.0, 2.5), (9.0, 7.0, 3.5))
    length, width, height = (float(side) for side in rng.uniform(low, high))
    wall = _painted(rng, WALLS)
    feature = _painted(rng, WALLS) if rng.random() < 0.4 else wall
    shell = Block(
        centre=(length / 2, width / 2, height / 2),
        half=(length / 2, width / 2, height / 2),
        yaw=0.0,
        materials=(feature, wall, wall, wall, _painted(rng, FLOORS), _painted(rng, CEILINGS)),
    )
    lamps = int(np.clip(round(length * width / 12), 2, 4))
    along = (np.arange(lamps) + rng.uniform(0.3, 0.7, lamps)) / lamps * length
    across = rng.uniform(0.25, 0.75, lamps) * width
    lights = tuple((float(x), float(y), height - 0.3) for x, y in zip(along, across, strict=True))
    return Room(shell, _furnish(rng, length, width, height, corridor), lights)


def _painted(rng: np.random.Generator, choices: tuple[Material, ...]) -> Material:
    material = choices[rng.integers(len(choices))]
    tint = rng.uniform(0.75, 1.15) * rng.uniform(0.85, 1.15, 3)
    red, green, blue = (float(value) for value in np.clip(tint * material.colour, 0.03, 0.95))
    return replace(material, colour=(red, green, blue))


def _furnish(rng: np.random.Generator, length: float, width: float, height: float, corridor: bool) -> tuple[Block, ...]:
    """Two to six pieces that keep apart; in a corridor they all stand along the walls."""
    wanted = int(rng.integers(2, 7))
    placed: list[Block] = []
    for _ in range(100):  # a crowded room stays with fewer
        if len(placed) == wanted:
            break
        low, high = _SHAPES[rng.integers(len(_SHAPES))]
        wide, deep, tall = (float(side) / 2 for side in np.minimum(rng.uniform(low, high), (9, 9, height)))
        if deep > 0.15 * min(length, width):
            continue
        side = int(rng.integers(4))
        at_wall = corridor or rng.random() < 0.6
        yaw = side * math.pi / 2 if at_wall else float(rng.uniform(-math.pi, math.pi))
        spread = math.hypot(wide, deep)
        x = float(rng.uniform(spread, length - spread))
        y = float(rng.uniform(spread, width - spread)) if width > 2 * spread else width / 2
        if at_wall:
            y = deep + 0.02 if side == 0 else width - deep - 0.02 if side == 2 else y
            x = deep + 0.02 if side == 1 else length - deep - 0.02 if side == 3 else x
        if corridor and side % 2:
            continue
        gaps = (math.hypot(x - b.centre[0], y - b.centre[1]) - math.hypot(*b.half[:2]) for b in placed)
        if all(gap > spread for gap in gaps):
            paint = _painted(rng, FURNITURE)
            placed.append(Block((x, y, tall), (wide, deep, tall), yaw, (paint,) * 6))
    return tuple(placed)


def clearance(room: Room, points: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, " n"]:
    """Metres along the floor from points to the nearest wall or piece of furniture; 0 inside one."""
    wall = column(room.shell.half) - np.abs(room.shell.to_local(points))
    nearest: np.ndarray = wall[:2].min(axis=0)
    for box in room.boxes:
        outside = np.maximum(np.abs(box.to_local(points)) - column(box.half), 0)
        nearest = np.minimum(nearest, np.hypot(outside[0], outside[1]))
    return nearest


def draw_pose(rng: np.random.Generator, room: Room) -> Pose:
    """Draw a place with half a metre free around, heading for a point across the room.

    Where a room has no such place, the freest one is taken.
    """
    length, width, _ = room.size
    places = rng.uniform((0, 0), (length, width), (256, 2)).T
    targets = rng.uniform((0, 0), (length, width), (256, 2)).T
    points = np.vstack([places, np.full(256, ROBOT_HEIGHT)])
    room_around = clearance(room, points)
    ahead = targets - places
    good = (room_around > _CLEARANCE) & (np.hypot(*ahead) > 0.5 * max(length, width))
    chosen = int(np.argmax(good)) if good.any() else int(np.argmax(room_around))
    x, y = (float(value) for value in places[:, chosen])
    return Pose((x, y, ROBOT_HEIGHT), float(math.atan2(ahead[1, chosen], ahead[0, chosen])))
