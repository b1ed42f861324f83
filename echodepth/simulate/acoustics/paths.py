"""Common input and result of the four methods that find sound paths."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from echodepth.simulate.jit import jit


class Endpoints(NamedTuple):
    """Loudspeaker and listener, in room coordinates.

    Attributes:
        source: position of the loudspeaker, metres.
        listener: centre of the head, metres.
        forward: unit vector that the loudspeaker faces.
        directivity: pressure at whole degrees off the forward axis, per octave band, relative to the axis.
    """

    source: Float[np.ndarray, " 3"]
    listener: Float[np.ndarray, " 3"]
    forward: Float[np.ndarray, " 3"]
    directivity: Float[np.ndarray, "181 8"]


class Paths(NamedTuple):
    """Sound paths from a loudspeaker to a listener, without absorption by the air.

    Attributes:
        direction: unit vectors from the listener towards the incoming sound, in room coordinates.
        path_length: metres.
        gain: pressure per octave band relative to that at 1 m in front of the loudspeaker; the sign is the phase.
    """

    direction: Float[np.ndarray, "p 3"]
    path_length: Float[np.ndarray, " p"]
    gain: Float[np.ndarray, "p bands"]


@jit
def empty_paths(capacity: int, bands: int) -> Paths:
    """Allocate uninitialised arrays for ``capacity`` paths."""
    return Paths(np.empty((capacity, 3)), np.empty(capacity), np.empty((capacity, bands)))


@jit
def distance_between(start: Float[np.ndarray, " 3"], end: Float[np.ndarray, " 3"]) -> float:
    """Distance of two points."""
    squared = 0.0
    for axis in range(3):
        squared += (end[axis] - start[axis]) ** 2
    return float(np.sqrt(squared))


@jit
def write_direction(
    paths: Paths, row: int, listener: Float[np.ndarray, " 3"], point: Float[np.ndarray, " 3"], distance: float
) -> None:
    """Write the unit vector from the listener towards a point at a known distance."""
    for axis in range(3):
        paths.direction[row, axis] = (point[axis] - listener[axis]) / distance


@jit
def first_paths(paths: Paths, count: int) -> Paths:
    """Keep the first ``count`` paths."""
    return Paths(paths.direction[:count], paths.path_length[:count], paths.gain[:count])
