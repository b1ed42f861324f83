"""How sound gets from the robot's loudspeaker back to its head: every path's direction, length and strength.

Four kinds of path, each energy counted by one of them alone: mirror reflections (`mirrors`), the waves of edges
(`edges`), what surfaces scatter at first (`scatter`), and all that comes after (`tracing`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from echodepth.simulate.acoustics.diffraction import diffraction_paths
from echodepth.simulate.acoustics.image_sources import MAX_ORDER, image_source_paths, large_faces
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.paths import Paths
from echodepth.simulate.acoustics.ray_tracing import draw_rays, ray_traced_paths
from echodepth.simulate.acoustics.scattering import Patches, scattered_paths
from echodepth.simulate.rooms.scene import Pose, Room

RAYS = 768
"""For the late sound; more change nothing that outlasts the speckle of its random signs."""

LONGEST = 156.0
"""Metres that sound is followed: a recording's 0.4535 s at 343 m/s."""


@dataclass(frozen=True)
class Arrivals:
    """Sounds that reach the head's centre.

    Attributes:
        direction: unit vectors from the head's centre to where each comes from, in the head's own frame: forward,
            left, up.
        way: travelled since the loudspeaker, metres.
        gain: pressure in each octave of ``OCTAVES``, relative to 1 m in front of the loudspeaker; the sign is the
            phase.
    """

    direction: Float[np.ndarray, "n 3"]
    way: Float[np.ndarray, " n"]
    gain: Float[np.ndarray, "n 8"]


def early(room: Room, pose: Pose, rig: Loudspeaker, order: int = MAX_ORDER) -> Arrivals:
    """The direct sound, first, and mirror reflections over up to ``order`` faces."""
    source, listener = pose.to_world(rig.emitter), np.array(pose.position)
    large = large_faces(room.world)
    return _in_air(
        image_source_paths(room.world, large, order, source, listener, _ahead(pose), rig.directivity), pose, rig
    )


def diffracted(room: Room, pose: Pose, rig: Loudspeaker) -> Arrivals:
    """The waves of the blocks' edges."""
    source, listener = pose.to_world(rig.emitter), np.array(pose.position)
    paths = diffraction_paths(room.world, source, listener, _ahead(pose), rig.directivity, rig.speed_of_sound)
    return _in_air(paths, pose, rig)


def scattered(room: Room, patches: Patches, pose: Pose, rig: Loudspeaker) -> Arrivals:
    """What the room's patches scatter at first."""
    source, listener = pose.to_world(rig.emitter), np.array(pose.position)
    fields = patches.points, patches.normals, patches.area, patches.surface, patches.sign
    return _in_air(scattered_paths(room.world, *fields, source, listener, _ahead(pose), rig.directivity), pose, rig)


def late(room: Room, pose: Pose, rig: Loudspeaker, rays: Float[np.ndarray, "count 97 3"]) -> Arrivals:
    """All that the other kinds leave, followed along rays from `draw_rays`."""
    source, listener = pose.to_world(rig.emitter), np.array(pose.position)
    large = large_faces(room.world)
    paths = ray_traced_paths(room.world, large, rays, pose.axes, source, listener, rig.directivity, LONGEST)
    return _in_air(paths, pose, rig)


def arrivals(room: Room, patches: Patches, pose: Pose, rig: Loudspeaker, rng: np.random.Generator) -> Arrivals:
    """Everything that reaches the head; the direct sound is the first of them.

    Args:
        room: where.
        patches: the room's own, from `draw_patches`.
        pose: of the robot.
        rig: loudspeaker and air.
        rng: draws the rays.
    """
    parts = (
        early(room, pose, rig),
        diffracted(room, pose, rig),
        scattered(room, patches, pose, rig),
        late(room, pose, rig, draw_rays(RAYS, rng)),
    )
    return Arrivals(
        np.concatenate([part.direction for part in parts]),
        np.concatenate([part.way for part in parts]),
        np.concatenate([part.gain for part in parts]),
    )


def _ahead(pose: Pose) -> Float[np.ndarray, "3"]:
    return np.ascontiguousarray(pose.axes[:, 0])


def _in_air(paths: Paths, pose: Pose, rig: Loudspeaker) -> Arrivals:
    absorbed = 10 ** (-rig.air_absorption * paths.way[:, None] / 20)
    return Arrivals(paths.direction @ pose.axes, paths.way, paths.gain * absorbed)
