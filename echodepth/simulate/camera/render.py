"""Renderer: colour with light, shadow and texture, and exact depth.

The pinhole camera at the head's centre faces along the heading. Its field of view is BatVision V2's, 86 x 57 degrees.
The image is square, as V2's wide images are for a network: its pixels are wider than high.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from echodepth.core.field_of_view import BATVISION_V2
from echodepth.simulate.camera.textures import hash_noise, texture_colour
from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.materials import PATTERNS, Vector
from echodepth.simulate.rooms.ray_casting import block_coordinates, face_normal, first_hit, is_occluded
from echodepth.simulate.rooms.scene import Pose, Room, Scene

FIELD_OF_VIEW = BATVISION_V2

_AMBIENT = 0.35  # ambient light, without shadows
_CORNER = 0.30  # metres over which corners darken: ambient occlusion
_LAMP = 0.30  # metres: half the side of a ceiling light's panel
_FAINT = 0.05  # light of a lamp below which its shadow is not visible; half the light is taken instead of a shadow test
_LAMP_POWER = 3.0  # light at 1 m; only its ratio to the ambient light matters, because the exposure is automatic
_DAYLIGHT = 2.0  # light of a window relative to that of a white wall
_EXPOSURE_JITTER, _WHITE_JITTER = 0.3, 0.04  # standard deviations: f-stops, share of a channel; assumed
_PANES = PATTERNS.index("panes")
_GAMMA = 1 / 2.2


@dataclass(frozen=True)
class RenderedView:
    """Image and exact depth of one pose.

    Attributes:
        image: sRGB.
        depth: exact depth along the optical axis, metres.
        gloss: share of the light that each pixel's surface reflects specularly; it grows towards grazing incidence.
    """

    image: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    gloss: Float[np.ndarray, "h w"]


def focal_lengths(size: int) -> tuple[float, float]:
    """Horizontal and vertical focal length in pixels, for an image of ``size`` x ``size`` pixels."""
    return FIELD_OF_VIEW.focal_lengths(size, size)


@jit
def _pixel_ray(axes: Float[np.ndarray, "3 3"], row: int, column: int, size: int, fx: float, fy: float) -> Vector:
    """Direction through a pixel's centre, scaled so that it advances one metre along the optical axis."""
    left, up = (size / 2 - 0.5 - column) / fx, (size / 2 - 0.5 - row) / fy
    return (
        axes[0, 0] + left * axes[0, 1] + up * axes[0, 2],
        axes[1, 0] + left * axes[1, 1] + up * axes[1, 2],
        axes[2, 0] + left * axes[2, 1] + up * axes[2, 2],
    )


@jit
def _render_depth(
    scene: Scene,
    camera: Float[np.ndarray, " 3"],
    axes: Float[np.ndarray, "3 3"],
    fx: float,
    fy: float,
    depth: Float[np.ndarray, "h w"],
) -> None:
    size = depth.shape[0]
    for row in range(size):
        for column in range(size):
            depth[row, column] = first_hit(scene, camera, _pixel_ray(axes, row, column, size, fx, fy))[0]


def depth_map(room: Room, pose: Pose, size: int) -> Float[np.ndarray, "h w"]:
    """Exact depth along the optical axis, metres."""
    depth = np.empty((size, size))
    _render_depth(room.scene, np.array(pose.position), pose.axes, *focal_lengths(size), depth)
    return depth


@jit
def _illumination(scene: Scene, point: Vector, normal: Float[np.ndarray, " 3"], lamp_u: float, lamp_v: float) -> float:
    """Light that a surface point receives: ambient light, and that of every lamp that is not occluded.

    ``lamp_u`` and ``lamp_v`` (-1..1) select the point of the lamps' panels that the occlusion test uses. Different
    points for neighbouring pixels make shadows soft.
    """
    shell = scene.blocks[0]
    light = _AMBIENT * (0.85 + 0.15 * normal[2])
    for axis in range(3):
        if abs(normal[axis]) < 0.7:
            gap = shell[3 + axis] - abs(point[axis] - shell[axis])
            light *= 1 - 0.35 * np.exp(-max(gap, 0.0) / _CORNER)
    for index in range(scene.lights.shape[0]):
        lamp = scene.lights[index]
        tx, ty, tz = lamp[0] - point[0], lamp[1] - point[1], lamp[2] - point[2]
        squared = tx * tx + ty * ty + tz * tz
        # A lamp is not a point: the added square metre limits the light close to it.
        cosine = (normal[0] * tx + normal[1] * ty + normal[2] * tz) / np.sqrt(squared)
        received = _LAMP_POWER * cosine / (squared + 1)
        if received < _FAINT:
            light += max(received, 0.0) / 2
        elif not is_occluded(scene, point, (lamp[0] + _LAMP * lamp_u, lamp[1] + _LAMP * lamp_v, lamp[2])):
            light += received
    return float(light)


