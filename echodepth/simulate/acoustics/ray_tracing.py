"""Ray tracing of the sound that the other methods leave out: rays carry energy from the loudspeaker to the listener.

Each surface absorbs part of a ray's energy and reflects it either specularly or, by Lambert's law, in a random
direction. The last event of a path decides which method counts it, so that no energy is counted twice:

    scattered once, no other event           scattering.scattered_paths
    scattered last, after other events       here, from the hit to the listener ("diffuse rain", Schröder 2011)
    reflected specularly last, and
    image_sources.is_image_source_path       image_sources.image_source_paths
    reflected specularly last, all others    here, when the ray crosses a sphere around the listener

After four events the sound field is taken as diffuse: from the fifth event on every surface scatters all the energy
that it reflects, which needs few rays. Energy is conserved, and so is the decay of a room that is not long and bare.
"""

import math

import numpy as np
from jaxtyping import Bool, Float

from echodepth.simulate.acoustics.image_sources import is_image_source_path
from echodepth.simulate.acoustics.loudspeaker import directivity_gain
from echodepth.simulate.acoustics.paths import Endpoints, Paths, empty_paths, first_paths
from echodepth.simulate.jit import jit, zero
from echodepth.simulate.rooms.materials import Vector
from echodepth.simulate.rooms.ray_casting import face_normal, first_hit, is_occluded
from echodepth.simulate.rooms.scene import Scene

LISTENER_RADIUS = 0.4
"""Radius of the sphere that detects rays, metres; less than the 0.5 m that a pose keeps free around the head.

A head that is nearer to the floor, to a wall or to the ceiling has a smaller sphere, which touches it: the part of a
sphere behind a surface detects nothing, and the energy would be too low.
"""

_SMALLEST_RADIUS = 0.05  # metres
_BOUNCES = 96  # at 2 m a bounce, the mean in a small room, 0.56 s; a recording lasts 0.45 s
_DIFFUSE_AFTER = 4  # events after which the sound field is taken as diffuse
_THINNING = 6  # from then on one ray in six is traced, with six times the energy
_MAX_PARTS = 12  # paths per detected ray; the auditory filters of the ear do not resolve more
_FAINT = 1e-6  # share of a ray's energy at which it ends: -60 dB is below any background noise


def draw_rays(count: int, rng: np.random.Generator) -> Float[np.ndarray, "count 97 3"]:
    """Draw the random numbers of all rays: for each ray its first direction, then one triple per bounce.

    Returns:
        Numbers in 0..1. The first two of a triple are height and azimuth of a direction, the third decides between
        specular and diffuse reflection. Directions are given in the head frame, so that a mirrored scene is simulated
        with mirrored directions (1 minus the azimuth). First directions lie on a spiral that covers the sphere evenly,
        rotated at random.
    """
    rays = rng.random((count, _BOUNCES + 1, 3))
    rays[:, 0, 0] = 1 - (np.arange(count) + 0.5) / count
    rays[:, 0, 1] = (rays[0, 0, 1] + np.arange(count) * (3 - math.sqrt(5)) / 2) % 1
    return rays


@jit
def _listener_radius(shell: Float[np.ndarray, " 8"], listener: Float[np.ndarray, " 3"]) -> float:
    """Radius of the listener's sphere, metres."""
    radius = LISTENER_RADIUS
    for axis in range(3):
        radius = min(radius, shell[3 + axis] - abs(listener[axis] - shell[axis]))
    return float(max(radius, _SMALLEST_RADIUS))


@jit
def _chord(
    start: Vector, direction: Vector, reach: float, listener: Float[np.ndarray, " 3"], radius: float
) -> tuple[float, float]:
    """Length of a ray inside the listener's sphere before ``reach``, and the distance of its middle; metres."""
    sx, sy, sz = listener[0] - start[0], listener[1] - start[1], listener[2] - start[2]
    along = sx * direction[0] + sy * direction[1] + sz * direction[2]
    squared = radius**2 - (sx * sx + sy * sy + sz * sz - along * along)
    if squared <= 0:
        return 0.0, 0.0
    half = np.sqrt(squared)
    enter, leave = max(along - half, 0.0), min(along + half, reach)
    return max(leave - enter, 0.0), (enter + leave) / 2


