"""The table that the command prints."""

import math
from typing import Any

import numpy as np

from echodepth.apps.calibrate.estimates import Estimate
from echodepth.apps.calibrate.fit import Calibration
from echodepth.simulate.rig import NOISE_OCTAVES, RIG_OCTAVES

_SCALARS = {
    "height": ("camera's height, m", 3),
    "pitch": ("camera's pitch, degrees down", 2),
    "isolation": ("isolation of the direct sound, dB", 1),
    "onset": ("onset of the direct sound, samples", 1),
    "onset_jitter": ("onset jitter, samples either way", 1),
    "gain_spread": ("gain spread, dB", 2),
    "snr": ("direct sound over noise, dB", 1),
}
_SPECTRA = {
    "direct_spectrum": ("direct sound's spectrum, dB", RIG_OCTAVES, 1),
    "microphones": ("microphones, dB", RIG_OCTAVES, 1),
    "noise_spectrum": ("noise spectrum, dB", NOISE_OCTAVES, 1),
    "decay_time_s": ("decay time, s", RIG_OCTAVES, 2),
}


def as_table(calibration: Calibration) -> str:
    """Every field with its standard error, or the reason why it is not known."""
    estimates, measured = calibration.estimates, calibration.measured
    lines = [
        f"{measured['recordings']} recordings of {measured['rooms']} room(s), {measured['depth_maps']} depth maps, "
        f"{measured['floors']} with a floor",
        "",
    ]
    for name, (title, digits) in _SCALARS.items():
        lines.append(_line(title, _number(estimates[name], digits)))
    lines.insert(5, _line("direct sound's level, dB full scale", _level(estimates["direct_rms"])))
    lines.append(
        _line("direct sound after emission, ms", _number(calibration.others["emission_to_direct_sound_ms"], 1))
    )
    lines.append(_line("loudspeaker's place", f"unknown: {estimates['emitter'].reason}"))
    for name, (title, octaves, digits) in _SPECTRA.items():
        lines += ["", *_spectrum(title, octaves, (estimates | calibration.others)[name], digits)]
    if clipped := measured.get("clipped_recordings"):
        lines += ["", f"{clipped} recordings reach full scale: their levels are too low"]
    return "\n".join(lines) + "\n"


def _line(title: str, text: str) -> str:
    return f"{title:<38}{text}"


def _number(estimate: Estimate, digits: int) -> str:
    if estimate.value is None:
        return f"unknown: {estimate.reason}"
    error = f" ± {estimate.error:.{digits}f}" if estimate.error is not None and math.isfinite(estimate.error) else ""
    return f"{float(estimate.value):.{digits}f}{error}"


def _level(rms: Estimate) -> str:
    if rms.value is None:
        return f"unknown: {rms.reason}"
    value = float(rms.value)
    error = f" ± {20 / math.log(10) * rms.error / value:.1f}" if rms.error is not None else ""
    return f"{20 * math.log10(value):.1f}{error}"


def _spectrum(title: str, octaves: tuple[float, ...], estimate: Estimate, digits: int) -> list[str]:
    if estimate.value is None:
        return [_line(title, f"unknown: {estimate.reason}")]
    rows = np.atleast_2d(estimate.value).tolist()
    names = [title] if len(rows) == 1 else [f"{title}, {ear}" for ear in ("left", "right")]
    lines: list[str] = []
    for name, row in zip(names, rows, strict=True):
        lines += _row(name, octaves, row, digits)[bool(lines) :]
    return [*lines, *([f"  {estimate.reason}"] if estimate.reason else [])]


def _row(title: str, octaves: tuple[float, ...], values: list[Any], digits: int) -> list[str]:
    cells = ["-" if value is None or math.isnan(value) else f"{value:.{digits}f}" for value in values]
    heading = _line("  octave, Hz", "".join(f"{octave:>8g}" for octave in octaves))
    return [heading, _line(f"  {title}", "".join(f"{cell:>8}" for cell in cells))]
