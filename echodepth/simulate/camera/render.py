"""What the robot sees: colour with light, shadow and texture, and exact depth.

A pinhole camera at the head's centre looks along the heading. Its field of view is BatVision V2's, 86 x 57 degrees,
and the image is square, as V2's wide images are for a network: its pixels are wider than high.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from echodepth.simulate.acoustics.image_sources import face_normal
from echodepth.simulate.camera.textures import coloured, noise
from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.materials import PATTERNS
from echodepth.simulate.rooms.ray_casting import first_hit, hidden
from echodepth.simulate.rooms.scene import Pose, Room, World

FIELD_OF_VIEW = (86.0, 57.0)
"""Degrees, horizontally and vertically."""

_AMBIENT = 0.35  # share of light that comes from everywhere and throws no shadow
_CORNER = 0.30  # metres over which corners darken, since they see less of the room
_LAMP = 0.30  # metres: half the side of a ceiling light's panel
_FAINT = 0.05  # of the light on a wall beside a lamp: less is too little to see its shadow, half of it is taken
_LAMP_POWER = 3.0  # light at 1 m; only its ratio to the ambient light shows, the exposure takes care of the rest
_DAYLIGHT = 2.0  # a window's light against a white wall's
_EXPOSURE_JITTER, _WHITE_JITTER = 0.3, 0.04  # of an automatic camera: f-stops, share of a channel; assumed
_PANES = PATTERNS.index("panes")
_GAMMA = 1 / 2.2


@dataclass(frozen=True)
class RenderedView:
    """What a camera sees.

    Attributes:
        image: sRGB.
        depth: exact depth along the optical axis, metres.
        gloss: share of light that each pixel's surface mirrors; grows towards grazing sight.
    """

    image: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    gloss: Float[np.ndarray, "h w"]


def focal_lengths(size: int) -> tuple[float, float]:
    """Pixels, horizontally and vertically, of an image with ``size`` pixels to a side."""
    across, upward = (size / (2 * math.tan(math.radians(angle) / 2)) for angle in FIELD_OF_VIEW)
    return across, upward


@jit
def _ray(
    axes: Float[np.ndarray, "3 3"], row: int, column: int, size: int, fx: float, fy: float
) -> tuple[float, float, float]:
    """Direction through a pixel's centre, scaled to advance one metre along the optical axis."""
    left, up = (size / 2 - 0.5 - column) / fx, (size / 2 - 0.5 - row) / fy
    return (
        axes[0, 0] + left * axes[0, 1] + up * axes[0, 2],
        axes[1, 0] + left * axes[1, 1] + up * axes[1, 2],
        axes[2, 0] + left * axes[2, 1] + up * axes[2, 2],
    )


@jit
def _measure(
    world: World,
    at: Float[np.ndarray, " 3"],
    axes: Float[np.ndarray, "3 3"],
    fx: float,
    fy: float,
    depth: Float[np.ndarray, "h w"],
) -> None:
    size = depth.shape[0]
    for row in range(size):
        for column in range(size):
            dx, dy, dz = _ray(axes, row, column, size, fx, fy)
            depth[row, column] = first_hit(world, at[0], at[1], at[2], dx, dy, dz)[0]


def depth_map(room: Room, pose: Pose, size: int) -> Float[np.ndarray, "h w"]:
    """Exact depth along the optical axis, metres."""
    depth = np.empty((size, size))
    _measure(room.world, np.array(pose.position), pose.axes, *focal_lengths(size), depth)
    return depth


@jit
def _light(
    world: World, x: float, y: float, z: float, normal: Float[np.ndarray, " 3"], across: float, along: float
) -> float:
    """Light that falls on a surface point: from everywhere, and from the places on the lamps' panels that it sees.

    ``across`` and ``along`` (-1..1) say which place of the panels is asked: neighbouring pixels ask others, which
    makes shadows soft.
    """
    shell = world.blocks[0]
    light = _AMBIENT * (0.85 + 0.15 * normal[2])
    for axis, value in enumerate((x, y, z)):
        if abs(normal[axis]) < 0.7:
            gap = shell[3 + axis] - abs(value - shell[axis])
            light *= 1 - 0.35 * np.exp(-max(gap, 0.0) / _CORNER)
    for lamp in range(world.lights.shape[0]):
        lx, ly, lz = world.lights[lamp, 0], world.lights[lamp, 1], world.lights[lamp, 2]
        tx, ty, tz = lx - x, ly - y, lz - z
        squared = tx * tx + ty * ty + tz * tz
        # A lamp is not a point: the added square metre keeps what is beside it from burning out.
        cosine = (normal[0] * tx + normal[1] * ty + normal[2] * tz) / np.sqrt(squared)
        received = _LAMP_POWER * cosine / (squared + 1)
        if received < _FAINT:
            light += max(received, 0.0) / 2
        elif not hidden(world, x, y, z, lx + _LAMP * across, ly + _LAMP * along, lz):
            light += received
    return float(light)


