"""The rig that a robot's recordings tell of, and what else was measured in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from echodepth.apps.calibrate.echoes import CORE, EchoFit, Levels, fit_echoes, levels_of
from echodepth.apps.calibrate.estimates import Estimate, bounded, mean_of, spread_of, unknown
from echodepth.apps.calibrate.noise import fit_noise, noise_power
from echodepth.apps.calibrate.recordings import Recording, Source
from echodepth.apps.calibrate.reference import DIRECT_RMS, simulate_reference
from echodepth.apps.calibrate.sound import Sound
from echodepth.core.field_of_view import BATVISION_V2, FieldOfView
from echodepth.simulate.rig import BOUNDS, DEFAULT_RIG, NOISE_OCTAVES, RIG_OCTAVES, Rig, rounded

ACOUSTIC = (
    *("isolation", "direct_spectrum", "microphones", "direct_rms", "gain_spread", "onset", "onset_jitter"),
    *("snr", "noise_spectrum"),
)
_FIRST = NOISE_OCTAVES.index(RIG_OCTAVES[0])
_NO_EMITTER = (
    "recordings do not tell where the loudspeaker is: measure it, and write metres forward, left and up of the head"
)
_NO_SOUND = "the dataset has no sound"
_NO_EMISSION = "files do not tell when the loudspeaker was driven; recordings.csv of `echodepth record` does"


@dataclass(frozen=True)
class Calibration:
    """Result of a calibration.

    Attributes:
        estimates: for each field of `Rig`.
        others: what is no field of a rig: the time from emission, the start of playback, to the direct sound, and decay
            times per octave.
        measured: other measurements, for JSON.
    """

    estimates: dict[str, Estimate]
    others: dict[str, Estimate]
    measured: dict[str, Any]


def common_view(camera: FieldOfView | None) -> FieldOfView:
    """The part of a camera's field of view that the simulated camera sees too."""
    angles = BATVISION_V2.degrees if camera is None else camera.degrees
    return FieldOfView(*(min(pair) for pair in zip(angles, BATVISION_V2.degrees, strict=True)))


def fit_rig(recordings: Sequence[Recording], source: Source, reference_rooms: int) -> Calibration:
    """Estimate a rig.

    Args:
        recordings: measured recordings.
        source: where they come from.
        reference_rooms: number of simulated rooms.
    """
    estimates = _fit_camera(recordings, source) | {"emitter": unknown(_NO_EMITTER)}
    measured: dict[str, Any] = {
        "recordings": sum(each.sound is not None for each in recordings),
        "depth_maps": sum(each.has_depth for each in recordings),
        "floors": sum(each.floor is not None for each in recordings),
        "rooms": len({each.room for each in recordings}),
    }
    if floors := [each.floor for each in recordings if each.floor is not None]:
        measured["camera_roll_degrees"] = rounded(float(np.median([floor.roll for floor in floors])))
    latency = unknown(_NO_EMISSION) if source.latency is None else Estimate(source.latency)
    others = {"emission_to_direct_sound_ms": latency, "decay_time_s": unknown(_NO_SOUND)}
    with_sound = [each for each in recordings if each.sound is not None]
    if not with_sound:
        return Calibration(estimates | dict.fromkeys(ACOUSTIC, unknown(_NO_SOUND)), others, measured)
    acoustic, found = _fit_sound(with_sound, source, estimates, reference_rooms)
    estimates = {name: bounded(name, estimate) for name, estimate in (estimates | acoustic).items()}
    others["decay_time_s"] = _decay(np.stack([each.sound.decay for each in with_sound if each.sound is not None]))
    return Calibration(estimates, others, measured | found)


