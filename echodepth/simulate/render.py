"""What the robot sees: colour with light, shadow and texture, exact depth, and depth as a stereo camera gives it.

A pinhole camera at the head's centre looks along the heading, level. The image is square with a field of view of
86 degrees both ways (BatVision V2's is 86 x 57), so the focal length is 0.536 of the image's side.
"""

import math

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from echodepth.simulate.scene import Block, Material, Pose, Room, column, first_hit, hidden, rotate

FIELD_OF_VIEW = 86.0
"""Degrees, horizontally and vertically."""

_AMBIENT = 0.35  # share of light that comes from everywhere and throws no shadow
_STEREO_BASELINE = 0.06  # metres between the depth camera's eyes at strength 1
_GAMMA = 1 / 2.2


def focal_length(size: int) -> float:
    """Pixels, of an image with ``size`` pixels to a side."""
    return size / (2 * math.tan(math.radians(FIELD_OF_VIEW) / 2))


def view_rays(pose: Pose, size: int) -> Float[np.ndarray, "3 n"]:
    """Directions through the pixels' centres, row by row, scaled to advance one metre along the optical axis."""
    offset = (size / 2 - 0.5 - np.arange(size)) / focal_length(size)
    up, left = np.meshgrid(offset, offset, indexing="ij")
    return rotate(np.stack([np.ones(size * size), left.ravel(), up.ravel()]), pose.yaw)


def depth_map(room: Room, pose: Pose, size: int) -> Float[np.ndarray, "h w"]:
    """Exact depth along the optical axis, metres."""
    distance, _ = first_hit(room, column(pose.position), view_rays(pose, size))
    return distance.reshape(size, size)


