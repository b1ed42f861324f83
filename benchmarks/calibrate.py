"""A hidden rig, recovered: `echodepth calibrate` on ten simulated recordings of a robot that it does not know.

    python -m benchmarks.calibrate

The rig below differs from the default in every field but the loudspeaker's place, which recordings do not tell.
`simulate --rig` makes ten rooms for it, one recording each, and `calibrate` sees WAV files and depth maps alone. A
tolerance is three standard errors or more of an estimate from ten recordings; most of that of the isolation is the
variation of rooms. The table goes to docs/results/calibrate.json.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import echodepth
from benchmarks.timing import KEPT
from echodepth.apps.calibrate.calibrate import calibrate
from echodepth.apps.calibrate.config import CalibrateConfig
from echodepth.core.atomic_io import atomic_write
from echodepth.core.strict_json import to_json
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.rig import FORMAT, NOISE_OCTAVES, RIG_OCTAVES, Rig
from echodepth.simulate.writer import simulate

HIDDEN = Rig(
    height=0.62,
    pitch=7.0,
    isolation=17.0,
    direct_spectrum=((6.0, 3.0, 2.0, 0.0, -2.0, -4.0, -6.0), (4.0, 1.0, 0.0, 2.0, 1.0, -3.0, -3.0)),
    microphones=((0.0, -2.0, -1.0, 0.0, 3.0, 6.0, -2.0), (-2.0, -2.0, 0.0, 2.0, 3.0, 3.0, -6.0)),
    direct_rms=0.08,
    gain_spread=1.5,
    onset=500.0,
    onset_jitter=20.0,
    snr=27.0,
    noise_spectrum=(-58.0, -56.0, -60.0, -62.0, -60.0, -57.0, -63.0, -68.0, -76.0, -78.0),
)
ROOMS, SIZE = 10, 128
Part = Callable[[Rig], Float[np.ndarray, "2 7"]]


@dataclass(frozen=True)
class Row:
    """A parameter, its true value, the one found (NaN if it is not known), and the tolerance of their difference."""

    parameter: str
    true: float
    found: float
    tolerance: float

    @property
    def is_within(self) -> bool:
        """Whether the difference is within the tolerance."""
        return abs(self.found - self.true) <= self.tolerance


def write_rig(rig: Rig, path: Path) -> None:
    path.write_text(json.dumps({"format": FORMAT, "rig": asdict(rig)}), encoding="utf-8")


def compare(true: Rig, found: Rig) -> list[Row]:
    """Rows of all parameters that recordings tell. Levels of spectra are relative to the mean of their octaves."""
    rows = [
        Row("height, m", true.height, found.height, 0.015),
        Row("pitch, degrees", true.pitch, found.pitch, 1.5),
        Row("isolation, 500 Hz to 8 kHz, dB", _isolation(true), _isolation(found), 3.0),
        Row("direct sound's level, dB full scale", *_decibels(true.direct_rms, found.direct_rms), 1.5),
        Row("gain spread, dB", true.gain_spread, found.gain_spread, 1.0),
        Row("onset, samples", true.onset, found.onset, 12.0),
        Row("onset jitter, samples", true.onset_jitter, found.onset_jitter, 9.0),
        Row("noise level, dB full scale", *_decibels(_noise_rms(true), _noise_rms(found)), 1.5),
    ]
    noise = [np.array(rig.noise_spectrum) for rig in (true, found)]
    rows += _octaves("noise", NOISE_OCTAVES, noise[0] - noise[0].mean(), noise[1] - noise[1].mean(), [2.5] * 10)
    parts: dict[str, tuple[Part, float, float]] = {
        "direct sound": (_direct, 1.5, 2.5),
        "body": (lambda rig: _body(rig) + _isolation(rig), 2.5, 4.0),
        "microphone": (lambda rig: _centred(np.array(rig.microphones)), 2.5, 4.0),
    }
    for name, (part, middle, ends) in parts.items():
        for ear, (a, b) in zip(("left", "right"), zip(part(true), part(found), strict=True), strict=True):
            rows += _octaves(f"{name}, {ear}", RIG_OCTAVES, a, b, [ends, *[middle] * 5, ends])
    return rows


def _decibels(true: float, found: float) -> tuple[float, float]:
    return float(20 * np.log10(true)), float(20 * np.log10(found))


def _isolation(rig: Rig) -> float:
    return -float(_body(rig)[:, 1:6].mean())


def _noise_rms(rig: Rig) -> float:
    return float(rig.direct_rms * 10 ** (-rig.snr / 20))


def _body(rig: Rig) -> Float[np.ndarray, "2 7"]:
    return np.array(rig.direct_spectrum) - rig.isolation


def _centred(levels: Float[np.ndarray, "2 7"]) -> Float[np.ndarray, "2 7"]:
    return np.asarray(levels - levels[:, 1:6].mean())


def _direct(rig: Rig) -> Float[np.ndarray, "2 7"]:
    """What body and microphones do together to the direct sound."""
    return _centred(np.array(rig.direct_spectrum) + np.array(rig.microphones))


def _octaves(name: str, octaves: tuple[float, ...], true: Any, found: Any, tolerances: list[float]) -> list[Row]:
    return [
        Row(f"{name}, {octave:g} Hz, dB", float(a), float(b), tolerance)
        for octave, a, b, tolerance in zip(octaves, true, found, tolerances, strict=True)
    ]


def read_found(path: Path) -> Rig:
    """The rig of a file, with NaN for what is null."""

    def known(value: Any) -> Any:
        return tuple(map(known, value)) if isinstance(value, list) else math.nan if value is None else value

    return Rig(
        **{name: known(value) for name, value in json.loads(path.read_text())["rig"].items() if name != "emitter"}
    )


def recover(rig: Rig, folder: Path, seed: int = 0, rooms: int = ROOMS, reference_rooms: int = 96) -> list[Row]:
    """Simulate a rig, calibrate it from the files, and compare."""
    hidden, out = folder / "hidden.json", folder / "rig.json"
    write_rig(rig, hidden)
    root = simulate(
        SimulateConfig(folder / "set", rooms=rooms, poses=1, image_size=SIZE, seed=seed, workers=1, rig=hidden)
    )
    calibrate(CalibrateConfig(root, out=out, reference_rooms=reference_rooms))
    return compare(rig, read_found(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the ten rooms")
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory() as folder:
        rows = recover(HIDDEN, Path(folder), seed)
    print("| parameter | true | found | tolerance | within |\n|---|---|---|---|---|")
    for row in rows:
        within = "yes" if row.is_within else "no"
        print(f"| {row.parameter} | {row.true:.2f} | {row.found:.2f} | {row.tolerance:g} | {within} |")
    kept = [
        asdict(row) | {"true": round(row.true, 3), "found": round(row.found, 3), "within": row.is_within}
        for row in rows
    ]
    content = {"seed": seed, "recordings": ROOMS, "version": echodepth.__version__, "rows": kept}
    with atomic_write(KEPT.with_name("calibrate.json")) as unfinished:
        unfinished.write_text(to_json(content))


if __name__ == "__main__":
    main()
