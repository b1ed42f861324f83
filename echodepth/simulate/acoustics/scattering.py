"""First scattering: every surface is divided into patches, each sends part of what falls on it in all directions.

Patches belong to the room, with their places and signs: poses near each other hear the same ones.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from echodepth.simulate.acoustics.loudspeaker import sent
from echodepth.simulate.acoustics.paths import Paths, first_of, room_for
from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.ray_casting import hidden
from echodepth.simulate.rooms.scene import Block, Room, World

_SHELL_DENSITY, _FURNITURE_DENSITY = 8.0, 40.0  # patches per square metre; small things need finer ones


@dataclass(frozen=True)
class Patches:
    """Surface points that scatter.

    Attributes:
        points: metres.
        normals: unit vectors into the air.
        area: square metres that each stands for.
        surface: which of the world's materials.
        sign: 1 or -1, drawn, since a real surface's roughness makes the phase random.
    """

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    area: Float[np.ndarray, " n"]
    surface: Int[np.ndarray, " n"]
    sign: Float[np.ndarray, " n"]


def draw_patches(room: Room, rng: np.random.Generator) -> Patches:
    """Divide all faces but the blocks' undersides into patches, with one point drawn in each."""
    parts = [
        _face_patches(block, face, int(room.world.surface[index, face]), index == 0, rng)
        for index, block in enumerate((room.shell, *room.boxes))
        for face in range(6)
        if index == 0 or face != 4
    ]
    return Patches(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _face_patches(
    block: Block, face: int, surface: int, inward: bool, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    axis, side = face // 2, 2 * (face % 2) - 1
    first, second = (other for other in range(3) if other != axis)
    half = block.half
    density = _SHELL_DENSITY if inward else _FURNITURE_DENSITY
    counts = [math.ceil(2 * half[other] * math.sqrt(density)) for other in (first, second)]
    cells = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij")).reshape(2, -1)
    spot = (cells + rng.random(cells.shape)) / np.array(counts)[:, None] * 2 - 1
    n = cells.shape[1]
    points, normals = np.zeros((2, n, 3))
    points[:, axis] = side * half[axis]
    points[:, first], points[:, second] = spot[0] * half[first], spot[1] * half[second]
    normals[:, axis] = -side if inward else side
    cosine, sine = math.cos(block.yaw), math.sin(block.yaw)
    turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    area = 4 * half[first] * half[second] / n
    sign = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    return points @ turn + np.array(block.centre), normals @ turn, np.full(n, area), np.full(n, surface), sign


@jit
def scattered_paths(
    world: World,
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    area: Float[np.ndarray, " n"],
    surface: Int[np.ndarray, " n"],
    sign: Float[np.ndarray, " n"],
    source: Float[np.ndarray, " 3"],
    listener: Float[np.ndarray, " 3"],
    ahead: Float[np.ndarray, " 3"],
    directivity: Float[np.ndarray, "181 8"],
) -> Paths:
    """What the patches that see both loudspeaker and listener send on, by Lambert's cosine law.

    Args:
        world: where.
        points: as in `Patches`.
        normals: as in `Patches`.
        area: as in `Patches`.
        surface: as in `Patches`.
        sign: as in `Patches`.
        source: where the loudspeaker is, metres.
        listener: where the head's centre is, metres.
        ahead: where the loudspeaker faces, a unit vector.
        directivity: its table.

    Returns:
        One path for each of those patches.
    """
    n, bands = points.shape[0], world.absorption.shape[1]
    paths, found = room_for(n, bands), 0
    left = np.empty(bands)
    for patch in range(n):
        point, normal = points[patch], normals[patch]
        in_x, in_y, in_z = source[0] - point[0], source[1] - point[1], source[2] - point[2]
        out_x, out_y, out_z = listener[0] - point[0], listener[1] - point[1], listener[2] - point[2]
        falls = normal[0] * in_x + normal[1] * in_y + normal[2] * in_z
        leaves = normal[0] * out_x + normal[1] * out_y + normal[2] * out_z
        if falls <= 0 or leaves <= 0:
            continue
        if hidden(world, source[0], source[1], source[2], point[0], point[1], point[2]):
            continue
        if hidden(world, point[0], point[1], point[2], listener[0], listener[1], listener[2]):
            continue
        far = np.sqrt(in_x * in_x + in_y * in_y + in_z * in_z)
        near = np.sqrt(out_x * out_x + out_y * out_y + out_z * out_z)
        sent(directivity, ahead, -in_x, -in_y, -in_z, left)
        # Intensity 1/far^2 on the projected area, of which cos/pi goes into each unit of solid angle.
        share = sign[patch] * np.sqrt(area[patch] * falls * leaves / (np.pi * far * near)) / (far * near)
        of = surface[patch]
        for band in range(bands):
            diffuse = (1 - world.absorption[of, band]) * world.scattering[of, band]
            paths.gain[found, band] = share * left[band] * np.sqrt(diffuse)
        paths.direction[found, 0] = -out_x / near
        paths.direction[found, 1] = -out_y / near
        paths.direction[found, 2] = -out_z / near
        paths.way[found] = far + near
        found += 1
    return first_of(paths, found)