def render(
    room: Room, pose: Pose, size: int, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """See a room.

    Args:
        room: what is there.
        pose: from where.
        size: pixels to a side.
        rng: draws the sensor's noise.

    Returns:
        The image in sRGB, exposed so that its mean is the same in every room, and the exact depth along the
        optical axis in metres.
    """
    rays = view_rays(pose, size)
    distance, what = first_hit(room, column(pose.position), rays)
    points = column(pose.position) + distance * rays
    colour = np.empty_like(points)
    for index, block in enumerate((room.shell, *room.boxes)):
        seen = np.flatnonzero(what == index)
        if seen.size:
            blur = distance[seen] / focal_length(size)
            colour[:, seen] = _shade(room, block, points[:, seen], rays[:, seen], blur)
    exposed = 0.3 * colour / colour.mean()
    # Photon noise grows with the square root of the light; the rest is read-out noise.
    noisy = exposed + rng.normal(size=exposed.shape) * np.sqrt(2e-4 * exposed + 2e-5)
    image = np.round(255 * np.clip(noisy, 0, 1) ** _GAMMA).astype(np.uint8)
    return image.T.reshape(size, size, 3), distance.reshape(size, size)


def _shade(
    room: Room,
    block: Block,
    points: Float[np.ndarray, "3 n"],
    rays: Float[np.ndarray, "3 n"],
    blur: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "3 n"]:
    """Linear RGB that leaves points on a block's surface; ``blur`` is a pixel's width there, metres."""
    local = block.to_local(points)
    axis = np.abs(local / column(block.half)).argmax(axis=0)
    every = np.arange(axis.size)
    outward = np.sign(local[axis, every])
    normal = np.zeros_like(local)
    normal[axis, every] = -outward if block is room.shell else outward
    normal = rotate(normal, block.yaw)
    slant = np.abs((normal * rays).sum(axis=0)) / np.sqrt((rays**2).sum(axis=0))
    colour = np.empty_like(points)
    face = 2 * axis + (outward > 0)
    for number in np.unique(face):
        on_face = face == number
        first, second = (other for other in range(3) if other != number // 2)
        material = block.materials[number]
        across, upward = local[first, on_face] + block.half[first], local[second, on_face] + block.half[second]
        shade = _texture(material, across, upward, blur[on_face] / np.maximum(slant[on_face], 0.05))
        colour[:, on_face] = column(material.colour) * shade
    shaded: np.ndarray = colour * _illuminate(room, points, normal)
    return shaded


def _illuminate(
    room: Room, points: Float[np.ndarray, "3 n"], normal: Float[np.ndarray, "3 n"]
) -> Float[np.ndarray, " n"]:
    """Light that falls on surface points: from everywhere, and from the lamps that they see."""
    light = np.full(points.shape[1], _AMBIENT)
    for place in room.lights:
        to_lamp = column(place) - points
        squared = (to_lamp**2).sum(axis=0)
        cosine = (normal * to_lamp).sum(axis=0) / np.sqrt(squared)
        lit = np.flatnonzero(cosine > 0)
        # A lamp is not a point: the added square metre keeps the ceiling beside it from burning out.
        received = 3 * cosine[lit] / (squared[lit] + 1)
        light[lit] += np.where(hidden(room, points[:, lit], column(place)), 0, received)
    return light


def _texture(
    material: Material, across: Float[np.ndarray, " n"], upward: Float[np.ndarray, " n"], blur: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Factor on a material's colour at places on its surface (metres); fades where a pixel spans a period."""
    u, v, fine = across / material.period, upward / material.period, blur / material.period
    match material.pattern:
        case "mottle":
            shade: np.ndarray = 0.8 + 0.2 * _cloud(u, v)
        case "planks":
            shade = 0.8 + 0.2 * _hash(np.floor(v), np.floor(u / 8 + _hash(np.floor(v), 0 * v)))
            shade *= 1 - 0.6 * _line(v, 0.06, fine)
        case "tiles":
            shade = 0.9 + 0.1 * _hash(np.floor(u), np.floor(v))
            shade *= (1 - 0.6 * _line(u, 0.04, fine)) * (1 - 0.6 * _line(v, 0.04, fine))
        case "bricks":  # a course is a third of a brick's length high
            course = np.floor(3 * v)
            shifted = u + 0.5 * (course % 2)
            shade = 0.75 + 0.25 * _hash(np.floor(shifted), course)
            mortar = np.maximum(_line(shifted, 0.05, fine), _line(3 * v, 0.15, 3 * fine))
            shade += mortar * (1.3 - shade)
        case "stripes":
            shade = 0.8 + 0.2 * (u % 1 < 0.5)
        case "checks":
            shade = 0.7 + 0.3 * ((np.floor(u) + np.floor(v)) % 2)
    contrast = np.clip(1.5 - 2 * fine, 0, 1)
    return 0.9 + (shade - 0.9) * contrast


def _line(place: Float[np.ndarray, " n"], width: float, pixel: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """A line at every whole number; one thinner than a pixel is drawn a pixel wide and fainter, not as dashes."""
    drawn = np.maximum(width, pixel)
    line: np.ndarray = (place % 1 < drawn) * width / drawn
    return line


def _cloud(u: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Smooth noise in 0..1 with one free value for each pair of whole numbers."""
    left, low = np.floor(u), np.floor(v)
    right, high = u - left, v - low
    right, high = right**2 * (3 - 2 * right), high**2 * (3 - 2 * high)
    below = _hash(left, low) * (1 - right) + _hash(left + 1, low) * right
    above = _hash(left, low + 1) * (1 - right) + _hash(left + 1, low + 1) * right
    cloud: np.ndarray = below * (1 - high) + above * high
    return cloud


def _hash(u: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """A number in 0..1 for each pair of whole numbers, the same in every room."""
    number: np.ndarray = (np.sin(12.9898 * u + 78.233 * v) * 43758.5453) % 1
    return number


def depth_as_measured(
    depth: Float[np.ndarray, "h w"], strength: float, rng: np.random.Generator
) -> UInt16[np.ndarray, "h w"]:
    """Turn exact depth into what a stereo camera stores: whole millimetres, 0 where it finds none.

    It finds none where its second eye, ``6 cm * strength`` to the right, sees something nearer in the way or
    nothing at all (left of near objects and of the image), and in a few round patches.

    Args:
        depth: metres, at most 65.
        strength: scales the baseline and the number of patches; 0 leaves every pixel.
        rng: draws the patches.
    """
    size = depth.shape[1]
    millimetres = np.round(1000 * depth).astype(np.uint16)
    seen_at = np.arange(size) - focal_length(size) * _STEREO_BASELINE * strength / depth

    right_neighbours = np.minimum.accumulate(seen_at[:, ::-1], axis=1)[:, ::-1]
    shadow = seen_at > right_neighbours + 0.5
    patches = np.zeros(depth.shape, dtype=bool)
    rows, columns = np.ogrid[: depth.shape[0], :size]
    for _ in range(rng.poisson(6 * strength)):
        (row, at), radius = rng.uniform(0, size, 2), rng.uniform(0.01, 0.05) * size
        patches |= (rows - row) ** 2 + (columns - at) ** 2 < radius**2
    if strength > 0:
        shadow |= seen_at < 0
    millimetres[shadow | patches] = 0
    return millimetres
