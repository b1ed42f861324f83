"""What a simulated world consists of: upright blocks with a material on every face, lamps, and a robot's pose.

The world is metric: x and y along the floor, z up, a corner of the room at the origin. Everything solid is a
`Block`; the room itself is one, seen from inside. Blocks that belong together (a table's top and legs) form a piece,
so that a ray can miss all of them at once. `Room.world` is the same as plain arrays, for the compiled loops.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from echodepth.simulate.rooms.materials import PATTERNS, Material, Vector

Kind = Literal["office", "corridor", "hall", "l-room", "two rooms"]

ROBOT_HEIGHT = 0.9
"""Metres from the floor to the camera and the head's centre; fixed, or else scale could not be seen."""


class World(NamedTuple):
    """A room as arrays. Block 0 is the shell; faces are -x, +x, -y, +y, -z, +z of a block's own frame.

    Attributes:
        blocks: [n, 8]: centre (3), half of width, depth and height (3), cosine and sine of the yaw.
        bounds: [m, 4]: centre and radius of a sphere around each piece, metres.
        first: [m + 1]: piece p consists of the blocks ``first[p]`` to ``first[p + 1]``, excluded.
        surface: [n, 6]: which material each face has.
        absorption: [k, bands] of the k materials: share of the sound energy that does not come back.
        scattering: [k, bands]: share of the reflected energy that leaves by Lambert's law.
        colour: [k, 3]: linear reflectance.
        pattern: [k]: place in ``PATTERNS``.
        period: [k]: metres after which the texture repeats.
        gloss: [k]: share of light that is mirrored.
        lights: [l, 3]: lamps, metres.
    """

    blocks: Float[np.ndarray, "n 8"]
    bounds: Float[np.ndarray, "m 4"]
    first: Int[np.ndarray, " m_plus_1"]
    surface: Int[np.ndarray, "n 6"]
    absorption: Float[np.ndarray, "k bands"]
    scattering: Float[np.ndarray, "k bands"]
    colour: Float[np.ndarray, "k 3"]
    pattern: Int[np.ndarray, " k"]
    period: Float[np.ndarray, " k"]
    gloss: Float[np.ndarray, " k"]
    lights: Float[np.ndarray, "l 3"]


@dataclass(frozen=True)
class Block:
    """A box that stands upright.

    Attributes:
        centre: metres.
        half: half of its width, depth and height in its own frame, metres.
        yaw: its turn about the vertical, radians, counter-clockwise seen from above.
        materials: of the faces -x, +x, -y, +y, -z, +z of its own frame.
    """

    centre: Vector
    half: Vector
    yaw: float
    materials: tuple[Material, ...]


Piece = tuple[Block, ...]
"""Blocks that belong together."""


@dataclass(frozen=True)
class Room:
    """A shoebox with all that stands in it.

    Attributes:
        kind: what sort of room it is.
        shell: floor, walls and ceiling; its corner lies at the origin and its yaw is 0.
        pieces: partitions, ceiling steps, furniture, pictures, windows.
        lights: the lamps' places, metres.
    """

    kind: Kind
    shell: Block
    pieces: tuple[Piece, ...]
    lights: tuple[Vector, ...]

    @property
    def size(self) -> Float[np.ndarray, "3"]:
        """Inner length, width and height in metres."""
        return 2 * np.array(self.shell.half)

    @property
    def boxes(self) -> tuple[Block, ...]:
        """The blocks of all pieces, in the order of ``World.blocks`` from 1."""
        return tuple(block for piece in self.pieces for block in piece)

    @cached_property
    def world(self) -> World:
        """The room as arrays."""
        blocks = (self.shell, *self.boxes)
        materials = list(dict.fromkeys(material for block in blocks for material in block.materials))
        number = {material: index for index, material in enumerate(materials)}
        return World(
            blocks=np.array([(*b.centre, *b.half, math.cos(b.yaw), math.sin(b.yaw)) for b in blocks]),
            bounds=np.array([_bounding_sphere(piece) for piece in self.pieces]).reshape(-1, 4),
            first=np.cumsum([1, *(len(piece) for piece in self.pieces)]),
            surface=np.array([[number[material] for material in block.materials] for block in blocks]),
            absorption=np.array([material.absorption for material in materials]),
            scattering=np.array([material.scattering for material in materials]),
            colour=np.array([material.colour for material in materials]),
            pattern=np.array([PATTERNS.index(material.pattern) for material in materials]),
            period=np.array([material.period for material in materials]),
            gloss=np.array([material.gloss for material in materials]),
            lights=np.array(self.lights).reshape(-1, 3),
        )


def _bounding_sphere(piece: Piece) -> tuple[float, float, float, float]:
    corners = np.concatenate([corners_of(block) for block in piece], axis=1)
    centre = (corners.min(axis=1) + corners.max(axis=1)) / 2
    radius = np.sqrt(((corners - centre[:, None]) ** 2).sum(axis=0)).max()
    x, y, z = (float(value) for value in centre)
    return x, y, z, float(radius) + 1e-9


def corners_of(block: Block) -> Float[np.ndarray, "3 8"]:
    """A block's corners, metres."""
    signs = np.stack(np.meshgrid((-1, 1), (-1, 1), (-1, 1), indexing="ij")).reshape(3, 8)
    x, y, z = signs * np.array(block.half)[:, None]
    cosine, sine = math.cos(block.yaw), math.sin(block.yaw)
    turned: np.ndarray = np.stack([cosine * x - sine * y, sine * x + cosine * y, z]) + np.array(block.centre)[:, None]
    return turned


@dataclass(frozen=True)
class Pose:
    """Where the robot stands and how it holds its head.

    Attributes:
        position: of the head's centre, which is also the camera's, metres.
        yaw: heading, radians, counter-clockwise seen from above; 0 looks along x.
        pitch: radians, positive looks down.
        roll: radians, positive leans to the right.
    """

    position: Vector
    yaw: float
    pitch: float = 0.0
    roll: float = 0.0

    @cached_property
    def axes(self) -> Float[np.ndarray, "3 3"]:
        """Columns: forward, left and up of the head, as unit vectors of the world (intrinsic yaw, pitch, roll)."""
        cy, sy = math.cos(self.yaw), math.sin(self.yaw)
        cp, sp = math.cos(self.pitch), math.sin(self.pitch)
        cr, sr = math.cos(self.roll), math.sin(self.roll)
        turn = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        nod = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        lean = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        axes: np.ndarray = turn @ nod @ lean
        return axes

    def to_world(self, offset: Vector) -> Float[np.ndarray, "3"]:
        """A point given as metres forward, left and up from the head's centre."""
        point: np.ndarray = self.axes @ np.array(offset) + np.array(self.position)
        return point
