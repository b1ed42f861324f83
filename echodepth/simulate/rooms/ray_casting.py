"""The two questions that light and sound ask of a world, compiled: what does a ray meet first, what hides a point.

Rays are numbers, not arrays: inside a compiled loop that is what costs nothing.
"""

import numpy as np
from jaxtyping import Float

from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.scene import World

_SKIN = 1e-6  # of a segment's length: a surface does not hide its own points
_TINY = 1e-12


@jit
def slabs(
    block: Float[np.ndarray, " 8"], x: float, y: float, z: float, dx: float, dy: float, dz: float
) -> tuple[float, float, int, int]:
    """Where a ray enters and leaves a block, in lengths of its direction, and through which faces.

    Returns:
        Enter, leave, the face entered and the face left; the ray misses the block when enter > leave.
    """
    cosine, sine = block[6], block[7]
    rx, ry = x - block[0], y - block[1]
    px, py, pz = cosine * rx + sine * ry, cosine * ry - sine * rx, z - block[2]
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
def first_hit(world: World, x: float, y: float, z: float, dx: float, dy: float, dz: float) -> tuple[float, int, int]:
    """What a ray from inside the room meets first.

    Args:
        world: where.
        x: of the ray's start, metres.
        y: of the ray's start, metres.
        z: of the ray's start, metres.
        dx: of its direction, of any length.
        dy: of its direction.
        dz: of its direction.

    Returns:
        The way to the hit in lengths of the direction, the block (0 is the shell) and its face.
    """
    _, distance, _, face = slabs(world.blocks[0], x, y, z, dx, dy, dz)
    what = 0
    squared = dx * dx + dy * dy + dz * dz
    for piece in range(world.bounds.shape[0]):
        sx, sy, sz = world.bounds[piece, 0] - x, world.bounds[piece, 1] - y, world.bounds[piece, 2] - z
        along = sx * dx + sy * dy + sz * dz
        radius2 = world.bounds[piece, 3] ** 2
        apart2 = sx * sx + sy * sy + sz * sz
        # The sphere is missed by the ray's line, or lies behind its start.
        if apart2 - along * along / squared > radius2 or (along < 0 and apart2 > radius2):
            continue
        for block in range(world.first[piece], world.first[piece + 1]):
            enter, leave, face_in, _ = slabs(world.blocks[block], x, y, z, dx, dy, dz)
            if enter < leave and 0 < enter < distance:
                distance, what, face = enter, block, face_in
    return distance, what, face


@jit
def hidden(world: World, x: float, y: float, z: float, to_x: float, to_y: float, to_z: float) -> bool:
    """Whether a block stands in the straight way between two points of the room, metres."""
    dx, dy, dz = to_x - x, to_y - y, to_z - z
    squared = dx * dx + dy * dy + dz * dz
    for piece in range(world.bounds.shape[0]):
        sx, sy, sz = world.bounds[piece, 0] - x, world.bounds[piece, 1] - y, world.bounds[piece, 2] - z
        along = min(max((sx * dx + sy * dy + sz * dz) / squared, 0.0), 1.0)
        gx, gy, gz = sx - along * dx, sy - along * dy, sz - along * dz
        if gx * gx + gy * gy + gz * gz > world.bounds[piece, 3] ** 2:
            continue
        for block in range(world.first[piece], world.first[piece + 1]):
            enter, leave, _, _ = slabs(world.blocks[block], x, y, z, dx, dy, dz)
            if enter < leave and leave > _SKIN and enter < 1 - _SKIN:
                return True
    return False
