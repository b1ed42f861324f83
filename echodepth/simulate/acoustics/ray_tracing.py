"""The rest of the sound: rays that carry energy from the loudspeaker, and what of it passes the listener.

Each ray is absorbed at every wall and goes on either as from a mirror or, by Lambert's law, in a drawn direction. A
path's last event decides who counts it, so that nothing is counted twice:

    scattered once, nothing else             scatter.scattered_paths
    scattered last, after other events       here, seen from the hit ("diffuse rain", Schröder 2011)
    mirrored last, and `mirrors.covered`     mirrors.mirror_paths
    mirrored last, all others                here, when the ray crosses a sphere around the listener

After four events sound is taken as diffuse: from the fifth on every surface scatters all that it reflects, which few
rays render smoothly. That keeps the energy, and the decay of a room that is not long and bare.
"""

import math

import numpy as np
from jaxtyping import Bool, Float

from echodepth.simulate.acoustics.image_sources import covered, face_normal
from echodepth.simulate.acoustics.loudspeaker import sent
from echodepth.simulate.acoustics.paths import Paths, first_of, room_for
from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.ray_casting import first_hit, hidden
from echodepth.simulate.rooms.scene import World

LISTENER_RADIUS = 0.4
"""Metres of the sphere that counts rays; below the 0.5 m that a pose keeps free around the head."""

_BOUNCES = 96  # at 2 m a bounce, the mean in a small room, 0.56 s; a recording lasts 0.45 s
_MIXED = 4  # events after which sound is taken as diffuse
_THINNED = 6  # one ray in so many goes on then, with the energy of all
_PARTS = 12  # at most, of a ray that is heard; more are no denser for the ear, whose filters ring longer
_FAINT = 1e-6  # of a ray's energy: 60 dB down it is below any background


def draw_rays(count: int, rng: np.random.Generator) -> Float[np.ndarray, "count 97 3"]:
    """Draw what chance decides, for each ray its first direction and then each bounce.

    Returns:
        Three numbers in 0..1 each: height and azimuth of a direction in the head's own frame, so that a mirrored head
        has mirrored ones (azimuths from 1 downwards), and one to decide by. First directions lie on a spiral that
        covers the sphere evenly, turned at random.
    """
    rays = rng.random((count, _BOUNCES + 1, 3))
    rays[:, 0, 0] = 1 - (np.arange(count) + 0.5) / count
    rays[:, 0, 1] = (rays[0, 0, 1] + np.arange(count) * (3 - math.sqrt(5)) / 2) % 1
    return rays


@jit
def _chord(
    px: float, py: float, pz: float, dx: float, dy: float, dz: float, reach: float, listener: Float[np.ndarray, " 3"]
) -> tuple[float, float]:
    """Length of a ray's way through the listener's sphere before ``reach``, and where its middle lies; metres."""
    sx, sy, sz = listener[0] - px, listener[1] - py, listener[2] - pz
    along = sx * dx + sy * dy + sz * dz
    squared = LISTENER_RADIUS**2 - (sx * sx + sy * sy + sz * sz - along * along)
    if squared <= 0:
        return 0.0, 0.0
    half = np.sqrt(squared)
    start, end = max(along - half, 0.0), min(along + half, reach)
    return max(end - start, 0.0), (start + end) / 2


@jit
def _hear_crossing(
    paths: Paths,
    found: int,
    way: float,
    share: float,
    spread: float,
    ray: tuple[float, float, float],
    drawn: Float[np.ndarray, " 3"],
    energy: Float[np.ndarray, " bands"],
    whole: float,
) -> int:
    """Add a ray that crosses the listener's sphere: the share ``share`` of its energy.

    A ray stands for a beam, which by now holds many mirror images of the loudspeaker, each as strong as one over its
    way: so the energy comes in as many parts, at random within the time to the next ray.
    """
    parts = min(max(int(whole * share * way * way), 1), _PARTS)
    for part in range(parts):
        chance = drawn[2] * (1 + 89 * part)
        sign = 1.0 if chance * 977 % 1 < 0.5 else -1.0
        for band in range(energy.size):
            paths.gain[found, band] = sign * np.sqrt(energy[band] * share / parts)
        paths.direction[found, 0], paths.direction[found, 1], paths.direction[found, 2] = -ray[0], -ray[1], -ray[2]
        paths.way[found] = way + spread * (2 * (chance % 1) - 1) if parts > 1 else way
        found += 1
    return found


@jit
def _hear_scatter(
    paths: Paths,
    found: int,
    world: World,
    scattering: Float[np.ndarray, " bands"],
    travelled: float,
    hit: tuple[float, float, float],
    normal: Float[np.ndarray, " 3"],
    listener: Float[np.ndarray, " 3"],
    sign: float,
    energy: Float[np.ndarray, " bands"],
) -> int:
    """Add what a hit scatters to the listener, if they see each other."""
    sx, sy, sz = listener[0] - hit[0], listener[1] - hit[1], listener[2] - hit[2]
    far = np.sqrt(sx * sx + sy * sy + sz * sz)
    cosine = (normal[0] * sx + normal[1] * sy + normal[2] * sz) / far
    if cosine <= 0 or hidden(world, hit[0], hit[1], hit[2], listener[0], listener[1], listener[2]):
        return found
    share = cosine / (np.pi * far * far)
    for band in range(energy.size):
        paths.gain[found, band] = sign * np.sqrt(energy[band] * scattering[band] * share)
    paths.direction[found, 0], paths.direction[found, 1], paths.direction[found, 2] = -sx / far, -sy / far, -sz / far
    paths.way[found] = travelled + far
    return found + 1


