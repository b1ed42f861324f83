"""Rooms of boxes, a loudspeaker in lossless air, and the arrivals in them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from echodepth.simulate.acoustics import propagation
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import Arrivals
from echodepth.simulate.acoustics.ray_tracing import draw_rays
from echodepth.simulate.acoustics.scattering import Patches, draw_patches
from echodepth.simulate.rooms.materials import OCTAVES, Material, Vector
from echodepth.simulate.rooms.scene import Block, Pose, Room

C = 343.0
KILOHERTZ = OCTAVES.index(1000.0)


@dataclass(frozen=True)
class LosslessAir(Loudspeaker):
    """Air without absorption and a robot without a body, as the formulas of room acoustics assume."""

    isolation: float = 0.0

    @property
    def air_absorption(self) -> Float[ndarray, " 8"]:
        return np.zeros(8)


OMNI = LosslessAir(omnidirectional=True)


def vector(values: Iterable[float]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def material(absorption: float = 0.0, scattering: float = 0.0) -> Material:
    return Material("test", "plain", 1.0, (0.5, 0.5, 0.5), (absorption,) * 8, (scattering,) * 8)


HARD = material()


def room_of(length: float, width: float, height: float, *boxes: Block, walls: Material = HARD) -> Room:
    half = (length / 2, width / 2, height / 2)
    shell = Block(half, half, 0.0, (walls,) * 6)
    return Room("office", shell, tuple((box,) for box in boxes), ((length / 2, width / 2, height - 0.3),))


def box(x: float, y: float, half: Vector, yaw: float = 0.0, of: Material = HARD, floor: float = 0.0) -> Block:
    return Block((x, y, floor + half[2]), half, yaw, (of,) * 6)


def shoebox(seed: int, walls: Material = HARD) -> tuple[Room, Pose]:
    rng = np.random.default_rng(seed)
    room = room_of(*vector(rng.uniform((3.5, 3, 2.4), (9, 7, 4.5))), walls=walls)
    x, y = (float(value) for value in rng.uniform((1.0, 1.0), room.size[:2] - 1.0))
    return room, Pose((x, y, 0.9), float(rng.uniform(-math.pi, math.pi)))


def joined(*parts: Arrivals) -> Arrivals:
    return Arrivals(
        np.concatenate([part.direction for part in parts]),
        np.concatenate([part.path_length for part in parts]),
        np.concatenate([part.gain for part in parts]),
    )


def face_images(room: Room, pose: Pose) -> Float[ndarray, "6 3"]:
    """Image sources of the loudspeaker in the shell's faces -x, +x, -y, +y, floor and ceiling."""
    images = np.tile(pose.to_room(OMNI.emitter), (6, 1))
    for face in range(6):
        axis, far = divmod(face, 2)
        images[face, axis] = 2 * far * room.size[axis] - images[face, axis]
    return images


def mirrored(room: Room, patches: Patches, pose: Pose) -> tuple[Room, Patches, Pose]:
    """Mirror a room, its patches and a pose from left to right: y becomes width - y."""
    width = float(room.size[1])

    def swap(block: Block) -> Block:
        x, y, z = block.centre
        minus_x, plus_x, minus_y, plus_y, floor, ceiling = block.materials
        materials = (minus_x, plus_x, plus_y, minus_y, floor, ceiling)
        return replace(block, centre=(x, width - y, z), yaw=-block.yaw, materials=materials)

    other = replace(
        room,
        shell=replace(swap(room.shell), centre=room.shell.centre),
        pieces=tuple(tuple(map(swap, piece)) for piece in room.pieces),
    )
    flip = np.array([1, -1, 1])
    surface = {m: i for i, m in enumerate(dict.fromkeys(m for b in (other.shell, *other.boxes) for m in b.materials))}
    before = list(dict.fromkeys(m for b in (room.shell, *room.boxes) for m in b.materials))
    material_index = np.array([surface[before[index]] for index in patches.material])
    points = patches.points * flip + np.array([0, width, 0])
    x, y, z = pose.position
    return (
        other,
        patches._replace(points=points, normals=patches.normals * flip, material=material_index),
        Pose((x, width - y, z), -pose.yaw, pose.pitch, -pose.roll),
    )


def without_diffraction(room: Room, pose: Pose, seed: int, rays: int, loudspeaker: Loudspeaker = OMNI) -> Arrivals:
    rng = np.random.default_rng(seed)
    return joined(
        propagation.specular_reflections(room, pose, loudspeaker),
        propagation.first_scattering(room, draw_patches(room, rng), pose, loudspeaker),
        propagation.late_sound(room, pose, loudspeaker, draw_rays(rays, rng)),
    )


def surface_of(room: Room) -> float:
    length, width, height = (float(side) for side in room.size)
    return 2 * (length * width + length * height + width * height)


def decay_time(sounds: Arrivals, start: float, stop: float) -> float:
    """RT60 in seconds, from the slope of the energy in bins of 4 ms between two times."""
    weights, bins = sounds.gain[:, KILOHERTZ] ** 2, np.arange(start, stop, 0.004)
    energy, edges = np.histogram(sounds.path_length / C, bins, weights=weights)
    positive = energy > 0
    slope, _ = np.polyfit(edges[:-1][positive], 10 * np.log10(energy[positive]), 1)
    return float(-60 / slope)
