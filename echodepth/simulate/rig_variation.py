"""Robots drawn around a rig, one a room, for models that are not tied to one robot."""

from dataclasses import replace

import numpy as np

from echodepth.simulate.rig import BOUNDS, Octaves, Rig

_LEAST_CLEARANCE = 0.1  # metres from the floor to the loudspeaker


def varied_rig(rig: Rig, variation: float, rng: np.random.Generator) -> Rig:
    """Draw a robot around a rig.

    At a variation of 1 heads are at most three times as high, cameras tilted by up to 8 degrees, loudspeakers and
    microphones differ by 3 dB an octave, and the levels of direct sound and noise by up to 10 and 8 dB. The ranges are
    assumed, not measured.

    Args:
        rig: the middle of the range.
        variation: factor of all ranges, 0 (``rig`` itself) to 1.
        rng: draws the robot.

    Returns:
        A rig within ``BOUNDS`` whose loudspeaker is above the floor.
    """

    def shifted(name: str, middle: float, spread: float) -> float:
        return float(np.clip(middle + variation * rng.uniform(-spread, spread), BOUNDS[name].least, BOUNDS[name].most))

    def octaves(name: str, levels: Octaves, spread: float) -> Octaves:
        drawn = np.array(levels) + variation * rng.normal(0, spread, len(levels))
        return tuple(np.clip(drawn, BOUNDS[name].least, BOUNDS[name].most).tolist())

    def scaled(name: str, middle: float, factor: float) -> float:
        return float(np.clip(middle * factor**variation, BOUNDS[name].least, BOUNDS[name].most))

    height = scaled("height", rig.height, 3 ** rng.uniform(-0.15, 1))
    forward, left, up = (
        shifted("emitter", middle, spread) for middle, spread in zip(rig.emitter, (0.05, 0.02, 0.08), strict=True)
    )
    both = octaves("microphones", (0.0,) * len(rig.microphones[0]), 3.0)
    ears = (octaves("microphones", tuple(np.add(levels, both).tolist()), 0.5) for levels in rig.microphones)
    first, second = ears
    return replace(
        rig,
        height=height,
        pitch=shifted("pitch", rig.pitch, 8.0),
        emitter=(forward, left, max(up, _LEAST_CLEARANCE - height)),
        isolation=shifted("isolation", rig.isolation, 8.0),
        microphones=(first, second),
        direct_rms=float(
            np.clip(rig.direct_rms * 10 ** (variation * rng.uniform(-0.5, 0.2)), *BOUNDS["direct_rms"][:2])
        ),
        snr=shifted("snr", rig.snr, 8.0),
        noise_spectrum=octaves("noise_spectrum", rig.noise_spectrum, 4.0),
    )
