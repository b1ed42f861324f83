"""First-order scattering: every surface is divided into patches that scatter incident sound by Lambert's cosine law.

The patches, their points and their signs belong to the room, so that the scattered sound of neighbouring poses is
coherent.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from echodepth.simulate.acoustics.loudspeaker import directivity_gain
from echodepth.simulate.acoustics.paths import Endpoints, Paths, empty_paths, first_paths
from echodepth.simulate.jit import jit, zero
from echodepth.simulate.rooms.ray_casting import is_occluded
from echodepth.simulate.rooms.scene import Block, Room, Scene

_SHELL_DENSITY, _FURNITURE_DENSITY = 8.0, 40.0  # patches per square metre; small surfaces need smaller ones


class Patches(NamedTuple):
    """Surface patches that scatter sound.

    Attributes:
        points: metres.
        normals: unit vectors into the air.
        area: square metres.
        material: index of the material in the scene.
        sign: random sign of the pressure, 1 or -1: the roughness of a real surface makes the phase random.
    """

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    area: Float[np.ndarray, " n"]
    material: Int[np.ndarray, " n"]
    sign: Float[np.ndarray, " n"]


def draw_patches(room: Room, rng: np.random.Generator) -> Patches:
    """Divide all faces except the undersides of blocks into patches, and draw one point in each."""
    faces = [
        _face_patches(block, face, int(room.scene.material[index, face]), index == 0, rng)
        for index, block in enumerate((room.shell, *room.boxes))
        for face in range(6)
        if index == 0 or face != 4
    ]
    return Patches(*(np.concatenate(columns) for columns in zip(*faces, strict=True)))


def _face_patches(
    block: Block, face: int, material: int, inward: bool, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    axis, side = face // 2, 2 * (face % 2) - 1
    first, second = (each for each in range(3) if each != axis)
    half = block.half
    density = _SHELL_DENSITY if inward else _FURNITURE_DENSITY
    counts = [math.ceil(2 * half[each] * math.sqrt(density)) for each in (first, second)]
    cells = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij")).reshape(2, -1)
    position = (cells + rng.random(cells.shape)) / np.array(counts)[:, None] * 2 - 1
    n = cells.shape[1]
    points, normals = np.zeros((2, n, 3))
    points[:, axis] = side * half[axis]
    points[:, first], points[:, second] = position[0] * half[first], position[1] * half[second]
    normals[:, axis] = -side if inward else side
    cosine, sine = math.cos(block.yaw), math.sin(block.yaw)
    rotation = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    area = 4 * half[first] * half[second] / n
    sign = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    return points @ rotation + np.array(block.centre), normals @ rotation, np.full(n, area), np.full(n, material), sign


@jit
def scattered_paths(scene: Scene, patches: Patches, ends: Endpoints) -> Paths:
    """Scatter sound at the patches that both the loudspeaker and the listener have in their line of sight.

    Args:
        scene: the room.
        patches: from `draw_patches`.
        ends: loudspeaker and listener.

    Returns:
        One path per patch.
    """
    source, listener = ends.source, ends.listener
    n, bands = patches.points.shape[0], scene.absorption.shape[1]
    paths, found = empty_paths(n, bands), zero()
    radiated = np.empty(bands)
    for patch in range(n):
        point, normal = patches.points[patch], patches.normals[patch]
        in_x, in_y, in_z = source[0] - point[0], source[1] - point[1], source[2] - point[2]
        out_x, out_y, out_z = listener[0] - point[0], listener[1] - point[1], listener[2] - point[2]
        source_height = normal[0] * in_x + normal[1] * in_y + normal[2] * in_z
        listener_height = normal[0] * out_x + normal[1] * out_y + normal[2] * out_z
        if source_height <= 0 or listener_height <= 0:
            continue
        if is_occluded(scene, source, point) or is_occluded(scene, point, listener):
            continue
        to_source = np.sqrt(in_x * in_x + in_y * in_y + in_z * in_z)
        to_listener = np.sqrt(out_x * out_x + out_y * out_y + out_z * out_z)
        directivity_gain(ends, (-in_x, -in_y, -in_z), radiated)
        # The intensity at the patch is 1 / distance^2 times the cosine; cos / pi of it leaves per unit solid angle.
        squared = patches.area[patch] * source_height * listener_height / (np.pi * to_source * to_listener)
        share = patches.sign[patch] * np.sqrt(squared) / (to_source * to_listener)
        material = patches.material[patch]
        for band in range(bands):
            diffuse = (1 - scene.absorption[material, band]) * scene.scattering[material, band]
            paths.gain[found, band] = share * radiated[band] * np.sqrt(diffuse)
        paths.direction[found, 0] = -out_x / to_listener
        paths.direction[found, 1] = -out_y / to_listener
        paths.direction[found, 2] = -out_z / to_listener
        paths.path_length[found] = to_source + to_listener
        found += 1
    return first_paths(paths, found)
