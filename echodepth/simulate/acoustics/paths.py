"""The common form of what the four searches for sound paths return."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from echodepth.simulate.jit import jit


class Paths(NamedTuple):
    """Ways of sound from a loudspeaker to a listener, in still air that absorbs nothing.

    Attributes:
        direction: unit vectors from the listener to where each path comes from, in the world.
        way: length, metres.
        gain: pressure per octave relative to 1 m in front of the loudspeaker; the sign is the phase.
    """

    direction: Float[np.ndarray, "p 3"]
    way: Float[np.ndarray, " p"]
    gain: Float[np.ndarray, "p bands"]


@jit
def room_for(most: int, bands: int) -> Paths:
    """Make uninitialised room for ``most`` paths."""
    return Paths(np.empty((most, 3)), np.empty(most), np.empty((most, bands)))


@jit
def first_of(paths: Paths, count: int) -> Paths:
    """Keep the first ``count`` paths."""
    return Paths(paths.direction[:count], paths.way[:count], paths.gain[:count])