@jit
def _absorb(world: World, of: int, energy: Float[np.ndarray, " bands"]) -> tuple[float, float]:
    """Take from ``energy`` what a surface absorbs; the largest that is left, and the share of all that scatters."""
    largest, scatters, total = 0.0, 0.0, 0.0
    for band in range(energy.size):
        energy[band] *= 1 - world.absorption[of, band]
        largest = max(largest, energy[band])
        scatters += energy[band] * world.scattering[of, band]
        total += energy[band]
    return largest, scatters / total if total > 0 else 0.0


@jit
def ray_traced_paths(
    world: World,
    large: Bool[np.ndarray, "n 6"],
    rays: Float[np.ndarray, "count 97 3"],
    axes: Float[np.ndarray, "3 3"],
    source: Float[np.ndarray, " 3"],
    listener: Float[np.ndarray, " 3"],
    directivity: Float[np.ndarray, "181 8"],
    longest: float,
) -> Paths:
    """Follow rays through the room.

    Args:
        world: where.
        large: from `mirrors.large_faces`.
        rays: from `draw_rays`.
        axes: columns: forward, left and up of the head; the loudspeaker faces forward.
        source: where the loudspeaker is, metres.
        listener: where the head's centre is, metres.
        directivity: the loudspeaker's table.
        longest: metres after which a ray is given up.

    Returns:
        One path each time that a ray is heard. The square of its pressure is the energy, its sign is drawn.
    """
    count, bands = rays.shape[0], world.absorption.shape[1]
    paths, found = room_for((_PARTS + 1) * count * _BOUNCES, bands), 0
    energy, everything, normal = np.empty(bands), np.ones(bands), np.empty(3)
    whole = 4 * np.pi / count  # of a ray: a pressure of 1 at 1 m is a power of 4 pi
    sphere = 4 / 3 * np.pi * LISTENER_RADIUS**3
    # Metres of way in which one ray crosses the sphere on average: the room over what the rays sweep.
    spread = 8 * world.blocks[0, 3] * world.blocks[0, 4] * world.blocks[0, 5] / (count * np.pi * LISTENER_RADIUS**2)
    for ray in range(count):
        dx, dy, dz = _to_world(axes, rays[ray, 0])
        sent(directivity, axes[:, 0], dx, dy, dz, energy)
        energy[:] = energy**2 * whole
        px, py, pz = source[0], source[1], source[2]
        travelled, mirrors = 0.0, 0
        scattered, mirrored_last, all_large, all_shell = False, True, True, True
        for bounce in range(1, _BOUNCES + 1):
            drawn = rays[ray, bounce]
            reach, block, face = first_hit(world, px, py, pz, dx, dy, dz)
            if mirrored_last and (scattered or not covered(mirrors, all_large, all_shell)):
                chord, middle = _chord(px, py, pz, dx, dy, dz, reach, listener)
                if chord > 0:
                    way, share = travelled + middle, chord / sphere
                    near = min(spread, way / 4)
                    found = _hear_crossing(paths, found, way, share, near, (dx, dy, dz), drawn, energy, whole)
            travelled += reach
            of = world.surface[block, face]
            largest, scatters = _absorb(world, of, energy)
            if travelled > longest or largest < _FAINT * whole:
                break
            scattering = world.scattering[of]
            if bounce > _MIXED:
                scattering, scatters = everything, 1.0
                if bounce == _MIXED + 1:
                    if ray % _THINNED:
                        break
                    energy *= _THINNED
            px, py, pz = px + reach * dx, py + reach * dy, pz + reach * dz
            face_normal(world, block, face, normal)
            if bounce > 1 and scatters > 0:
                sign = 1.0 if drawn[0] < 0.5 else -1.0
                found = _hear_scatter(
                    paths, found, world, scattering, travelled, (px, py, pz), normal, listener, sign, energy
                )
            mirrored_last = drawn[2] >= scatters
            if mirrored_last:
                slope = 2 * (dx * normal[0] + dy * normal[1] + dz * normal[2])
                dx, dy, dz = dx - slope * normal[0], dy - slope * normal[1], dz - slope * normal[2]
                for band in range(bands):
                    energy[band] *= (1 - scattering[band]) / (1 - scatters)
                mirrors += 1
                all_large, all_shell = all_large and large[block, face], all_shell and block == 0
            else:
                # A unit vector added to the normal is distributed by Lambert's law.
                dx, dy, dz = _to_world(axes, drawn)
                dx, dy, dz = dx + normal[0], dy + normal[1], dz + normal[2]
                size = np.sqrt(dx * dx + dy * dy + dz * dz)
                dx, dy, dz = dx / size, dy / size, dz / size
                for band in range(bands):
                    energy[band] *= scattering[band] / scatters
                scattered = True
    return first_of(paths, found)


@jit
def _to_world(axes: Float[np.ndarray, "3 3"], drawn: Float[np.ndarray, " 3"]) -> tuple[float, float, float]:
    """The drawn direction, a unit vector of the world."""
    up, angle = 2 * drawn[0] - 1, 2 * np.pi * drawn[1]
    radius = np.sqrt(1 - up * up)
    forward, left = radius * np.cos(angle), radius * np.sin(angle)
    return (
        axes[0, 0] * forward + axes[0, 1] * left + axes[0, 2] * up,
        axes[1, 0] * forward + axes[1, 1] * left + axes[1, 2] * up,
        axes[2, 0] * forward + axes[2, 1] * left + axes[2, 2] * up,
    )
