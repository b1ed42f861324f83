"""Edge diffraction by the uniform theory of diffraction for a rigid wedge.

Kouyoumjian and Pathak (Proc. IEEE 62, 1974), applied to sound as by Tsingos et al. (SIGGRAPH 2001). The diffracted
wave is continuous across the boundary of a specular reflection, and at low frequency the edges of a narrow board cancel
its reflection. The theory assumes edges long against the wavelength: below about 500 Hz it is an extrapolation. The
phase of the coefficient lies within 45 degrees of 0 or 180, so that only its sign is kept.
"""

import numpy as np
from jaxtyping import Complex, Float
from scipy.special import modfresnelm

from echodepth.simulate.acoustics.loudspeaker import directivity_gain
from echodepth.simulate.acoustics.paths import Endpoints, Paths, empty_paths, first_paths, write_direction
from echodepth.simulate.jit import jit, zero
from echodepth.simulate.rooms.materials import OCTAVES
from echodepth.simulate.rooms.ray_casting import block_coordinates, is_occluded
from echodepth.simulate.rooms.scene import Scene

_WEDGE = 1.5  # exterior angle of a block's edge, in units of pi
_JOINT = 0.03  # metres: an edge closer to the room's shell is a joint and does not diffract
# Table of the transition function over the logarithm of its argument; beyond the table it has reached its limits.
_LOW, _HIGH, _STEPS = -8.0, 3.0, 551
_ARGUMENTS = 10 ** np.linspace(_LOW, _HIGH, _STEPS)
_TRANSITION: Complex[np.ndarray, " 551"] = (
    2j * np.sqrt(_ARGUMENTS) * np.exp(1j * _ARGUMENTS) * modfresnelm(np.sqrt(_ARGUMENTS))[0]
)
_FREQUENCIES = np.array(OCTAVES)


@jit
def _transition(x: float) -> complex:
    """Transition function F of Kouyoumjian and Pathak."""
    position = (np.log10(max(x, 1e-8)) - _LOW) * (_STEPS - 1) / (_HIGH - _LOW)
    low = min(int(position), _STEPS - 2)
    share = min(position - low, 1.0)
    return complex((1 - share) * _TRANSITION[low] + share * _TRANSITION[low + 1])


@jit
def _cotangent_term(angle: float, side: float, kl: float) -> complex:
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
def _wedge_terms(listener_angle: float, source_angle: float, kl: float) -> complex:
    """Sum of the four terms for a rigid wedge; angles are measured from one of its faces, radians."""
    difference, total = listener_angle - source_angle, listener_angle + source_angle
    return (
        _cotangent_term(difference, 1.0, kl)
        + _cotangent_term(difference, -1.0, kl)
        + _cotangent_term(total, 1.0, kl)
        + _cotangent_term(total, -1.0, kl)
    )


@jit
def edge_pressure(
    source_distance: float,
    listener_distance: float,
    sin_beta: float,
    listener_angle: float,
    source_angle: float,
    wave_number: float,
) -> float:
    """Diffracted pressure of an edge at the listener, relative to the pressure at 1 m from the source.

    Args:
        source_distance: metres from the source to the diffraction point.
        listener_distance: metres from the diffraction point to the listener.
        sin_beta: sine of the angle between ray and edge.
        listener_angle: angle of the listener around the edge, from one face, radians.
        source_angle: the same of the source.
        wave_number: radians per metre.
    """
    kl = wave_number * source_distance * listener_distance / (source_distance + listener_distance) * sin_beta**2
    terms = _wedge_terms(listener_angle, source_angle, kl)
    coefficient = -np.exp(-0.25j * np.pi) / (2 * _WEDGE * np.sqrt(2 * np.pi * wave_number) * sin_beta) * terms
    spreading = np.sqrt(1 / (source_distance * listener_distance * (source_distance + listener_distance)))
    sign = 1.0 if coefficient.real >= 0 else -1.0
    return float(sign * abs(coefficient) * spreading)


@jit
def _wedge_angle(height_a: float, height_b: float) -> float:
    """Angle around an edge from face a to a point at signed heights over the planes of the faces a and b; radians.

    The faces meet at a right angle; inside the block both heights are negative.
    """
    angle = np.arctan2(height_a, -height_b)
    return float(angle if angle >= 0 else angle + 2 * np.pi)


