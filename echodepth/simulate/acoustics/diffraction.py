"""Diffraction: what the blocks' edges send back, by the uniform theory of diffraction for a hard wedge.

Kouyoumjian and Pathak (Proc. IEEE 62, 1974), as used for sound by Tsingos et al. (SIGGRAPH 2001). At the border of a
mirror reflection the edge's wave takes over without a jump, and the two edges of a narrow board cancel its
reflection at low frequency, as they should. The theory is for edges long against the wave: below about 500 Hz it is
an extrapolation. Its phase lies within 45 degrees of 0 or 180: only the sign is kept.
"""

import numpy as np
from jaxtyping import Complex, Float
from scipy.special import modfresnelm

from echodepth.simulate.acoustics.loudspeaker import sent
from echodepth.simulate.acoustics.paths import Paths, first_of, room_for
from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.materials import OCTAVES
from echodepth.simulate.rooms.ray_casting import hidden
from echodepth.simulate.rooms.scene import World

_WEDGE = 1.5  # the air's angle around a block's edge, in units of pi
_FREE = 0.03  # metres: an edge nearer to the room's shell than this is a joint, not an edge
# The transition function is tabulated over the logarithm of its argument; outside it has reached its limits.
_LOW, _HIGH, _STEPS = -8.0, 3.0, 551
_ARGUMENTS = 10 ** np.linspace(_LOW, _HIGH, _STEPS)
_TRANSITION: Complex[np.ndarray, " 551"] = (
    2j * np.sqrt(_ARGUMENTS) * np.exp(1j * _ARGUMENTS) * modfresnelm(np.sqrt(_ARGUMENTS))[0]
)
_FREQUENCIES = np.array(OCTAVES)


@jit
def _transition(x: float) -> complex:
    place = (np.log10(max(x, 1e-8)) - _LOW) * (_STEPS - 1) / (_HIGH - _LOW)
    low = min(int(place), _STEPS - 2)
    share = min(place - low, 1.0)
    return complex((1 - share) * _TRANSITION[low] + share * _TRANSITION[low + 1])


@jit
def _term(angle: float, side: float, kl: float) -> complex:
    """One of the four terms: cot((pi +- angle) / 2n) F(kL a(angle)), with its finite limit where cot is infinite."""
    turns = np.round((angle + side * np.pi) / (2 * np.pi * _WEDGE))
    a = 2 * np.cos((2 * _WEDGE * np.pi * turns - angle) / 2) ** 2
    half = (np.pi + side * angle) / (2 * _WEDGE)
    sine = np.sin(half)
    if abs(sine) < 1e-6:
        sine = 1e-6 if sine >= 0 else -1e-6
        a = max(a, 2 * (_WEDGE * 1e-6) ** 2)
    return complex(np.cos(half) / sine * _transition(kl * a))


@jit
def wedge(out_angle: float, in_angle: float, kl: float) -> complex:
    """The sum of the four terms for a hard wedge; angles are measured from one of its faces, radians."""
    apart, together = out_angle - in_angle, out_angle + in_angle
    return _term(apart, 1.0, kl) + _term(apart, -1.0, kl) + _term(together, 1.0, kl) + _term(together, -1.0, kl)


@jit
def edge_pressure(
    source_far: float, listener_far: float, slant: float, out_angle: float, in_angle: float, wave_number: float
) -> float:
    """Pressure that an edge sends to a listener, relative to 1 m from the source.

    Args:
        source_far: metres from the source to the edge's point.
        listener_far: metres from there to the listener.
        slant: sine of the angle between ray and edge.
        out_angle: of the listener around the edge, from one face, radians.
        in_angle: of the source.
        wave_number: radians per metre.
    """
    kl = wave_number * source_far * listener_far / (source_far + listener_far) * slant**2
    sum_of_terms = wedge(out_angle, in_angle, kl)
    coefficient = -np.exp(-0.25j * np.pi) / (2 * _WEDGE * np.sqrt(2 * np.pi * wave_number) * slant) * sum_of_terms
    spread = np.sqrt(1 / (source_far * listener_far * (source_far + listener_far)))
    sign = 1.0 if coefficient.real >= 0 else -1.0
    return float(sign * abs(coefficient) * spread)


@jit
def _around(height_a: float, height_b: float) -> float:
    """Angle around an edge from face a, for a point at heights over the planes of the faces a and b; radians.

    The faces meet at a right angle; inside the block both heights are negative.
    """
    angle = np.arctan2(height_a, -height_b)
    return float(angle if angle >= 0 else angle + 2 * np.pi)