def _fit_camera(recordings: Sequence[Recording], source: Source) -> dict[str, Estimate]:
    floors = [each.floor for each in recordings if each.floor is not None]
    if floors:
        height, pitch = (mean_of(np.array([getattr(floor, name) for floor in floors])) for name in ("height", "pitch"))
        return {"height": bounded("height", height), "pitch": bounded("pitch", pitch)}
    maps = sum(each.has_depth for each in recordings)
    if maps == 0:
        reason = source.no_depth or "there are no depth maps"
    elif source.camera is None:
        reason = "the camera's field of view is not known: give --field_of_view, or camera.json"
    else:
        reason = f"none of {maps} depth maps shows a floor"
    return {"height": unknown(reason), "pitch": unknown(reason)}


def _fit_sound(
    recordings: Sequence[Recording], source: Source, camera: dict[str, Estimate], reference_rooms: int
) -> tuple[dict[str, Estimate], dict[str, Any]]:
    sounds = [each.sound for each in recordings if each.sound is not None]
    views = np.stack([np.full(5, np.nan) if each.view is None else each.view for each in recordings])
    noise = noise_power(sounds)
    levels = levels_of(sounds, views, np.nan_to_num(noise[:, _FIRST:]))
    known: dict[str, Any] = {
        name: each.value for name in ("height", "pitch") if (each := camera[name]).value is not None
    }
    rig = _with_noise(replace(DEFAULT_RIG, **known), noise.mean(axis=0), sounds)
    holes = float(np.mean([each.has_holes for each in recordings if each.view is not None] or [False]) > 0.5)
    fit = fit_echoes(levels, simulate_reference(rig, reference_rooms, common_view(source.camera), holes), rig)
    rooms = len({each.room for each in recordings})
    estimates = _spectra(levels, fit, rooms) | _level_and_timing(sounds, levels, fit)
    estimates |= _noise(noise.mean(axis=0), estimates["direct_rms"])
    measured = {
        "clipped_recordings": sum(sound.clips for sound in sounds),
        "views_described": int(np.isfinite(views).all(axis=1).sum()),
        "octaves_hz": list(RIG_OCTAVES),
        "direct_sound_dbfs": _decibels(levels.direct),
        "echoes_5_to_50_ms_dbfs": _decibels(levels.echo),
        "noise_octaves_hz": list(NOISE_OCTAVES),
        "noise_dbfs": [rounded(np.where(row > 0, 10 * np.log10(row), np.nan).tolist(), 1) for row in noise],
    }
    return estimates, measured


def _decay(times: Float[np.ndarray, "n 7"]) -> Estimate:
    known = np.isfinite(times)
    median = np.array(
        [np.median(column[each]) if each.any() else np.nan for column, each in zip(times.T, known.T, strict=True)]
    )
    lacking = [f"{octave:g}" for octave, each in zip(RIG_OCTAVES, known.T, strict=True) if not each.any()]
    return Estimate(
        median, None, f"at {', '.join(lacking)} Hz, sound decays by less than 15 dB to the noise" if lacking else ""
    )


def _with_noise(rig: Rig, power: Float[np.ndarray, " 10"], sounds: list[Sound]) -> Rig:
    """The rig with the noise of the recordings, or with none; the level of their direct sound is not yet exact."""
    if not np.isfinite(power).any():
        return replace(rig, snr=float(BOUNDS["snr"].most))
    spectrum, noise_rms = fit_noise(power)
    levels = np.where(np.isfinite(spectrum), spectrum, rig.noise_spectrum)
    direct_rms = np.sqrt(np.mean([sound.direct.sum(axis=1).mean() for sound in sounds]))
    snr = float(np.clip(20 * np.log10(direct_rms / noise_rms), *BOUNDS["snr"][:2]))
    return replace(rig, snr=snr, noise_spectrum=tuple(levels.tolist()))


