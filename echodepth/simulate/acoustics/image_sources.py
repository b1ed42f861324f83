"""Mirror reflections: image sources of a loudspeaker in every face of a world, with every leg checked for blocks.

Allen and Berkley's idea (1979) for any faces (Borish 1984): the loudspeaker is mirrored in one face after another;
the straight way from the last image to the listener, folded back, must meet each face within its bounds and no block
in between. What is searched: one reflection in any face; two in large ones; three in the shell's. `covered` says
the same of a path that is known, so that the ray tracer leaves out exactly what is found here.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from echodepth.simulate.acoustics.loudspeaker import sent
from echodepth.simulate.acoustics.paths import Paths, first_of, room_for
from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.ray_casting import hidden
from echodepth.simulate.rooms.scene import World

MAX_ORDER = 3
_LARGE = 1.0  # square metres: from here on a face takes part in double reflections
_MOST = 4096  # paths; a furnished room has about a hundred


def large_faces(world: World) -> Bool[np.ndarray, "n 6"]:
    """Which faces are large enough for double reflections: all of the shell, and those of at least 1 m²."""
    width, depth, height = 2 * world.blocks[:, 3:6].T
    areas = np.stack([depth * height, depth * height, width * height, width * height, width * depth, width * depth], 1)
    large: np.ndarray = areas >= _LARGE
    large[0] = True
    return large


@jit
def covered(order: int, all_large: bool, all_shell: bool) -> bool:
    """Whether a path of mirror reflections alone is found by `mirror_paths`."""
    return order <= 1 or (order == 2 and all_large) or (order <= MAX_ORDER and all_shell)


@jit
def face_normal(world: World, block: int, face: int, normal: Float[np.ndarray, " 3"]) -> None:
    """Write a face's unit normal into ``normal``; it points into the air: inwards on the shell."""
    sign = 1.0 if face % 2 else -1.0
    if block == 0:
        sign = -sign
    cosine, sine = world.blocks[block, 6], world.blocks[block, 7]
    normal[:] = 0.0
    if face < 2:
        normal[0], normal[1] = sign * cosine, sign * sine
    elif face < 4:
        normal[0], normal[1] = -sign * sine, sign * cosine
    else:
        normal[2] = sign


@jit
def _height_over(
    world: World, block: int, face: int, normal: Float[np.ndarray, " 3"], point: Float[np.ndarray, " 3"]
) -> float:
    """Signed distance of a point from a face's plane, positive in the air."""
    face_normal(world, block, face, normal)
    height = 0.0
    for axis in range(3):
        height += normal[axis] * (point[axis] - world.blocks[block, axis])
    offset = world.blocks[block, 3 + face // 2]
    return float(height + offset if block == 0 else height - offset)


@jit
def _on_face(world: World, block: int, face: int, x: float, y: float, z: float) -> bool:
    """Whether a point of a face's plane lies within the face."""
    rx, ry = x - world.blocks[block, 0], y - world.blocks[block, 1]
    cosine, sine = world.blocks[block, 6], world.blocks[block, 7]
    inside = (
        abs(cosine * rx + sine * ry) <= world.blocks[block, 3],
        abs(cosine * ry - sine * rx) <= world.blocks[block, 4],
        abs(z - world.blocks[block, 2]) <= world.blocks[block, 5],
    )
    axis = face // 2
    return (axis == 0 or inside[0]) and (axis == 1 or inside[1]) and (axis == 2 or inside[2])


@jit
def _folds(
    world: World,
    order: int,
    faces: Int[np.ndarray, "order 2"],
    images: Float[np.ndarray, "images 3"],
    listener: Float[np.ndarray, " 3"],
    points: Float[np.ndarray, "points 3"],
    normal: Float[np.ndarray, " 3"],
) -> bool:
    """Fold the way from the last image to the listener back; write its corners, listener first, source last."""
    points[0] = listener
    for step in range(order):
        number = order - 1 - step
        block, face = faces[number, 0], faces[number, 1]
        here = _height_over(world, block, face, normal, points[step])
        there = -_height_over(world, block, face, normal, images[number + 1])
        if here <= 0 or there <= 0:
            return False
        share = here / (here + there)
        for axis in range(3):
            points[step + 1, axis] = points[step, axis] + share * (images[number + 1, axis] - points[step, axis])
        if not _on_face(world, block, face, points[step + 1, 0], points[step + 1, 1], points[step + 1, 2]):
            return False
    points[order + 1] = images[0]
    for leg in range(order + 1):
        a, b = points[leg], points[leg + 1]
        if hidden(world, a[0], a[1], a[2], b[0], b[1], b[2]):
            return False
    return True


@jit
def image_source_paths(
    world: World,
    large: Bool[np.ndarray, "n 6"],
    most: int,
    source: Float[np.ndarray, " 3"],
    listener: Float[np.ndarray, " 3"],
    ahead: Float[np.ndarray, " 3"],
    directivity: Float[np.ndarray, "181 8"],
) -> Paths:
    """Find the direct sound and all mirror reflections.

    Args:
        world: where.
        large: from `large_faces`.
        most: reflections, 0 to 3; 0 is the direct sound alone.
        source: where the loudspeaker is, metres.
        listener: where the head's centre is, metres.
        ahead: where the loudspeaker faces, a unit vector.
        directivity: its table.

    Returns:
        The direct sound first, if nothing stands in its way.
    """
    bands = world.absorption.shape[1]
    paths, found = room_for(_MOST, bands), 0
    faces, images = np.zeros((MAX_ORDER, 2), np.int64), np.empty((MAX_ORDER + 1, 3))
    points, normal, left = np.empty((MAX_ORDER + 2, 3)), np.empty(3), np.empty(bands)
    images[0] = source
    total = 6 * world.blocks.shape[0]
    # An odometer over sequences of faces: faces[:order] is the sequence, -1 asks for the next order's first face.
    order = 0
    following = np.zeros(MAX_ORDER + 1, np.int64)
    while order >= 0:
        if following[order] == 0 and _folds(world, order, faces, images, listener, points, normal):
            if found == _MOST:
                raise ValueError("a room has more mirror reflections than the simulator holds")
            away = points[order] - source
            sent(directivity, ahead, away[0], away[1], away[2], left)
            span = images[order] - listener
            paths.way[found] = np.sqrt((span * span).sum())
            paths.direction[found] = span / paths.way[found]
            for band in range(bands):
                energy = 1.0
                for number in range(order):
                    of = world.surface[faces[number, 0], faces[number, 1]]
                    energy *= (1 - world.absorption[of, band]) * (1 - world.scattering[of, band])
                paths.gain[found, band] = left[band] * np.sqrt(energy) / paths.way[found]
            found += 1
        advanced = False
        while order < most and following[order] < total:
            block, face = following[order] // 6, following[order] % 6
            following[order] += 1
            all_shell, all_large = block == 0, large[block, face]
            for number in range(order):
                all_shell = all_shell and faces[number, 0] == 0
                all_large = all_large and large[faces[number, 0], faces[number, 1]]
            again = order > 0 and faces[order - 1, 0] == block and faces[order - 1, 1] == face
            if again or not covered(order + 1, all_large, all_shell):
                continue
            height = _height_over(world, block, face, normal, images[order])
            if height <= 0:
                continue
            faces[order, 0], faces[order, 1] = block, face
            for axis in range(3):
                images[order + 1, axis] = images[order, axis] - 2 * height * normal[axis]
            order += 1
            following[order] = 0
            advanced = True
            break
        if not advanced:
            order -= 1
    return first_of(paths, found)