@jit
def _texture_coordinates(block: Float[np.ndarray, " 8"], face: int, point: Vector) -> tuple[float, float]:
    """Horizontal and vertical coordinate on a face from its corner, metres; on floors, along x and y."""
    u, v, height = block_coordinates(block, point)
    if face < 2:
        return v + block[4], height + block[5]
    if face < 4:
        return u + block[3], height + block[5]
    return u + block[3], v + block[4]


@jit
def _render_pixels(
    scene: Scene,
    camera: Float[np.ndarray, " 3"],
    axes: Float[np.ndarray, "3 3"],
    fx: float,
    fy: float,
    shift: float,
    colour: Float[np.ndarray, "h w 3"],
    depth: Float[np.ndarray, "h w"],
    gloss: Float[np.ndarray, "h w"],
) -> None:
    """Write each pixel's light, its depth and the gloss of its surface."""
    size, normal = depth.shape[0], np.empty(3)
    for row in range(size):
        for column in range(size):
            dx, dy, dz = _pixel_ray(axes, row, column, size, fx, fy)
            distance, block, face = first_hit(scene, camera, (dx, dy, dz))
            point = (camera[0] + distance * dx, camera[1] + distance * dy, camera[2] + distance * dz)
            face_normal(scene, block, face, normal)
            slant = abs(normal[0] * dx + normal[1] * dy + normal[2] * dz) / np.sqrt(dx * dx + dy * dy + dz * dz)
            material = scene.material[block, face]
            u, v = _texture_coordinates(scene.blocks[block], face, point)
            pixel = distance / fx / max(slant, 0.05)
            pattern, period = scene.pattern[material], scene.period[material]
            seed = np.floor(100 * hash_noise(scene.blocks[block, 0], scene.blocks[block, 1]))
            factors = texture_colour(pattern, u / period, v / period, pixel / period, seed)
            lamp_u = 2 * hash_noise(column + shift, row + 0.5) - 1
            lamp_v = 2 * hash_noise(row + shift, column + 0.25) - 1
            light = _DAYLIGHT if pattern == _PANES else _illumination(scene, point, normal, lamp_u, lamp_v)
            for channel in range(3):
                colour[row, column, channel] = scene.colour[material, channel] * factors[channel] * light
            depth[row, column] = distance
            gloss[row, column] = scene.gloss[material] * (1 + 2 * (1 - slant) ** 3)


def render(room: Room, pose: Pose, size: int, rng: np.random.Generator) -> RenderedView:
    """Render image and depth of a room.

    Args:
        room: room with furniture.
        pose: pose of the camera.
        size: side of the image in pixels.
        rng: draws the grain of the shadows, the exposure, the white balance and the sensor noise.
    """
    colour, depth, gloss = np.empty((size, size, 3)), np.empty((size, size)), np.empty((size, size))
    shift = float(rng.integers(1000))
    camera = np.array(pose.position)
    _render_pixels(room.scene, camera, pose.axes, *focal_lengths(size), shift, colour, depth, gloss)
    exposure = 0.3 / colour.mean() * 2 ** rng.normal(0, _EXPOSURE_JITTER)
    exposed = colour * (exposure * (1 + rng.normal(0, _WHITE_JITTER, 3)))
    # Photon noise grows with the square root of the light; the rest is read-out noise.
    grain = rng.standard_normal(exposed.shape, dtype=np.float32)
    noisy = exposed + grain * np.sqrt(2e-4 * exposed + 2e-5)
    image = np.round(255 * np.clip(noisy, 0, 1) ** _GAMMA).astype(np.uint8)
    return RenderedView(image, depth, np.minimum(gloss, 1))
