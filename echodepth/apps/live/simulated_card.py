"""A sound card in simulated rooms, so that live commands run and can be tested without hardware."""

import numpy as np
from jaxtyping import Float

from echodepth.core.constants import V2_ONSET, V2_RECORDING_SAMPLES
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import propagate
from echodepth.simulate.acoustics.recording import background_noise, receive
from echodepth.simulate.acoustics.scattering import draw_patches
from echodepth.simulate.camera.render import depth_map
from echodepth.simulate.rooms.room_generator import draw_pose, draw_room

LATENCY = 4410
"""Samples from the start of playback to the direct sound: 0.1 s, as with a computer's buffers."""
_POSES_PER_ROOM = 4
_SIDE = 64  # pixels of the ground truth


class SimulatedCard:
    """A robot at another pose for every chirp, and in another room for every fourth.

    Args:
        seed: random seed of the rooms.
    """

    name = "simulated rooms"

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._loudspeaker = Loudspeaker()
        self._recordings = 0
        self._ground_truth: Float[np.ndarray, "s s"] | None = None

    def play_and_record(self, signal: Float[np.ndarray, " n"], frames: int) -> Float[np.ndarray, "2 t"]:
        """See ``SoundCard``; samples beyond full scale clip."""
        if self._recordings % _POSES_PER_ROOM == 0:
            self._room = draw_room(self._rng)
            self._patches = draw_patches(self._room, self._rng)
        self._recordings += 1
        pose = draw_pose(self._rng, self._room)
        self._ground_truth = depth_map(self._room, pose, _SIDE)
        echoes = receive(propagate(self._room, self._patches, pose, self._loudspeaker, self._rng), signal)
        blocks = -(-max(frames, LATENCY + V2_RECORDING_SAMPLES) // V2_RECORDING_SAMPLES)
        recorded = np.concatenate([background_noise(self._rng) for _ in range(blocks)], axis=1)
        start = LATENCY - V2_ONSET
        recorded[:, start : start + V2_RECORDING_SAMPLES] += echoes
        clipped: np.ndarray = np.clip(recorded[:, :frames], -1, 1).astype(np.float32)
        return clipped

    def ground_truth(self) -> Float[np.ndarray, "s s"] | None:
        """Exact depth in metres at the pose of the last recording."""
        return self._ground_truth