@jit
def diffraction_paths(
    world: World,
    source: Float[np.ndarray, " 3"],
    listener: Float[np.ndarray, " 3"],
    ahead: Float[np.ndarray, " 3"],
    directivity: Float[np.ndarray, "181 8"],
    speed_of_sound: float,
) -> Paths:
    """Find the shortest way over each free edge of each block, where it meets the edge and nothing stands in it.

    Args:
        world: where.
        source: where the loudspeaker is, metres.
        listener: where the head's centre is, metres.
        ahead: where the loudspeaker faces, a unit vector.
        directivity: its table.
        speed_of_sound: m/s.

    Returns:
        One path for each of those edges.
    """
    count, bands = world.blocks.shape[0], world.absorption.shape[1]
    paths, found = room_for(12 * count, bands), 0
    left, near, far, corner, point = np.empty(bands), np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for block in range(1, count):
        _into_block(world.blocks[block], source, far)
        _into_block(world.blocks[block], listener, near)
        for edge in range(12):
            along = edge // 4
            first, second = (along + 1) % 3, (along + 2) % 3
            side_a, side_b = 2.0 * (edge % 2) - 1, 2.0 * (edge // 2 % 2) - 1
            half_a, half_b = world.blocks[block, 3 + first], world.blocks[block, 3 + second]
            far_a, far_b = side_a * far[first] - half_a, side_b * far[second] - half_b
            near_a, near_b = side_a * near[first] - half_a, side_b * near[second] - half_b
            if (far_a <= 0 and far_b <= 0) or (near_a <= 0 and near_b <= 0):
                continue
            far_r, near_r = np.hypot(far_a, far_b), np.hypot(near_a, near_b)
            at = (far[along] * near_r + near[along] * far_r) / (far_r + near_r)
            if abs(at) >= world.blocks[block, 3 + along]:
                continue
            corner[along], corner[first], corner[second] = at, side_a * half_a, side_b * half_b
            _out_of_block(world.blocks[block], corner, point)
            if _at_shell(world.blocks[0], point):
                continue
            if hidden(world, source[0], source[1], source[2], point[0], point[1], point[2]):
                continue
            if hidden(world, point[0], point[1], point[2], listener[0], listener[1], listener[2]):
                continue
            to_far, to_near = np.hypot(far_r, far[along] - at), np.hypot(near_r, near[along] - at)
            sent(directivity, ahead, point[0] - source[0], point[1] - source[1], point[2] - source[2], left)
            face_a = world.surface[block, 2 * first + (1 if side_a > 0 else 0)]
            face_b = world.surface[block, 2 * second + (1 if side_b > 0 else 0)]
            for band in range(bands):
                pressure = edge_pressure(
                    to_far,
                    to_near,
                    far_r / to_far,
                    _around(near_a, near_b),
                    _around(far_a, far_b),
                    2 * np.pi * _FREQUENCIES[band] / speed_of_sound,
                )
                kept_a = (1 - world.absorption[face_a, band]) * (1 - world.scattering[face_a, band])
                kept_b = (1 - world.absorption[face_b, band]) * (1 - world.scattering[face_b, band])
                paths.gain[found, band] = left[band] * pressure * np.sqrt((kept_a + kept_b) / 2)
            paths.direction[found] = (point - listener) / to_near
            paths.way[found] = to_far + to_near
            found += 1
    return first_of(paths, found)


@jit
def _into_block(block: Float[np.ndarray, " 8"], point: Float[np.ndarray, " 3"], local: Float[np.ndarray, " 3"]) -> None:
    rx, ry = point[0] - block[0], point[1] - block[1]
    local[0], local[1] = block[6] * rx + block[7] * ry, block[6] * ry - block[7] * rx
    local[2] = point[2] - block[2]


@jit
def _out_of_block(
    block: Float[np.ndarray, " 8"], local: Float[np.ndarray, " 3"], point: Float[np.ndarray, " 3"]
) -> None:
    point[0] = block[0] + block[6] * local[0] - block[7] * local[1]
    point[1] = block[1] + block[7] * local[0] + block[6] * local[1]
    point[2] = block[2] + local[2]


@jit
def _at_shell(shell: Float[np.ndarray, " 8"], point: Float[np.ndarray, " 3"]) -> bool:
    x, y, z = point[0] - shell[0], point[1] - shell[1], point[2] - shell[2]
    return bool(max(abs(x) - shell[3], abs(y) - shell[4], abs(z) - shell[5]) > -_FREE)
