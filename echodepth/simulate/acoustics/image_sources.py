"""Specular reflections by the image source method (Allen and Berkley 1979), for arbitrary faces (Borish 1984).

The loudspeaker is mirrored in one face after another. The straight line from the last image to the listener is traced
back: it has to meet each face within its bounds, and no block may occlude a segment. The search covers single
reflections in all faces, double reflections in large ones and triple reflections in the shell's. `is_image_source_path`
states that rule for a given path, so that ray tracing leaves out exactly the paths found here.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from echodepth.simulate.acoustics.loudspeaker import directivity_gain
from echodepth.simulate.acoustics.paths import (
    Endpoints,
    Paths,
    distance_between,
    empty_paths,
    first_paths,
    write_direction,
)
from echodepth.simulate.jit import jit, zero
from echodepth.simulate.rooms.ray_casting import block_coordinates, face_normal, is_occluded
from echodepth.simulate.rooms.scene import Scene

MAX_ORDER = 3
_LARGE = 1.0  # square metres: smallest area of a face that takes part in double reflections
_CAPACITY = 4096  # paths; a furnished room has about a hundred


def large_faces(scene: Scene) -> Bool[np.ndarray, "n 6"]:
    """Which faces take part in double reflections: all of the shell, and the others of at least 1 m²."""
    width, depth, height = 2 * scene.blocks[:, 3:6].T
    areas = np.stack([depth * height, depth * height, width * height, width * height, width * depth, width * depth], 1)
    large: np.ndarray = areas >= _LARGE
    large[0] = True
    return large


@jit
def is_image_source_path(order: int, all_large: bool, all_shell: bool) -> bool:
    """Whether `image_source_paths` finds a path of ``order`` specular reflections."""
    return order <= 1 or (order == 2 and all_large) or (order <= MAX_ORDER and all_shell)


@jit
def _plane_distance(
    scene: Scene, block: int, face: int, normal: Float[np.ndarray, " 3"], point: Float[np.ndarray, " 3"]
) -> float:
    """Signed distance of a point from a face's plane, positive in the air; writes ``normal``."""
    face_normal(scene, block, face, normal)
    distance = 0.0
    for axis in range(3):
        distance += normal[axis] * (point[axis] - scene.blocks[block, axis])
    offset = scene.blocks[block, 3 + face // 2]
    return float(distance + offset if block == 0 else distance - offset)


@jit
def _is_within_face(scene: Scene, block: int, face: int, point: Float[np.ndarray, " 3"]) -> bool:
    """Whether a point on a face's plane lies within the face."""
    x, y, z = block_coordinates(scene.blocks[block], point)
    half_x, half_y, half_z = scene.blocks[block, 3], scene.blocks[block, 4], scene.blocks[block, 5]
    axis = face // 2
    return (axis == 0 or abs(x) <= half_x) and (axis == 1 or abs(y) <= half_y) and (axis == 2 or abs(z) <= half_z)


@jit
def _write_point(points: Float[np.ndarray, "points 3"], row: int, point: Float[np.ndarray, " 3"]) -> None:
    """Write a row; numba compiles an assignment of arrays for seconds, as it may raise a message about shapes."""
    for axis in range(3):
        points[row, axis] = point[axis]


@jit
def _trace_back(
    scene: Scene,
    order: int,
    faces: Int[np.ndarray, "order 2"],
    images: Float[np.ndarray, "images 3"],
    listener: Float[np.ndarray, " 3"],
    points: Float[np.ndarray, "points 3"],
    normal: Float[np.ndarray, " 3"],
) -> bool:
    """Trace the path from the listener to the source; write its vertices and return whether the path is valid."""
    _write_point(points, 0, listener)
    for step in range(order):
        number = order - 1 - step
        block, face = faces[number, 0], faces[number, 1]
        in_front = _plane_distance(scene, block, face, normal, points[step])
        behind = -_plane_distance(scene, block, face, normal, images[number + 1])
        if in_front <= 0 or behind <= 0:
            return False
        share = in_front / (in_front + behind)
        for axis in range(3):
            points[step + 1, axis] = points[step, axis] + share * (images[number + 1, axis] - points[step, axis])
        if not _is_within_face(scene, block, face, points[step + 1]):
            return False
    _write_point(points, order + 1, images[0])
    for segment in range(order + 1):
        start, end = points[segment], points[segment + 1]
        if is_occluded(scene, start, end):
            return False
    return True


@jit
def image_source_paths(scene: Scene, large: Bool[np.ndarray, "n 6"], max_order: int, ends: Endpoints) -> Paths:
    """Find the direct sound and all specular reflections.

    Args:
        scene: the room.
        large: from `large_faces`.
        max_order: largest number of reflections, 0 to 3; 0 gives the direct sound alone.
        ends: loudspeaker and listener.

    Returns:
        One path per valid image source. The direct sound comes first, unless it is occluded.
    """
    source, listener, bands = ends.source, ends.listener, scene.absorption.shape[1]
    paths, found = empty_paths(_CAPACITY, bands), zero()
    faces, images = np.zeros((MAX_ORDER, 2), np.int64), np.empty((MAX_ORDER + 1, 3))
    points, normal, radiated = np.empty((MAX_ORDER + 2, 3)), np.empty(3), np.empty(bands)
    _write_point(images, 0, source)
    total = 6 * scene.blocks.shape[0]
    # Depth-first search over sequences of faces: faces[:order] is the sequence, next_face[order] the first face that
    # has not been appended to it yet.
    order = zero()
    next_face = np.zeros(MAX_ORDER + 1, np.int64)
    while order >= 0:
        if next_face[order] == 0 and _trace_back(scene, order, faces, images, listener, points, normal):
            if found == _CAPACITY:
                raise ValueError("the room has more than 4096 specular reflections")
            directivity_gain(ends, points[order] - source, radiated)
            paths.path_length[found] = distance_between(listener, images[order])
            write_direction(paths, found, listener, images[order], paths.path_length[found])
            for band in range(bands):
                energy = 1.0
                for number in range(order):
                    material = scene.material[faces[number, 0], faces[number, 1]]
                    energy *= (1 - scene.absorption[material, band]) * (1 - scene.scattering[material, band])
                paths.gain[found, band] = radiated[band] * np.sqrt(energy) / paths.path_length[found]
            found += 1
        while order < max_order and next_face[order] < total:
            block, face = next_face[order] // 6, next_face[order] % 6
            next_face[order] += 1
            all_shell, all_large = block == 0, large[block, face]
            for number in range(order):
                all_shell = all_shell and faces[number, 0] == 0
                all_large = all_large and large[faces[number, 0], faces[number, 1]]
            is_repeated = order > 0 and faces[order - 1, 0] == block and faces[order - 1, 1] == face
            if is_repeated or not is_image_source_path(order + 1, all_large, all_shell):
                continue
            distance = _plane_distance(scene, block, face, normal, images[order])
            if distance <= 0:
                continue
            faces[order, 0], faces[order, 1] = block, face
            for axis in range(3):
                images[order + 1, axis] = images[order, axis] - 2 * distance * normal[axis]
            order += 1
            next_face[order] = 0
            break
        else:
            order -= 1
    return first_paths(paths, found)