@jit
def _add_crossing(
    paths: Paths,
    found: int,
    path_length: float,
    chord: float,
    radius: float,
    spread: float,
    direction: Vector,
    drawn: Float[np.ndarray, " 3"],
    energy: Float[np.ndarray, " bands"],
    ray_energy: float,
) -> int:
    """Add a ray that crosses the listener's sphere on a chord; the share of its energy is chord over volume.

    A ray stands for a beam that contains many image sources of the loudspeaker, each with a pressure of one over its
    path length. The energy is therefore split into as many paths, at random lengths within the spacing of the rays.
    """
    share, spread = chord / (4 / 3 * np.pi * radius**3), min(spread, path_length / 4)
    parts = min(max(int(ray_energy * share * path_length * path_length), 1), _MAX_PARTS)
    for part in range(parts):
        chance = drawn[2] * (1 + 89 * part)
        sign = 1.0 if chance * 977 % 1 < 0.5 else -1.0
        for band in range(energy.size):
            paths.gain[found, band] = sign * np.sqrt(energy[band] * share / parts)
        for axis in range(3):
            paths.direction[found, axis] = -direction[axis]
        paths.path_length[found] = path_length + spread * (2 * (chance % 1) - 1) if parts > 1 else path_length
        found += 1
    return found


@jit
def _add_diffuse_rain(
    paths: Paths,
    found: int,
    scene: Scene,
    scattering: Float[np.ndarray, " bands"],
    travelled: float,
    hit: Vector,
    normal: Float[np.ndarray, " 3"],
    listener: Float[np.ndarray, " 3"],
    sign: float,
    energy: Float[np.ndarray, " bands"],
) -> int:
    """Add the sound that a hit scatters to the listener, unless the listener is occluded."""
    sx, sy, sz = listener[0] - hit[0], listener[1] - hit[1], listener[2] - hit[2]
    distance = np.sqrt(sx * sx + sy * sy + sz * sz)
    cosine = (normal[0] * sx + normal[1] * sy + normal[2] * sz) / distance
    if cosine <= 0 or is_occluded(scene, hit, listener):
        return found
    share = cosine / (np.pi * distance * distance)
    for band in range(energy.size):
        paths.gain[found, band] = sign * np.sqrt(energy[band] * scattering[band] * share)
    paths.direction[found, 0] = -sx / distance
    paths.direction[found, 1] = -sy / distance
    paths.direction[found, 2] = -sz / distance
    paths.path_length[found] = travelled + distance
    return found + 1


@jit
def _absorb(scene: Scene, material: int, energy: Float[np.ndarray, " bands"]) -> tuple[float, float]:
    """Absorb part of ``energy`` at a surface; return the largest band that is left and the scattered share of all."""
    largest, scattered, total = 0.0, 0.0, 0.0
    for band in range(energy.size):
        energy[band] *= 1 - scene.absorption[material, band]
        largest = max(largest, energy[band])
        scattered += energy[band] * scene.scattering[material, band]
        total += energy[band]
    return largest, scattered / total if total > 0 else 0.0


@jit
def _drawn_direction(axes: Float[np.ndarray, "3 3"], drawn: Float[np.ndarray, " 3"]) -> Vector:
    """Direction of a drawn triple, a unit vector in room coordinates."""
    up, angle = 2 * drawn[0] - 1, 2 * np.pi * drawn[1]
    radius = np.sqrt(1 - up * up)
    forward, left = radius * np.cos(angle), radius * np.sin(angle)
    return (
        axes[0, 0] * forward + axes[0, 1] * left + axes[0, 2] * up,
        axes[1, 0] * forward + axes[1, 1] * left + axes[1, 2] * up,
        axes[2, 0] * forward + axes[2, 1] * left + axes[2, 2] * up,
    )


@jit
def _reflect(
    direction: Vector,
    normal: Float[np.ndarray, " 3"],
    axes: Float[np.ndarray, "3 3"],
    drawn: Float[np.ndarray, " 3"],
    is_specular: bool,
    scattering: Float[np.ndarray, " bands"],
    scattered_share: float,
    energy: Float[np.ndarray, " bands"],
) -> Vector:
    """Reflect a ray specularly or in a random direction; the choice was random, so ``energy`` is weighted."""
    dx, dy, dz = direction
    if is_specular:
        for band in range(energy.size):
            energy[band] *= (1 - scattering[band]) / (1 - scattered_share)
        slope = 2 * (dx * normal[0] + dy * normal[1] + dz * normal[2])
        return dx - slope * normal[0], dy - slope * normal[1], dz - slope * normal[2]
    for band in range(energy.size):
        energy[band] *= scattering[band] / scattered_share
    # The sum of a random unit vector and the normal follows Lambert's law.
    dx, dy, dz = _drawn_direction(axes, drawn)
    dx, dy, dz = dx + normal[0], dy + normal[1], dz + normal[2]
    size = np.sqrt(dx * dx + dy * dy + dz * dz)
    return dx / size, dy / size, dz / size


