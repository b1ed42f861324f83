"""Simulated recordings of a rig in many rooms, measured as those of the robot are.

Echoes depend on the room, which is not known, as much as on the rig. What they would be with a known rig is predicted
from these simulations: by regression on the view where there is a depth map, otherwise by their mean.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from echodepth.apps.calibrate.sound import Sound, measure_sound
from echodepth.apps.calibrate.view import describe_view
from echodepth.core.field_of_view import FieldOfView
from echodepth.data.audio import find_onset
from echodepth.data.images import DepthMap
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import Arrivals, propagate
from echodepth.simulate.acoustics.recording import background_noise, record
from echodepth.simulate.acoustics.scattering import draw_patches
from echodepth.simulate.camera.depth_camera import measure_depth
from echodepth.simulate.camera.render import FIELD_OF_VIEW, render
from echodepth.simulate.rig import Rig
from echodepth.simulate.rooms.room_generator import draw_pose, draw_room

_SEED = 7919  # no set of `simulate` with a small seed has the same rooms
_SIDE = 48  # pixels of a view
DIRECT_RMS = 0.01
"""RMS of the direct sound of `measure_reference`, relative to full scale: nothing clips."""


@dataclass(frozen=True)
class Reference:
    """Simulated rooms.

    Attributes:
        arrivals: sounds at the head with ``isolation``, for each pose.
        isolation: dB.
        views: see `describe_view`.
    """

    arrivals: list[Arrivals]
    isolation: float
    views: Float[np.ndarray, "n 5"]


def simulate_reference(rig: Rig, rooms: int, crop: FieldOfView, holes: float = 0.0) -> Reference:
    """Simulate a rig in random rooms, once with a heading of the generator and once with any heading.

    Args:
        rig: height, pitch, loudspeaker's place and isolation.
        rooms: their number.
        crop: field of view that the views' descriptions are limited to.
        holes: strength of the depth camera's missing pixels, which shift the mean distance by some per cent.
    """
    loudspeaker = Loudspeaker(emitter=rig.emitter, isolation=rig.isolation)
    arrivals, views = [], []
    for number in tqdm(range(rooms), desc="Simulating reference rooms", unit="room", disable=None):
        rng = np.random.default_rng([_SEED, number])
        room = draw_room(rng)
        patches = draw_patches(room, rng)
        pose = draw_pose(rng, room, rig.height)
        for each in (pose, replace(pose, yaw=float(rng.uniform(0, 2 * np.pi)))):
            camera = replace(each, pitch=each.pitch + float(np.radians(rig.pitch)))
            metres = measure_depth(render(room, camera, _SIDE, rng), holes, rng) / 1000
            view = describe_view(DepthMap(metres, metres > 0), FIELD_OF_VIEW, crop)
            if view is not None:
                arrivals.append(propagate(room, patches, each, loudspeaker, rng))
                views.append(view)
    return Reference(arrivals, rig.isolation, np.stack(views))


def measure_reference(reference: Reference, rig: Rig) -> list[Sound]:
    """Measure a rig in the simulated rooms, without jitter and clipping; the level of the direct sound is 0.01.

    The onset is found with the rig's noise, which delays it by a few samples; the rest is measured without noise.

    Args:
        reference: rooms, of the same height and loudspeaker's place.
        rig: isolation, spectrum of the direct sound, microphones and noise.
    """
    steady = replace(rig, gain_spread=0.0, onset_jitter=0.0, direct_rms=DIRECT_RMS)
    factor = 10 ** ((reference.isolation - rig.isolation) / 20)
    sounds = []
    for number, arrivals in enumerate(reference.arrivals):
        rng, gain = np.random.default_rng([_SEED, number]), arrivals.gain.copy()
        gain[arrivals.through_body] *= factor
        quiet = record(replace(arrivals, gain=gain), rng, replace(steady, snr=np.inf))
        onset = find_onset(quiet + background_noise(rng, steady))
        sounds.append(measure_sound(quiet, onset, with_decay=False))
    return sounds
