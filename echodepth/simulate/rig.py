"""The simulated robot's rig: place of camera and loudspeaker, direct sound, microphones, recorder and noise.

``echodepth calibrate`` measures a rig and writes it as JSON; ``echodepth simulate --rig`` reads it. The module imports
nothing heavy because ``--help`` needs it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from echodepth.core.constants import V2_ONSET
from echodepth.core.errors import ConfigError
from echodepth.core.schema import SchemaError, read_json, short

FORMAT = "echodepth rig 1"
RIG_OCTAVES = (250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)
"""Centres of the octaves of microphones and direct sound, Hz; the values at the ends hold beyond them."""
NOISE_OCTAVES = (31.5, 63.0, 125.0, *RIG_OCTAVES)
"""Centres of the octaves of the background noise, Hz."""

Octaves = tuple[float, ...]
_V2_MICROPHONES = (-4.0, -5.0, -3.0, -1.5, 10.0, 6.0, -5.5)
_LARGEST_FILE = 2**20  # bytes: a rig has a few kilobytes


@dataclass(frozen=True)
class Rig:
    """The robot that is simulated. The defaults are BatVision V2's, from one genuine recording where not noted.

    Attributes:
        height: height of camera and head above the floor, metres; each recording's is within 2 cm.
        pitch: tilt of the camera against the head, degrees, positive downwards.
        emitter: position of the loudspeaker in the head frame, metres forward, left and up; it faces forward.
        isolation: dB by which the robot's body weakens the direct sound, and what the floor under the robot returns.
        direct_spectrum: response of that same sound at the left and right ear per octave of ``RIG_OCTAVES``, dB,
            added to isolation and microphones.
        microphones: diffuse-field response of the left and right microphone with the loudspeaker per octave of
            ``RIG_OCTAVES``, dB. Only differences matter: ``direct_rms`` sets the level. The default was chosen so that
            the echoes of the genuine recording's place, from 5 to 50 ms, have its octave spectrum
            (`python -m benchmarks.genuine_frame`).
        direct_rms: RMS of the direct sound over both ears and the chirp's 3 ms, relative to full scale.
        gain_spread: standard deviation of the recorder's gain between recordings, dB: charge of the battery and steps
            of the volume control; the default is assumed.
        onset: samples from the start of the file to the direct sound.
        onset_jitter: largest deviation of the onset, samples either way: the computer's clock starts the recording;
            the default is assumed.
        snr: direct sound over background noise, dB; infinite for no noise.
        noise_spectrum: level of the noise per octave of ``NOISE_OCTAVES``, dB; only differences matter.
    """

    height: float = 0.35
    pitch: float = 0.0
    emitter: tuple[float, float, float] = (0.07, 0.0, -0.14)
    isolation: float = 12.0
    direct_spectrum: tuple[Octaves, Octaves] = ((0.0,) * len(RIG_OCTAVES),) * 2
    microphones: tuple[Octaves, Octaves] = (_V2_MICROPHONES, _V2_MICROPHONES)
    direct_rms: float = 0.17
    gain_spread: float = 0.5
    onset: float = float(V2_ONSET)
    onset_jitter: float = 4.0
    snr: float = 32.0
    noise_spectrum: Octaves = (-51.0, -61.0, *(-65.0,) * 6, -73.0, -75.0)


DEFAULT_RIG = Rig()


class Bounds(NamedTuple):
    """Range of a field's numbers, and their unit."""

    least: float
    most: float
    unit: str


BOUNDS: dict[str, Bounds] = {
    "height": Bounds(0.3, 1.8, "metres above the floor"),
    "pitch": Bounds(-45, 45, "degrees, positive downwards"),
    "emitter": Bounds(-0.5, 0.5, "metres forward, left and up"),
    "isolation": Bounds(0, 60, "decibels"),
    "direct_spectrum": Bounds(-60, 60, "decibels"),
    "microphones": Bounds(-60, 60, "decibels"),
    "direct_rms": Bounds(1e-5, 1, "a share of full scale"),
    "gain_spread": Bounds(0, 10, "decibels"),
    "onset": Bounds(0, 4410, "samples"),
    "onset_jitter": Bounds(0, 1000, "samples"),
    "snr": Bounds(0, 120, "decibels"),
    "noise_spectrum": Bounds(-200, 60, "decibels"),
}
"""Range of each field of a rig."""


def is_in_range(name: str, value: int | float) -> bool:
    """Whether a number is within the bounds of a field."""
    return BOUNDS[name].least <= value <= BOUNDS[name].most


def read_rig(path: Path) -> Rig:
    """Read a rig that ``echodepth calibrate`` wrote; fields that are null or absent keep their defaults.

    Raises:
        ConfigError: the file is missing, or is no rig; the message names the field.
    """
    make = "make one with `echodepth calibrate RECORDINGS --out rig.json`"
    try:
        content = read_json(path, _LARGEST_FILE)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): {make}") from error
    except SchemaError as error:
        raise ConfigError(f"{path} is no rig ({error}): {make}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("rig"), dict):
        raise ConfigError(f'{path} is no rig: it needs "format": "{FORMAT}" and "rig": {{...}}; {make}')
    return parse_rig(content["rig"], str(path))


def parse_rig(content: Mapping[str, Any], name: str) -> Rig:
    """A rig from the values of its fields, as JSON holds them.

    Args:
        content: a number, or lists of numbers, by field; null, also in lists, and absent fields keep the defaults.
        name: the file, for messages.

    Raises:
        ConfigError: a field is unknown, or a value has another form or is out of range.
    """
    known = [field.name for field in fields(Rig)]
    if unknown := sorted(set(content) - {*known}):
        raise ConfigError(f"{name}: rig has no field {short(unknown[0])}; its fields are {', '.join(known)}")
    values = {
        field: _parse(value, getattr(DEFAULT_RIG, field), field, f"{name}: {field}")
        for field, value in content.items()
        if value is not None
    }
    rig = Rig(**values)
    require_above_floor(rig, f"{name}: emitter")
    return rig


def _parse(value: object, default: Any, field: str, place: str) -> Any:
    bounds = BOUNDS[field]
    if isinstance(default, tuple):
        if not isinstance(value, list) or len(value) != len(default):
            what = f"lists of {len(default[0])} numbers" if isinstance(default[0], tuple) else "numbers"
            raise ConfigError(f"{place} must be a list of {len(default)} {what} ({bounds.unit}), or null")
        return tuple(
            _parse(each, default[index], field, f"{place}[{index}]") if each is not None else default[index]
            for index, each in enumerate(value)
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_in_range(field, value):
        raise ConfigError(
            f"{place} is {_as_json(value)}: give {bounds.unit}, {bounds.least:g} to {bounds.most:g}, or null for "
            "the default"
        )
    return float(value)


def _as_json(value: object) -> str:
    """A value in the notation of the file that it is from, in one short line."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):  # of no JSON, or a number of thousands of digits
        return short(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def require_above_floor(rig: Rig, name: str) -> None:
    """Raise a ConfigError that starts with ``name`` if the loudspeaker would be in the floor."""
    clear = 0.05  # metres
    if rig.height + rig.emitter[2] < clear:
        raise ConfigError(
            f"{name} puts the loudspeaker {rig.height + rig.emitter[2]:.2f} m above the floor, for a head at "
            f"{rig.height:g} m: give at least {clear:g} m"
        )


def rounded(value: Any, digits: int = 4) -> Any:
    """Numbers in lists of any depth, rounded for JSON; those that are not finite become None."""
    if isinstance(value, list | tuple):
        return [rounded(each, digits) for each in value]
    return round(float(value), digits) if math.isfinite(value) else None
