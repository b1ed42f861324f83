"""Isolation, spectrum of the direct sound, and microphones, from direct sound and echoes.

A recording gives the level of the direct sound, which body and microphones shape, and that of the first echoes, which
the microphones and an unknown room shape. Simulated rooms predict the latter for a known rig; the difference is the
rig's. Repeating this with the rig found accounts for what is not additive in decibels.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from echodepth.apps.calibrate.estimates import LEAST_FOR_SPREAD
from echodepth.apps.calibrate.reference import Reference, measure_reference
from echodepth.apps.calibrate.sound import Sound
from echodepth.simulate.rig import BOUNDS, DEFAULT_RIG, Rig

_PASSES = 3
_OVER_NOISE = 2.0  # 3 dB: power from which the noise in it can be subtracted
CORE = slice(1, 6)
"""Octaves from 500 Hz to 8 kHz, which the isolation is the mean of: the others have little energy."""


@dataclass(frozen=True)
class Levels:
    """Levels of recordings per ear and octave of ``RIG_OCTAVES``, dB full scale without noise; NaN if below it.

    Attributes:
        direct: of the direct sound.
        echo: from 5 to 50 ms.
        views: see `describe_view`; NaN without a depth map.
    """

    direct: Float[np.ndarray, "n 2 7"]
    echo: Float[np.ndarray, "n 2 7"]
    views: Float[np.ndarray, "n 5"]

    @property
    def ratio(self) -> Float[np.ndarray, "n 2 7"]:
        """Echo over direct sound, dB."""
        return np.asarray(self.echo - self.direct)


@dataclass(frozen=True)
class EchoFit:
    """A rig that gives the measured levels.

    Attributes:
        rig: with isolation, spectrum of the direct sound, and microphones, within their bounds.
        isolation: dB, also where it is out of bounds.
        is_separate: octaves whose echoes were measured, so that body and microphones are told apart.
        errors: standard deviation of each octave's prediction for one room, dB.
        error: that of the isolation.
        reference: measurements of the rig in the simulated rooms.
    """

    rig: Rig
    isolation: float
    is_separate: Bool[np.ndarray, " 7"]
    errors: Float[np.ndarray, " 7"]
    error: float
    reference: list[Sound]


def levels_of(sounds: list[Sound], views: Float[np.ndarray, "n 5"], noise: Float[np.ndarray, "2 7"]) -> Levels:
    """Levels of measured sounds.

    Args:
        sounds: of each recording.
        views: of each recording; NaN without a depth map.
        noise: mean square of the noise, subtracted; 0 for none.
    """
    power = np.stack([np.stack([sound.direct, sound.echo]) for sound in sounds])
    with np.errstate(invalid="ignore"):
        levels = 10 * np.log10(np.where(power > _OVER_NOISE * noise, power - noise, np.nan))
    return Levels(levels[:, 0], levels[:, 1], views)


def fit_echoes(observed: Levels, reference: Reference, rig: Rig) -> EchoFit:
    """Fit isolation, spectrum of the direct sound, and microphones.

    Args:
        observed: levels of the recordings.
        reference: simulated rooms, for the rig's height and place of the loudspeaker.
        rig: to begin with, the same for both ears.
    """
    by_chance = None  # difference between the ears in the simulated rooms: over all rooms there is none
    for _ in range(_PASSES):
        simulated = levels_of(measure_reference(reference, rig), reference.views, np.zeros((2, 7)))
        between = (simulated.ratio - simulated.ratio.mean(axis=1, keepdims=True)).mean(axis=0)
        by_chance = between if by_chance is None else by_chance
        fit = _update(rig, observed, simulated, between - by_chance)
        rig = fit.rig
    return replace(fit, reference=measure_reference(reference, rig))


def _update(rig: Rig, observed: Levels, simulated: Levels, between_ears: Float[np.ndarray, "2 7"]) -> EchoFit:
    is_separate = np.isfinite(observed.ratio).all(axis=1).mean(axis=0) >= 0.5
    is_core = is_separate & (np.arange(7) >= CORE.start) & (np.arange(7) < CORE.stop)
    expected, errors = _predict(simulated.views, simulated.ratio.mean(axis=1), observed.views)
    body = np.array(rig.direct_spectrum) - rig.isolation
    change = _mean(expected[:, None] + between_ears - observed.ratio)
    isolation, error = rig.isolation, float("nan")
    if is_core.any():
        isolation = -float((body + change)[:, is_core].mean())
        error = _core_error(observed, simulated, is_core)
    changed = np.where(is_separate, body + change, -isolation)
    # Decibels of the direct sound that the body does not explain are the microphones'.
    louder = _mean(observed.direct) - simulated.direct.mean(axis=0) - (changed - body)
    microphones = np.array(rig.microphones) + louder
    default = np.array(DEFAULT_RIG.microphones)
    is_measured = np.isfinite(microphones)
    if is_measured.any():
        microphones -= (microphones - default)[is_measured].mean()
    microphones = np.where(is_measured, microphones, default)
    found = replace(
        rig,
        isolation=float(np.clip(isolation, *BOUNDS["isolation"][:2])),
        direct_spectrum=_as_tuples(np.where(is_separate, changed + isolation, 0.0)),
        microphones=_as_tuples(microphones),
    )
    return EchoFit(found, isolation, is_separate, errors, error, [])


def _core_error(observed: Levels, simulated: Levels, is_core: Bool[np.ndarray, " 7"]) -> float:
    ratios = simulated.ratio[:, :, is_core].mean(axis=(1, 2))[:, None]
    expected, (error,) = _predict(simulated.views, ratios, observed.views)
    is_known = np.isfinite(observed.ratio[:, :, is_core]).all(axis=(1, 2))
    residual = observed.ratio[is_known][:, :, is_core].mean(axis=(1, 2)) - expected[is_known, 0]
    return float(max(error, residual.std(ddof=1) if residual.size >= LEAST_FOR_SPREAD else 0.0))


def _predict(
    views: Float[np.ndarray, "m 5"], values: Float[np.ndarray, "m k"], wanted: Float[np.ndarray, "n 5"]
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, " k"]]:
    """Values predicted from views by linear regression, or their mean where there is no view.

    Returns:
        The predictions, and their standard deviation for one recording.
    """
    ones = np.ones((len(views), 1))
    design = np.hstack([ones, views])
    solution, *_ = np.linalg.lstsq(design, values, rcond=None)
    residual = (values - design @ solution).std(axis=0, ddof=design.shape[1])
    has_view = np.isfinite(wanted).all(axis=1)
    rows = np.hstack([np.ones((len(wanted), 1)), np.where(has_view[:, None], wanted, 0.0)])
    predicted = np.where(has_view[:, None], rows @ solution, values.mean(axis=0))
    leverage = np.einsum("ij,jk,ik->i", rows, np.linalg.pinv(design.T @ design), rows)
    variance = np.where(has_view[:, None], residual**2 * (1 + leverage[:, None]), values.var(axis=0))
    return predicted, np.sqrt(variance.mean(axis=0))


def _mean(levels: Float[np.ndarray, "n 2 7"]) -> Float[np.ndarray, "2 7"]:
    """Mean over the recordings in which a level is known; NaN if in none."""
    known = np.isfinite(levels)
    count = known.sum(axis=0)
    total = np.where(known, levels, 0.0).sum(axis=0)
    mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def _as_tuples(levels: Float[np.ndarray, "2 7"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    least, most = BOUNDS["microphones"][:2]
    left, right = (tuple(ear) for ear in np.clip(levels, least, most).tolist())
    return left, right
