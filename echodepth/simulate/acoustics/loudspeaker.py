"""Directivity of the robot's loudspeaker, and sound absorption by the air."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.special import j1

from echodepth.simulate.acoustics.paths import Endpoints
from echodepth.simulate.jit import jit
from echodepth.simulate.rig import DEFAULT_RIG
from echodepth.simulate.rooms.materials import OCTAVES, Vector
from echodepth.simulate.rooms.ray_casting import Point

_CONE_RADIUS = 0.02  # metres: the JBL Flip 4 that BatVision used has two 40 mm drivers (its data sheet)
_BODY_RADIUS = 0.034  # metres: its body is a cylinder of 68 mm diameter (its data sheet)
_REAR_LEVEL = -20.0  # dB, straight behind: below it the sound of leaks and of the vibrating body remains
_DIRECTIONS = 181  # rows of the directivity table: whole degrees


@dataclass(frozen=True)
class Loudspeaker:
    """Loudspeaker, its place on the robot, and air.

    Attributes:
        emitter: position in the head frame, metres forward, left and up; the loudspeaker faces forward.
        isolation: dB by which the robot's body weakens the direct sound, and what the floor under the robot returns.
        omnidirectional: whether it radiates equally in all directions, rather than as a small cone in a small body.
        speed_of_sound: m/s; 343 in dry air at 20 °C.
        temperature: temperature of the air, °C.
        humidity: relative humidity, %; indoor comfort lies between 30 and 60 (EN 16798-1).
    """

    emitter: Vector = DEFAULT_RIG.emitter
    isolation: float = DEFAULT_RIG.isolation
    omnidirectional: bool = False
    speed_of_sound: float = 343.0
    temperature: float = 20.0
    humidity: float = 50.0

    @property
    def directivity(self) -> Float[np.ndarray, "181 8"]:
        """Pressure at whole degrees off the forward axis, per octave band, relative to the axis."""
        return np.ones((_DIRECTIONS, len(OCTAVES))) if self.omnidirectional else _cone_directivity(self.speed_of_sound)

    @property
    def air_absorption(self) -> Float[np.ndarray, " 8"]:
        """Absorption by the air per octave band, dB/m."""
        return np.array([air_absorption(f, self.temperature, self.humidity) for f in OCTAVES])


@cache
def _cone_directivity(speed_of_sound: float) -> Float[np.ndarray, "181 8"]:
    """Directivity of a piston (Kinsler et al., Fundamentals of Acoustics, 4th ed., eq. 7.4.17) times the body's shadow.

    The body's directivity turns from omnidirectional to a cardioid where its circumference equals the wavelength
    (ka = 1). The product vanishes behind the body; real loudspeakers radiate there too.
    """
    angle = np.radians(np.arange(_DIRECTIONS))[:, None]
    wave_number = 2 * np.pi * np.array(OCTAVES) / speed_of_sound
    phase = wave_number * _CONE_RADIUS * np.sin(np.minimum(angle, np.pi / 2))
    beam = np.where(phase > 1e-6, 2 * j1(np.maximum(phase, 1e-6)) / np.maximum(phase, 1e-6), 1.0)
    size = (wave_number * _BODY_RADIUS) ** 2
    shadow = 1 - size / (1 + size) * (1 - np.cos(angle)) / 2
    rear = 10 ** (_REAR_LEVEL / 20) * (1 - np.cos(angle)) / 2
    directivity: np.ndarray = np.copysign(np.hypot(beam * shadow, rear), beam)
    return directivity


def air_absorption(frequency: float, temperature: float, humidity: float) -> float:
    """Absorption by still air at one atmosphere (ISO 9613-1:1993, equations 3 to 5 and B.2, B.3).

    Args:
        frequency: Hz.
        temperature: °C.
        humidity: relative, %.

    Returns:
        Decibels per metre.
    """
    kelvin = temperature + 273.15
    relative = kelvin / 293.15
    saturation = 10 ** (-6.8346 * (273.16 / kelvin) ** 1.261 + 4.6151)
    water = humidity * saturation  # molar concentration, %
    oxygen = 24 + 4.04e4 * water * (0.02 + water) / (0.391 + water)
    nitrogen = relative**-0.5 * (9 + 280 * water * np.exp(-4.170 * (relative ** (-1 / 3) - 1)))
    relaxation = relative**-2.5 * (
        0.01275 * np.exp(-2239.1 / kelvin) / (oxygen + frequency**2 / oxygen)
        + 0.1068 * np.exp(-3352.0 / kelvin) / (nitrogen + frequency**2 / nitrogen)
    )
    return float(8.686 * frequency**2 * (1.84e-11 * relative**0.5 + relaxation))


@jit
def directivity_gain(ends: Endpoints, direction: Point, gain: Float[np.ndarray, " 8"]) -> None:
    """Write the pressure that the loudspeaker radiates in a direction of any length into ``gain``, per octave band."""
    forward, directivity = ends.forward, ends.directivity
    dx, dy, dz = direction[0], direction[1], direction[2]
    cosine = (forward[0] * dx + forward[1] * dy + forward[2] * dz) / np.sqrt(dx * dx + dy * dy + dz * dz)
    degrees = np.degrees(np.arccos(min(max(cosine, -1.0), 1.0)))
    low = min(int(degrees), directivity.shape[0] - 2)
    share = degrees - low
    for band in range(gain.size):
        gain[band] = (1 - share) * directivity[low, band] + share * directivity[low + 1, band]
