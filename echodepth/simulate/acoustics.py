"""How sound gets from the robot's loudspeaker back to its head: every path's length, direction and strength.

Paths are the direct sound, image sources of the shoebox (Allen and Berkley 1979) whose every leg is checked
against the furniture, mirror reflections in the furniture's faces, and Lambert scattering from patches of all
surfaces. A surface's energy is split between mirror and patches, so nothing counts twice. Surfaces are broadband,
air does not absorb, edges do not diffract, and what has met more than three walls is left out.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from echodepth.simulate.scene import Block, Pose, Room, Vector, column, hidden, rotate

_SHELL_DENSITY, _FURNITURE_DENSITY = 8.0, 40.0  # patches per square metre; small things need finer ones


@dataclass(frozen=True)
class Rig:
    """Loudspeaker and ears on the robot, and the air between.

    Attributes:
        emitter: the loudspeaker, metres forward, left and up from the head's centre.
        directivity: 0 sends equally in all directions, 0.5 is a cardioid; the loudspeaker faces forward, so the
            ears behind it hear the direct sound weakened, as they do in genuine recordings.
        head_radius: metres; the ears sit on the sphere to its left and right.
        speed_of_sound: m/s.
    """

    emitter: Vector = (0.10, 0.0, -0.10)
    directivity: float = 0.5
    head_radius: float = 0.09
    speed_of_sound: float = 343.0

    def sent(self, pose: Pose, directions: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, " n"]:
        """Pressure sent in directions of any length, relative to straight ahead."""
        forward = rotate(column((1.0, 0.0, 0.0)), pose.yaw)
        cosine = (forward * directions).sum(axis=0) / length(directions)
        pressure: np.ndarray = (1 - self.directivity) + self.directivity * cosine
        return pressure


@dataclass(frozen=True)
class Arrivals:
    """Sounds that reach the head.

    Attributes:
        source: where each seems to come from: an image of the loudspeaker, or a patch; metres.
        before: way travelled before ``source``, metres; 0 for images.
        gain: pressure at the head's centre, relative to 1 m in front of the loudspeaker.
    """

    source: Float[np.ndarray, "3 n"]
    before: Float[np.ndarray, " n"]
    gain: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Patches:
    """Surface points that scatter. They belong to the room, so that nearby poses hear the same ones.

    Attributes:
        points: metres.
        normals: unit vectors into the air.
        weight: pressure scattered along the normal, 1 m away, by a sound of pressure 1; its sign is random, since
            a real surface's roughness makes the phase so.
    """

    points: Float[np.ndarray, "3 n"]
    normals: Float[np.ndarray, "3 n"]
    weight: Float[np.ndarray, " n"]


def length(vectors: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, " n"]:
    """Metres."""
    metres: np.ndarray = np.sqrt((vectors**2).sum(axis=0))
    return metres


def draw_patches(room: Room, rng: np.random.Generator) -> Patches:
    """Divide all surfaces but the furniture's undersides into patches, with one point drawn in each."""
    faces = [_face_patches(room.shell, face, _SHELL_DENSITY, rng, inward=True) for face in range(6)]
    faces += [
        _face_patches(box, face, _FURNITURE_DENSITY, rng, inward=False)
        for box in room.boxes
        for face in (0, 1, 2, 3, 5)
    ]
    return Patches(
        np.concatenate([face.points for face in faces], axis=1),
        np.concatenate([face.normals for face in faces], axis=1),
        np.concatenate([face.weight for face in faces]),
    )


def _face_patches(block: Block, face: int, density: float, rng: np.random.Generator, inward: bool) -> Patches:
    axis, sign = face // 2, 2 * (face % 2) - 1
    first, second = (other for other in range(3) if other != axis)
    counts = [math.ceil(2 * block.half[other] * math.sqrt(density)) for other in (first, second)]
    cells = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij")).reshape(2, -1)
    spot = (cells + rng.random(cells.shape)) / np.array(counts)[:, None] * 2 - 1
    points, normals = np.zeros((2, 3, cells.shape[1]))
    points[axis] = sign * block.half[axis]
    points[first], points[second] = spot[0] * block.half[first], spot[1] * block.half[second]
    normals[axis] = -sign if inward else sign
    area = 4 * block.half[first] * block.half[second] / cells.shape[1]
    # Lambert: of the power that falls on a patch, cos/pi goes into each unit of solid angle.
    weight = math.sqrt(block.materials[face].diffuse * area / math.pi) * rng.choice([-1.0, 1.0], cells.shape[1])
    return Patches(block.to_world(points), rotate(normals, block.yaw), weight)


