"""Compiled geometry that light and sound share: ray-box intersection, occlusion, face normals, block coordinates.

A point or direction is an array or a tuple of three numbers; in an inner loop a tuple costs no allocation.
"""

import numpy as np
from jaxtyping import Float

from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.materials import Vector
from echodepth.simulate.rooms.scene import Scene

Point = Float[np.ndarray, " 3"] | Vector

_MARGIN = 1e-6  # share of a segment's length: a surface does not occlude the points that lie on it
_TINY = 1e-12


@jit
def intersect_block(block: Float[np.ndarray, " 8"], start: Point, direction: Point) -> tuple[float, float, int, int]:
    """Intersect a ray with a block by the slab method (Kay and Kajiya, SIGGRAPH 1986).

    Returns:
        Distances at which the ray enters and leaves, in lengths of the direction, the face entered and the face left.
        The ray misses the block when the first distance exceeds the second.
    """
    cosine, sine = block[6], block[7]
    rx, ry = start[0] - block[0], start[1] - block[1]
    px, py, pz = cosine * rx + sine * ry, cosine * ry - sine * rx, start[2] - block[2]
    dx, dy, dz = direction[0], direction[1], direction[2]
    qx, qy, qz = cosine * dx + sine * dy, cosine * dy - sine * dx, dz
    ix = 1 / (qx if abs(qx) > _TINY else _TINY)
    iy = 1 / (qy if abs(qy) > _TINY else _TINY)
    iz = 1 / (qz if abs(qz) > _TINY else _TINY)
    reach = block[3] * abs(ix)
    enter, leave = -px * ix - reach, -px * ix + reach
    face_in, face_out = (0 if ix > 0 else 1), (1 if ix > 0 else 0)
    reach = block[4] * abs(iy)
    near, far = -py * iy - reach, -py * iy + reach
    if near > enter:
        enter, face_in = near, (2 if iy > 0 else 3)
    if far < leave:
        leave, face_out = far, (3 if iy > 0 else 2)
    reach = block[5] * abs(iz)
    near, far = -pz * iz - reach, -pz * iz + reach
    if near > enter:
        enter, face_in = near, (4 if iz > 0 else 5)
    if far < leave:
        leave, face_out = far, (5 if iz > 0 else 4)
    return enter, leave, face_in, face_out


@jit
def first_hit(scene: Scene, start: Point, direction: Point) -> tuple[float, int, int]:
    """Find the nearest surface on a ray that starts inside the room.

    Args:
        scene: the room.
        start: metres.
        direction: of any length.

    Returns:
        The distance to the hit in lengths of the direction, the block (0 is the shell) and its face.
    """
    x, y, z = start[0], start[1], start[2]
    dx, dy, dz = direction[0], direction[1], direction[2]
    _, distance, _, face = intersect_block(scene.blocks[0], (x, y, z), (dx, dy, dz))
    hit = 0
    squared = dx * dx + dy * dy + dz * dz
    for piece in range(scene.bounding_spheres.shape[0]):
        sphere = scene.bounding_spheres[piece]
        sx, sy, sz = sphere[0] - x, sphere[1] - y, sphere[2] - z
        along = sx * dx + sy * dy + sz * dz
        radius2 = sphere[3] ** 2
        distance2 = sx * sx + sy * sy + sz * sz
        # The ray's line misses the sphere, or the sphere lies behind the start.
        if distance2 - along * along / squared > radius2 or (along < 0 and distance2 > radius2):
            continue
        for block in range(scene.first_block[piece], scene.first_block[piece + 1]):
            enter, leave, face_in, _ = intersect_block(scene.blocks[block], (x, y, z), (dx, dy, dz))
            if enter < leave and 0 < enter < distance:
                distance, hit, face = enter, block, face_in
    return distance, hit, face


@jit
def is_occluded(scene: Scene, start: Point, end: Point) -> bool:
    """Whether a block intersects the segment between two points of the room, metres."""
    x, y, z = start[0], start[1], start[2]
    dx, dy, dz = end[0] - x, end[1] - y, end[2] - z
    squared = dx * dx + dy * dy + dz * dz
    for piece in range(scene.bounding_spheres.shape[0]):
        sphere = scene.bounding_spheres[piece]
        sx, sy, sz = sphere[0] - x, sphere[1] - y, sphere[2] - z
        along = min(max((sx * dx + sy * dy + sz * dz) / squared, 0.0), 1.0)
        gx, gy, gz = sx - along * dx, sy - along * dy, sz - along * dz
        if gx * gx + gy * gy + gz * gz > sphere[3] ** 2:
            continue
        for block in range(scene.first_block[piece], scene.first_block[piece + 1]):
            enter, leave, _, _ = intersect_block(scene.blocks[block], (x, y, z), (dx, dy, dz))
            if enter < leave and leave > _MARGIN and enter < 1 - _MARGIN:
                return True
    return False


@jit
def face_normal(scene: Scene, block: int, face: int, normal: Float[np.ndarray, " 3"]) -> None:
    """Write a face's unit normal into ``normal``. It points into the air: inwards on the shell, outwards elsewhere."""
    sign = 1.0 if face % 2 else -1.0
    if block == 0:
        sign = -sign
    cosine, sine = scene.blocks[block, 6], scene.blocks[block, 7]
    normal[:] = 0.0
    if face < 2:
        normal[0], normal[1] = sign * cosine, sign * sine
    elif face < 4:
        normal[0], normal[1] = -sign * sine, sign * cosine
    else:
        normal[2] = sign


@jit
def block_coordinates(block: Float[np.ndarray, " 8"], point: Point) -> Vector:
    """Coordinates of a point in a block's own frame, whose origin is the block's centre, metres."""
    rx, ry = point[0] - block[0], point[1] - block[1]
    return block[6] * rx + block[7] * ry, block[6] * ry - block[7] * rx, point[2] - block[2]