@jit
def diffraction_paths(scene: Scene, ends: Endpoints, speed_of_sound: float) -> Paths:
    """Find the shortest path over each free edge of each block.

    Args:
        scene: the room.
        ends: loudspeaker and listener.
        speed_of_sound: m/s.

    Returns:
        One path per edge that contains its diffraction point and occludes neither segment.
    """
    source, listener = ends.source, ends.listener
    count, bands = scene.blocks.shape[0], scene.absorption.shape[1]
    paths, found = empty_paths(12 * count, bands), zero()
    radiated, corner, point = np.empty(bands), np.empty(3), np.empty(3)
    for block in range(1, count):
        source_local = block_coordinates(scene.blocks[block], source)
        listener_local = block_coordinates(scene.blocks[block], listener)
        for edge in range(12):
            along = edge // 4
            first, second = (along + 1) % 3, (along + 2) % 3
            side_a, side_b = 2.0 * (edge % 2) - 1, 2.0 * (edge // 2 % 2) - 1
            half_a, half_b = scene.blocks[block, 3 + first], scene.blocks[block, 3 + second]
            source_a, source_b = side_a * source_local[first] - half_a, side_b * source_local[second] - half_b
            listener_a, listener_b = side_a * listener_local[first] - half_a, side_b * listener_local[second] - half_b
            if (source_a <= 0 and source_b <= 0) or (listener_a <= 0 and listener_b <= 0):
                continue
            source_radius, listener_radius = np.hypot(source_a, source_b), np.hypot(listener_a, listener_b)
            position = (source_local[along] * listener_radius + listener_local[along] * source_radius) / (
                source_radius + listener_radius
            )
            if abs(position) >= scene.blocks[block, 3 + along]:
                continue
            corner[along], corner[first], corner[second] = position, side_a * half_a, side_b * half_b
            _to_room(scene.blocks[block], corner, point)
            if _is_at_shell(scene.blocks[0], point):
                continue
            if is_occluded(scene, source, point) or is_occluded(scene, point, listener):
                continue
            source_distance = np.hypot(source_radius, source_local[along] - position)
            listener_distance = np.hypot(listener_radius, listener_local[along] - position)
            directivity_gain(ends, point - source, radiated)
            material_a = scene.material[block, 2 * first + (1 if side_a > 0 else 0)]
            material_b = scene.material[block, 2 * second + (1 if side_b > 0 else 0)]
            for band in range(bands):
                pressure = edge_pressure(
                    source_distance,
                    listener_distance,
                    source_radius / source_distance,
                    _wedge_angle(listener_a, listener_b),
                    _wedge_angle(source_a, source_b),
                    2 * np.pi * _FREQUENCIES[band] / speed_of_sound,
                )
                specular_a = (1 - scene.absorption[material_a, band]) * (1 - scene.scattering[material_a, band])
                specular_b = (1 - scene.absorption[material_b, band]) * (1 - scene.scattering[material_b, band])
                paths.gain[found, band] = radiated[band] * pressure * np.sqrt((specular_a + specular_b) / 2)
            write_direction(paths, found, listener, point, listener_distance)
            paths.path_length[found] = source_distance + listener_distance
            found += 1
    return first_paths(paths, found)


@jit
def _to_room(block: Float[np.ndarray, " 8"], local: Float[np.ndarray, " 3"], point: Float[np.ndarray, " 3"]) -> None:
    """Write the room coordinates of a point that is given in a block's own frame."""
    point[0] = block[0] + block[6] * local[0] - block[7] * local[1]
    point[1] = block[1] + block[7] * local[0] + block[6] * local[1]
    point[2] = block[2] + local[2]


@jit
def _is_at_shell(shell: Float[np.ndarray, " 8"], point: Float[np.ndarray, " 3"]) -> bool:
    x, y, z = point[0] - shell[0], point[1] - shell[1], point[2] - shell[2]
    return bool(max(abs(x) - shell[3], abs(y) - shell[4], abs(z) - shell[5]) > -_JOINT)
