"""Measure A and B in turn, so that whatever else the machine does falls on both, and keep the medians."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from echodepth.core.atomic_io import atomic_write

KEPT = Path(__file__).resolve().parents[1] / "docs" / "results" / "benchmarks.json"


@dataclass(frozen=True)
class Outcome:
    """What two ways of doing one thing cost.

    Attributes:
        ours: median of this project's figures.
        other: median of the other's.
        unit: of both; one per time, such as samples/s, is better when it is larger.
        runs: how often each was measured.
    """

    ours: float
    other: float
    unit: str
    runs: int

    @property
    def ratio(self) -> float:
        """Ours over the other."""
        return self.ours / self.other


def processor_seconds(work: Callable[[], object]) -> float:
    """Time that this process's threads computed, in sum: other processes on the machine do not count."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def in_turn(ours: Callable[[], float], other: Callable[[], float], runs: int, unit: str, warm_up: int = 1) -> Outcome:
    """Measure two things one after the other, again and again.

    Args:
        ours: does it once and returns the figure.
        other: as ``ours``.
        runs: how many figures of each count.
        unit: of the figures.
        warm_up: how many figures before them do not.
    """
    figures = medians({"ours": ours, "other": other}, runs, warm_up)
    return Outcome(figures["ours"], figures["other"], unit, runs)


def medians(ways: Mapping[str, Callable[[], float]], runs: int, warm_up: int = 1) -> dict[str, float]:
    """``in_turn`` for any number of ways: the median figure of each."""
    figures = [{name: way() for name, way in ways.items()} for _ in range(warm_up + runs)][warm_up:]
    return {name: median(each[name] for each in figures) for name in ways}


def wall_seconds(work: Callable[[], object]) -> float:
    """Time until it was done, which is what one who waits for an answer sees."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


IDLE = 1.0
"""Load above which others are computing."""


def is_idle() -> bool:
    """Whether a wait with several threads can be measured; says so if not."""
    load = os.getloadavg()[0]
    if load > IDLE:
        print(f"load {load:.1f}: others are computing, so the wait with two threads is left out")
    return load <= IDLE


def keep(name: str, outcome: Outcome, packages: tuple[str, ...]) -> None:
    """Print an outcome, and put it into docs/results/benchmarks.json with the machine and the packages' versions."""
    print(f"{name:40} ratio {outcome.ratio:8.3f}   {outcome.ours:.4g} against {outcome.other:.4g} {outcome.unit}")
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept[name] = {
        "ratio": outcome.ratio,
        "ours": outcome.ours,
        "other": outcome.other,
        "unit": outcome.unit,
        "runs": outcome.runs,
        # Processes that wanted to compute in the last minute, this one's threads included: beyond the machine's cores,
        # a time of several threads says more of them than of what was measured.
        "load": round(os.getloadavg()[0], 1),
        "cores": os.cpu_count(),
        "versions": {"machine": platform.machine(), "python": platform.python_version()}
        | {package: version(package) for package in packages},
    }
    with atomic_write(KEPT) as unfinished:
        unfinished.write_text(json.dumps(dict(sorted(kept.items())), indent=2) + "\n")
