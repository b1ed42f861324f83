"""Scene model: upright blocks with a material on every face, lamps, and the robot's pose.

Coordinates are metres: x and y along the floor, z up, a corner of the room at the origin. Every solid is a `Block`;
the room's shell is one too, seen from inside. Blocks that belong together, such as a table's top and legs, form a
piece with one bounding sphere, so that a ray that misses the sphere skips all of them. `Room.scene` holds the same as
plain arrays for the compiled loops.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from echodepth.simulate.rooms.materials import PATTERNS, Material, Vector

RoomKind = Literal["office", "corridor", "hall", "l-room", "two rooms"]


class Scene(NamedTuple):
    """A room as arrays. Block 0 is the shell; faces are -x, +x, -y, +y, -z, +z in a block's own frame.

    Attributes:
        blocks: centre (3), half of width, depth and height (3), cosine and sine of the yaw.
        bounding_spheres: centre (3) and radius of a sphere around each of m pieces, metres.
        first_block: piece p consists of the blocks ``first_block[p]`` to ``first_block[p + 1] - 1``.
        material: index of each face's material, of k materials.
        absorption: absorption coefficient of the sound energy, per octave band.
        scattering: share of the reflected energy that is scattered by Lambert's law, per octave band.
        colour: linear RGB reflectance.
        pattern: index of the texture in ``PATTERNS``.
        period: metres after which the texture repeats.
        gloss: share of the light that is reflected specularly.
        lights: positions of the lamps, metres.
    """

    blocks: Float[np.ndarray, "n 8"]
    bounding_spheres: Float[np.ndarray, "m 4"]
    first_block: Int[np.ndarray, " m_plus_1"]
    material: Int[np.ndarray, "n 6"]
    absorption: Float[np.ndarray, "k bands"]
    scattering: Float[np.ndarray, "k bands"]
    colour: Float[np.ndarray, "k 3"]
    pattern: Int[np.ndarray, " k"]
    period: Float[np.ndarray, " k"]
    gloss: Float[np.ndarray, " k"]
    lights: Float[np.ndarray, "l 3"]


@dataclass(frozen=True)
class Block:
    """An upright box.

    Attributes:
        centre: metres.
        half: half of the width, depth and height in the block's own frame, metres.
        yaw: rotation about the vertical, radians, counter-clockwise seen from above.
        materials: materials of the faces -x, +x, -y, +y, -z, +z of the block's own frame.
    """

    centre: Vector
    half: Vector
    yaw: float
    materials: tuple[Material, ...]


Piece = tuple[Block, ...]
"""Blocks that belong together, such as those of one piece of furniture."""


@dataclass(frozen=True)
class Room:
    """A shoebox room and its contents.

    Attributes:
        kind: kind of room.
        shell: floor, walls and ceiling; a corner lies at the origin and the yaw is 0.
        pieces: partitions, ceiling steps, furniture, pictures and windows.
        lights: positions of the lamps, metres.
    """

    kind: RoomKind
    shell: Block
    pieces: tuple[Piece, ...]
    lights: tuple[Vector, ...]

    @property
    def size(self) -> Float[np.ndarray, "3"]:
        """Inner length, width and height in metres."""
        return 2 * np.array(self.shell.half)

    @property
    def boxes(self) -> tuple[Block, ...]:
        """Blocks of all pieces, in the order of ``Scene.blocks`` from index 1."""
        return tuple(block for piece in self.pieces for block in piece)

    @cached_property
    def scene(self) -> Scene:
        """The room as arrays."""
        blocks = (self.shell, *self.boxes)
        materials = list(dict.fromkeys(material for block in blocks for material in block.materials))
        index_of = {material: index for index, material in enumerate(materials)}
        return Scene(
            blocks=np.array([(*b.centre, *b.half, math.cos(b.yaw), math.sin(b.yaw)) for b in blocks]),
            bounding_spheres=np.array([_bounding_sphere(piece) for piece in self.pieces]).reshape(-1, 4),
            first_block=np.cumsum([1, *(len(piece) for piece in self.pieces)]),
            material=np.array([[index_of[material] for material in block.materials] for block in blocks]),
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
    """Corners of a block, metres."""
    signs = np.stack(np.meshgrid((-1, 1), (-1, 1), (-1, 1), indexing="ij")).reshape(3, 8)
    x, y, z = signs * np.array(block.half)[:, None]
    cosine, sine = math.cos(block.yaw), math.sin(block.yaw)
    corners: np.ndarray = np.stack([cosine * x - sine * y, sine * x + cosine * y, z]) + np.array(block.centre)[:, None]
    return corners


@dataclass(frozen=True)
class Pose:
    """Position and orientation of the robot's head.

    Attributes:
        position: centre of the head and of the camera, metres.
        yaw: heading, radians, counter-clockwise seen from above; 0 is along x.
        pitch: radians, positive downwards.
        roll: radians, positive to the right.
    """

    position: Vector
    yaw: float
    pitch: float = 0.0
    roll: float = 0.0

    @cached_property
    def axes(self) -> Float[np.ndarray, "3 3"]:
        """Head frame: columns are forward, left and up in room coordinates (intrinsic yaw, pitch, roll)."""
        cy, sy = math.cos(self.yaw), math.sin(self.yaw)
        cp, sp = math.cos(self.pitch), math.sin(self.pitch)
        cr, sr = math.cos(self.roll), math.sin(self.roll)
        yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        pitch = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        axes: np.ndarray = yaw @ pitch @ roll
        return axes

    def to_room(self, offset: Vector) -> Float[np.ndarray, "3"]:
        """Room coordinates of a point given in the head frame: metres forward, left and up from the head's centre."""
        point: np.ndarray = self.axes @ np.array(offset) + np.array(self.position)
        return point