def _decibels(levels: Float[np.ndarray, "n 2 7"]) -> Any:
    known = np.isfinite(levels)
    mean = np.where(known, levels, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return rounded(np.where(known.any(axis=0), mean, np.nan).tolist(), 1)


def _spectra(levels: Levels, fit: EchoFit, rooms: int) -> dict[str, Estimate]:
    heard = np.isfinite(levels.direct).any(axis=(0, 1))
    silent = [f"{octave:g}" for octave, is_heard in zip(RIG_OCTAVES, heard, strict=True) if not is_heard]
    mixed = [f"{octave:g}" for octave, is_known in zip(RIG_OCTAVES, fit.is_separate, strict=True) if not is_known]
    no_echo = f"at {', '.join(mixed)} Hz, echoes are no 3 dB above the noise, or recordings too short" if mixed else ""
    no_direct = f"at {', '.join(silent)} Hz, the direct sound is no 3 dB above the noise" if silent else ""
    error = float(fit.errors[fit.is_separate].mean() / np.sqrt(rooms)) if fit.is_separate.any() else None
    direct = np.where(fit.is_separate, np.array(fit.rig.direct_spectrum), np.nan)
    microphones = np.where(heard, np.array(fit.rig.microphones), np.nan)
    isolation = Estimate(fit.isolation, fit.error / np.sqrt(rooms))
    return {
        "isolation": isolation if fit.is_separate[CORE].any() else unknown(no_echo),
        "direct_spectrum": Estimate(direct, error, no_echo) if fit.is_separate.any() else unknown(no_echo),
        "microphones": Estimate(microphones, error, no_direct) if heard.any() else unknown(no_direct),
    }


def _level_and_timing(sounds: list[Sound], levels: Levels, fit: EchoFit) -> dict[str, Estimate]:
    simulated = levels_of(fit.reference, np.zeros((len(fit.reference), 5)), np.zeros((2, 7)))
    used = np.isfinite(levels.direct).all(axis=(0, 1))
    onsets, own_onsets = (np.array([each.onset for each in group], float) for group in (sounds, fit.reference))
    late = mean_of(onsets)
    jitter = spread_of(onsets, float(own_onsets.std()), kurtosis=1.8)
    if jitter.value is not None and jitter.error is not None:  # the deviation of a uniform distribution
        jitter = Estimate(jitter.value * 3**0.5, jitter.error * 3**0.5)
    onset = Estimate(float(onsets.mean() - own_onsets.mean() + fit.rig.onset), late.error)
    if not used.any():
        reason = "the direct sound is no 3 dB above the noise in any octave of all recordings"
        return {"direct_rms": unknown(reason), "gain_spread": unknown(reason), "onset": onset, "onset_jitter": jitter}
    power, own = (
        10 * np.log10((10 ** (each.direct[:, :, used] / 10)).sum(axis=(1, 2))) for each in (levels, simulated)
    )
    rms = DIRECT_RMS * 10 ** ((power.mean() - own.mean()) / 20)
    error = power.std(ddof=1) / np.sqrt(power.size) if power.size >= 3 else None
    return {
        "direct_rms": Estimate(float(rms), None if error is None else float(rms * error * np.log(10) / 20)),
        "gain_spread": spread_of(power, float(own.std())),
        "onset": onset,
        "onset_jitter": jitter,
    }


def _noise(power: Float[np.ndarray, " 10"], rms: Estimate) -> dict[str, Estimate]:
    if not np.isfinite(power).any():
        reason = (
            "there is no noise: digital silence, or recordings without a stretch before the direct sound or after 50 ms"
        )
        return {"snr": unknown(reason), "noise_spectrum": unknown(reason)}
    spectrum, noise_rms = fit_noise(power)
    snr = unknown(rms.reason) if rms.value is None else Estimate(float(20 * np.log10(rms.value / noise_rms)))
    lacking = [f"{octave:g}" for octave, value in zip(NOISE_OCTAVES, power, strict=True) if not np.isfinite(value)]
    reason = f"at {', '.join(lacking)} Hz, the stretches with noise alone are too short" if lacking else ""
    return {"snr": snr, "noise_spectrum": Estimate(spectrum, None, reason)}