def image_sources(room: Room, pose: Pose, rig: Rig, order: int = 3) -> Arrivals:
    """The direct sound, then all mirror paths over up to ``order`` walls that no furniture interrupts."""
    reach = np.arange(-order, order + 1)
    cell = np.stack(np.meshgrid(reach, reach, reach, indexing="ij")).reshape(3, -1)
    walls = np.abs(cell).sum(axis=0)
    cell = cell[:, np.argsort(walls, kind="stable")[: (walls <= order).sum()]]
    size, head, emitter = room.size[:, None], column(pose.position), pose.to_world(rig.emitter)
    mirrored = cell % 2 == 1
    source = cell * size + np.where(mirrored, size - emitter, emitter)
    # A path into the n-th room along an axis meets the two walls in turn, beginning with the one on its side.
    more, fewer = (np.abs(cell) + 1) // 2, np.abs(cell) // 2
    hits = np.stack([np.where(cell < 0, more, fewer), np.where(cell < 0, fewer, more)], axis=1)
    specular = np.array([material.specular for material in room.shell.materials]).reshape(3, 2, 1)
    leaving = np.where(mirrored, -1, 1) * (head - source)
    gain = rig.sent(pose, leaving) / length(leaving) * (specular**hits).prod(axis=(0, 1))
    free = ~_interrupted(room, head, source, cell, order)
    return Arrivals(source[:, free], np.zeros(int(free.sum())), gain[free])


def _interrupted(
    room: Room,
    head: Float[np.ndarray, "3 1"],
    source: Float[np.ndarray, "3 n"],
    cell: Int[np.ndarray, "3 n"],
    order: int,
) -> Bool[np.ndarray, " n"]:
    """Whether furniture stands in any leg of the mirror paths.

    A mirror path is a straight line through mirrored copies of the room; cut where it passes from copy to copy and
    folded back into the first, it gives the legs.
    """
    size, way = room.size[:, None], source - head
    step = np.arange(1, order + 1)[:, None, None]
    plane = np.where(cell > 0, step, 1 - step) * size
    passed = step <= np.abs(cell)
    at = np.where(passed, (plane - head) / np.where(cell == 0, 1.0, way), 1.0)
    passages = np.sort(at.reshape(-1, cell.shape[1]), axis=0)[:order]
    at = np.vstack([np.zeros(cell.shape[1]), passages, np.ones(cell.shape[1])])
    unfolded = head[:, None] + at * way[:, None]
    within = unfolded % (2 * size[:, None])
    corners = np.minimum(within, 2 * size[:, None] - within)
    starts, ends = corners[:, :-1].reshape(3, -1), corners[:, 1:].reshape(3, -1)
    return np.asarray(hidden(room, starts, ends).reshape(order + 1, -1).any(axis=0))


def face_reflections(room: Room, pose: Pose, rig: Rig) -> Arrivals:
    """Mirror reflections in the furniture's faces, where the mirror point lies on the face and both legs are free."""
    head, emitter = column(pose.position), pose.to_world(rig.emitter)
    found: list[tuple[np.ndarray, np.ndarray, float]] = []
    for box in room.boxes:
        to, sent, half = box.to_local(head)[:, 0], box.to_local(emitter)[:, 0], np.array(box.half)
        for face in (0, 1, 2, 3, 5):
            axis, sign = face // 2, 2 * (face % 2) - 1
            if min(sign * to[axis], sign * sent[axis]) <= half[axis]:
                continue
            image = sent.copy()
            image[axis] = 2 * sign * half[axis] - sent[axis]
            share = (sign * half[axis] - to[axis]) / (image[axis] - to[axis])
            point = to + share * (image - to)
            point[axis] = sign * half[axis]
            if (np.abs(point) <= half).all():
                found.append((box.to_world(image[:, None]), box.to_world(point[:, None]), box.materials[face].specular))
    if not found:
        return Arrivals(np.zeros((3, 0)), np.zeros(0), np.zeros(0))
    source = np.concatenate([image for image, _, _ in found], axis=1)
    points = np.concatenate([point for _, point, _ in found], axis=1)
    free = ~(hidden(room, emitter, points) | hidden(room, points, head))
    specular = np.array([coefficient for _, _, coefficient in found])
    gain = specular * rig.sent(pose, points - emitter) / length(source - head)
    return Arrivals(source[:, free], np.zeros(int(free.sum())), gain[free])


def scattering(room: Room, patches: Patches, pose: Pose, rig: Rig) -> Arrivals:
    """What patches that see both loudspeaker and head scatter, falling off with the product of both distances."""
    head, emitter = column(pose.position), pose.to_world(rig.emitter)
    to_emitter, to_head = emitter - patches.points, head - patches.points
    far, near = length(to_emitter), length(to_head)
    cosines = np.stack(
        [(patches.normals * to_emitter).sum(axis=0) / far, (patches.normals * to_head).sum(axis=0) / near]
    )
    facing = np.flatnonzero((cosines > 0).all(axis=0) & (patches.weight != 0))
    points = patches.points[:, facing]
    facing = facing[~(hidden(room, emitter, points) | hidden(room, points, head))]
    gain = (patches.weight * np.sqrt(np.abs(cosines.prod(axis=0))) / (far * near))[facing]
    return Arrivals(patches.points[:, facing], far[facing], gain * rig.sent(pose, -to_emitter[:, facing]))


def arrivals(room: Room, patches: Patches, pose: Pose, rig: Rig) -> Arrivals:
    """Everything that reaches the head; the direct sound is the first of them."""
    parts = image_sources(room, pose, rig), face_reflections(room, pose, rig), scattering(room, patches, pose, rig)
    return Arrivals(
        np.concatenate([part.source for part in parts], axis=1),
        np.concatenate([part.before for part in parts]),
        np.concatenate([part.gain for part in parts]),
    )