@jit
def _trace_ray(
    paths: Paths,
    found: int,
    scene: Scene,
    large: Bool[np.ndarray, "n 6"],
    ray: Float[np.ndarray, "97 3"],
    axes: Float[np.ndarray, "3 3"],
    ends: Endpoints,
    longest: float,
    energy: Float[np.ndarray, " bands"],
    ray_energy: float,
    radius: float,
    spread: float,
    is_kept: bool,
) -> int:
    """Trace one ray; ``is_kept`` is whether it continues when the sound field is taken as diffuse."""
    listener, all_scattered, normal = ends.listener, np.ones(energy.size), np.empty(3)
    px, py, pz = ends.source[0], ends.source[1], ends.source[2]
    direction = _drawn_direction(axes, ray[0])
    travelled, reflections = 0.0, 0
    was_scattered, is_specular, all_large, all_shell = False, True, True, True
    for bounce in range(1, _BOUNCES + 1):
        drawn = ray[bounce]
        reach, block, face = first_hit(scene, (px, py, pz), direction)
        if is_specular and (was_scattered or not is_image_source_path(reflections, all_large, all_shell)):
            chord, middle = _chord((px, py, pz), direction, reach, listener, radius)
            if chord > 0:
                length = travelled + middle
                found = _add_crossing(paths, found, length, chord, radius, spread, direction, drawn, energy, ray_energy)
        travelled += reach
        material = scene.material[block, face]
        largest, scattered_share = _absorb(scene, material, energy)
        if travelled > longest or largest < _FAINT * ray_energy:
            break
        scattering = scene.scattering[material]
        if bounce > _DIFFUSE_AFTER:
            scattering, scattered_share = all_scattered, 1.0
            if bounce == _DIFFUSE_AFTER + 1:
                if not is_kept:
                    break
                energy *= _THINNING
        px, py, pz = px + reach * direction[0], py + reach * direction[1], pz + reach * direction[2]
        face_normal(scene, block, face, normal)
        if bounce > 1 and scattered_share > 0:
            sign, hit = 1.0 if drawn[0] < 0.5 else -1.0, (px, py, pz)
            found = _add_diffuse_rain(paths, found, scene, scattering, travelled, hit, normal, listener, sign, energy)
        is_specular = drawn[2] >= scattered_share
        direction = _reflect(direction, normal, axes, drawn, is_specular, scattering, scattered_share, energy)
        if is_specular:
            reflections += 1
            all_large, all_shell = all_large and large[block, face], all_shell and block == 0
        was_scattered = was_scattered or not is_specular
    return found


@jit
def ray_traced_paths(
    scene: Scene,
    large: Bool[np.ndarray, "n 6"],
    rays: Float[np.ndarray, "count 97 3"],
    axes: Float[np.ndarray, "3 3"],
    ends: Endpoints,
    longest: float,
) -> Paths:
    """Trace rays through the room.

    Args:
        scene: the room.
        large: from `image_sources.large_faces`.
        rays: from `draw_rays`.
        axes: head frame: columns are forward, left and up.
        ends: loudspeaker and listener.
        longest: metres after which a ray ends.

    Returns:
        One path or more per detection of a ray. The squared pressure is the energy; the sign is random.
    """
    count, bands = rays.shape[0], scene.absorption.shape[1]
    paths, found, energy = empty_paths((_MAX_PARTS + 1) * count * _BOUNCES, bands), zero(), np.empty(bands)
    ray_energy = 4 * np.pi / count  # a pressure of 1 at 1 m is a power of 4 pi
    # Mean path length between two crossings of the sphere by all rays: the room's volume over what the rays sweep.
    radius = _listener_radius(scene.blocks[0], ends.listener)
    spread = 8 * scene.blocks[0, 3] * scene.blocks[0, 4] * scene.blocks[0, 5] / (count * np.pi * radius**2)
    for ray in range(count):
        directivity_gain(ends, _drawn_direction(axes, rays[ray, 0]), energy)
        for band in range(bands):
            energy[band] = energy[band] ** 2 * ray_energy
        is_kept = ray % _THINNING == 0
        found = _trace_ray(
            paths, found, scene, large, rays[ray], axes, ends, longest, energy, ray_energy, radius, spread, is_kept
        )
    return first_paths(paths, found)
