"""Sound propagation from the robot's loudspeaker to its head: direction, length and gain of every path.

Four methods each find one kind of path, and the energy of a path is counted by one of them alone: specular reflections
(`image_sources`), edge diffraction (`diffraction`), first-order scattering (`scattering`), and everything later
(`ray_tracing`).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from echodepth.simulate.acoustics.diffraction import diffraction_paths
from echodepth.simulate.acoustics.image_sources import MAX_ORDER, image_source_paths, large_faces
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.paths import Endpoints, Paths
from echodepth.simulate.acoustics.ray_tracing import draw_rays, ray_traced_paths
from echodepth.simulate.acoustics.scattering import Patches, scattered_paths
from echodepth.simulate.rooms.scene import Pose, Room

RAYS = 768
"""Number of rays of the late sound. More rays change only the speckle of their random signs."""

_BODY_CONE = math.sin(math.radians(45))
"""Sound from within 45 degrees below the head passes through the robot's body, which hides the floor at its feet."""

LONGEST_PATH = 156.0
"""Metres after which a ray ends: the duration of a recording, 0.4535 s, at 343 m/s."""


@dataclass(frozen=True)
class Arrivals:
    """Sounds that arrive at the centre of the head.

    Attributes:
        direction: unit vectors towards the incoming sound, in the head frame: forward, left, up.
        path_length: distance travelled from the loudspeaker, metres.
        gain: pressure per octave band of ``OCTAVES``, relative to that at 1 m in front of the loudspeaker; the sign is
            the phase.
        through_body: whether the robot's body weakens the sound; None for none of them.
    """

    direction: Float[np.ndarray, "n 3"]
    path_length: Float[np.ndarray, " n"]
    gain: Float[np.ndarray, "n 8"]
    through_body: Bool[np.ndarray, " n"] | None = None

    def only(self, chosen: Bool[np.ndarray, " n"]) -> "Arrivals":
        """Some of the sounds."""
        body = None if self.through_body is None else self.through_body[chosen]
        return Arrivals(self.direction[chosen], self.path_length[chosen], self.gain[chosen], body)


def specular_reflections(room: Room, pose: Pose, loudspeaker: Loudspeaker, order: int = MAX_ORDER) -> Arrivals:
    """Direct sound, which comes first, and specular reflections of up to ``order`` faces."""
    paths = image_source_paths(room.scene, large_faces(room.scene), order, _endpoints(pose, loudspeaker))
    return _through_body(_to_head(paths, pose, loudspeaker), loudspeaker)


def edge_diffraction(room: Room, pose: Pose, loudspeaker: Loudspeaker) -> Arrivals:
    """Sound diffracted by the edges of the blocks."""
    paths = diffraction_paths(room.scene, _endpoints(pose, loudspeaker), loudspeaker.speed_of_sound)
    return _to_head(paths, pose, loudspeaker)


def first_scattering(room: Room, patches: Patches, pose: Pose, loudspeaker: Loudspeaker) -> Arrivals:
    """Sound scattered once, by the patches of the room's surfaces."""
    paths = scattered_paths(room.scene, patches, _endpoints(pose, loudspeaker))
    return _through_body(_to_head(paths, pose, loudspeaker), loudspeaker)


def late_sound(room: Room, pose: Pose, loudspeaker: Loudspeaker, rays: Float[np.ndarray, "count 97 3"]) -> Arrivals:
    """Sound that the other methods leave out, traced along rays from `draw_rays`."""
    large, ends = large_faces(room.scene), _endpoints(pose, loudspeaker)
    return _to_head(ray_traced_paths(room.scene, large, rays, pose.axes, ends, LONGEST_PATH), pose, loudspeaker)


def propagate(room: Room, patches: Patches, pose: Pose, loudspeaker: Loudspeaker, rng: np.random.Generator) -> Arrivals:
    """Find all sound that arrives at the head; the direct sound comes first.

    Args:
        room: room with furniture.
        patches: scattering patches of the room, from `draw_patches`.
        pose: pose of the robot.
        loudspeaker: loudspeaker and air.
        rng: draws the rays.
    """
    parts = (
        specular_reflections(room, pose, loudspeaker),
        edge_diffraction(room, pose, loudspeaker),
        first_scattering(room, patches, pose, loudspeaker),
        late_sound(room, pose, loudspeaker, draw_rays(RAYS, rng)),
    )
    return Arrivals(
        np.concatenate([part.direction for part in parts]),
        np.concatenate([part.path_length for part in parts]),
        np.concatenate([part.gain for part in parts]),
        np.concatenate(
            [
                np.zeros(part.path_length.size, bool) if part.through_body is None else part.through_body
                for part in parts
            ]
        ),
    )


def _endpoints(pose: Pose, loudspeaker: Loudspeaker) -> Endpoints:
    forward = np.ascontiguousarray(pose.axes[:, 0])
    return Endpoints(pose.to_room(loudspeaker.emitter), np.array(pose.position), forward, loudspeaker.directivity)


def _to_head(paths: Paths, pose: Pose, loudspeaker: Loudspeaker) -> Arrivals:
    """Rotate paths into the head frame and apply the absorption by the air."""
    transmitted = 10 ** (-loudspeaker.air_absorption * paths.path_length[:, None] / 20)
    return Arrivals(paths.direction @ pose.axes, paths.path_length, paths.gain * transmitted)


def _through_body(arrivals: Arrivals, loudspeaker: Loudspeaker) -> Arrivals:
    """Weaken the direct sound, and sound from below, by the isolation of the robot's body."""
    is_direct = arrivals.path_length < math.hypot(*loudspeaker.emitter) + 1e-6
    is_isolated = is_direct | (arrivals.direction[:, 2] < -_BODY_CONE)
    gain = np.where(is_isolated[:, None], 10 ** (-loudspeaker.isolation / 20), 1.0) * arrivals.gain
    return replace(arrivals, gain=gain, through_body=is_isolated)
