"""The robot's loudspeaker, and the air that carries its sound."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.special import j1

from echodepth.simulate.jit import jit
from echodepth.simulate.rooms.materials import OCTAVES, Vector

_CONE_RADIUS = 0.02  # metres: the JBL Flip 4 that BatVision used has two 40 mm drivers (its data sheet)
_BODY_RADIUS = 0.034  # metres: it is a cylinder 68 mm thick (its data sheet)
_DIRECTIONS = 181  # of the directivity's table: whole degrees


@dataclass(frozen=True)
class Loudspeaker:
    """Loudspeaker and air.

    Attributes:
        emitter: the loudspeaker, metres forward, left and up from the head's centre; it faces forward.
        omnidirectional: whether it sends equally in all directions; otherwise as a small cone in a small body.
        speed_of_sound: m/s; 343 in dry air at 20 °C.
        temperature: of the air, °C; with humidity it decides what the air absorbs.
        humidity: relative, %; indoor comfort lies between 30 and 60 (EN 16798-1).
    """

    emitter: Vector = (0.25, 0.0, -0.25)
    omnidirectional: bool = False
    speed_of_sound: float = 343.0
    temperature: float = 20.0
    humidity: float = 50.0

    @property
    def directivity(self) -> Float[np.ndarray, "181 8"]:
        """Pressure sent at whole degrees from straight ahead in each octave, relative to straight ahead."""
        return np.ones((_DIRECTIONS, len(OCTAVES))) if self.omnidirectional else _loudspeaker(self.speed_of_sound)

    @property
    def air_absorption(self) -> Float[np.ndarray, " 8"]:
        """Decibels per metre in each octave."""
        return np.array([air_absorption(f, self.temperature, self.humidity) for f in OCTAVES])


@cache
def _loudspeaker(speed_of_sound: float) -> Float[np.ndarray, "181 8"]:
    """A piston's beam (Kinsler et al., Fundamentals of Acoustics, 4th ed., eq. 7.4.17) times the body's shadow.

    The body turns from omnidirectional to a cardioid where its circumference equals the wavelength (ka = 1).
    """
    angle = np.radians(np.arange(_DIRECTIONS))[:, None]
    wave_number = 2 * np.pi * np.array(OCTAVES) / speed_of_sound
    phase = wave_number * _CONE_RADIUS * np.sin(np.minimum(angle, np.pi / 2))
    beam = np.where(phase > 1e-6, 2 * j1(np.maximum(phase, 1e-6)) / np.maximum(phase, 1e-6), 1.0)
    size = (wave_number * _BODY_RADIUS) ** 2
    shadow = 1 - size / (1 + size) * (1 - np.cos(angle)) / 2
    sent: np.ndarray = beam * shadow
    return sent


def air_absorption(frequency: float, temperature: float, humidity: float) -> float:
    """What still air at one atmosphere absorbs (ISO 9613-1:1993, equations 3 to 5 and B.2, B.3).

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
def sent(
    directivity: Float[np.ndarray, "181 8"],
    ahead: Float[np.ndarray, " 3"],
    dx: float,
    dy: float,
    dz: float,
    gain: Float[np.ndarray, " 8"],
) -> None:
    """Write into ``gain`` the pressure that a loudspeaker facing ``ahead`` sends in a direction of any length."""
    cosine = (ahead[0] * dx + ahead[1] * dy + ahead[2] * dz) / np.sqrt(dx * dx + dy * dy + dz * dz)
    degrees = np.degrees(np.arccos(min(max(cosine, -1.0), 1.0)))
    low = min(int(degrees), directivity.shape[0] - 2)
    share = degrees - low
    for band in range(gain.size):
        gain[band] = (1 - share) * directivity[low, band] + share * directivity[low + 1, band]