@jit
def _on_surface(block: Float[np.ndarray, " 8"], face: int, x: float, y: float, z: float) -> tuple[float, float]:
    """Place on a face in metres, along it and upwards (or across it, on floors), from its corner."""
    rx, ry = x - block[0], y - block[1]
    u, v = block[6] * rx + block[7] * ry + block[3], block[6] * ry - block[7] * rx + block[4]
    if face < 2:
        return v, z - block[2] + block[5]
    if face < 4:
        return u, z - block[2] + block[5]
    return u, v


@jit
def _see(
    world: World,
    at: Float[np.ndarray, " 3"],
    axes: Float[np.ndarray, "3 3"],
    fx: float,
    fy: float,
    shift: float,
    colour: Float[np.ndarray, "h w 3"],
    depth: Float[np.ndarray, "h w"],
    gloss: Float[np.ndarray, "h w"],
) -> None:
    """Write the light that reaches each pixel, its depth and its surface's gloss."""
    size, normal = depth.shape[0], np.empty(3)
    for row in range(size):
        for column in range(size):
            dx, dy, dz = _ray(axes, row, column, size, fx, fy)
            way, block, face = first_hit(world, at[0], at[1], at[2], dx, dy, dz)
            x, y, z = at[0] + way * dx, at[1] + way * dy, at[2] + way * dz
            face_normal(world, block, face, normal)
            slant = abs(normal[0] * dx + normal[1] * dy + normal[2] * dz) / np.sqrt(dx * dx + dy * dy + dz * dz)
            of = world.surface[block, face]
            u, v = _on_surface(world.blocks[block], face, x, y, z)
            pixel = way / fx / max(slant, 0.05)
            period = world.period[of]
            seed = np.floor(100 * noise(world.blocks[block, 0], world.blocks[block, 1]))
            factors = coloured(world.pattern[of], u / period, v / period, pixel / period, seed)
            across = 2 * noise(column + shift, row + 0.5) - 1
            along = 2 * noise(row + shift, column + 0.25) - 1
            light = _DAYLIGHT if world.pattern[of] == _PANES else _light(world, x, y, z, normal, across, along)
            for channel in range(3):
                colour[row, column, channel] = world.colour[of, channel] * factors[channel] * light
            depth[row, column] = way
            gloss[row, column] = world.gloss[of] * (1 + 2 * (1 - slant) ** 3)


def render(room: Room, pose: Pose, size: int, rng: np.random.Generator) -> RenderedView:
    """See a room.

    Args:
        room: what is there.
        pose: from where.
        size: pixels to a side.
        rng: draws the shadows' grain, the exposure, the white balance and the sensor's noise.
    """
    colour, depth, gloss = np.empty((size, size, 3)), np.empty((size, size)), np.empty((size, size))
    shift = float(rng.integers(1000))
    _see(room.world, np.array(pose.position), pose.axes, *focal_lengths(size), shift, colour, depth, gloss)
    exposure = 0.3 / colour.mean() * 2 ** rng.normal(0, _EXPOSURE_JITTER)
    exposed = colour * (exposure * (1 + rng.normal(0, _WHITE_JITTER, 3)))
    # Photon noise grows with the square root of the light; the rest is read-out noise.
    grain = rng.standard_normal(exposed.shape, dtype=np.float32)
    noisy = exposed + grain * np.sqrt(2e-4 * exposed + 2e-5)
    image = np.round(255 * np.clip(noisy, 0, 1) ** _GAMMA).astype(np.uint8)
    return RenderedView(image, depth, np.minimum(gloss, 1))
