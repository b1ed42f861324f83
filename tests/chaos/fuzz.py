"""Damaged files, thousands of them, each read as its command reads it: ``python -m tests.chaos.fuzz --inputs 2000``.

Every outcome must be a right answer or one line of error. Anything else is a fault of the reader: a traceback, a line
that does not name the file, more than 10 s or 500 MB, values that are not finite, or a file left half-written.
"""

import argparse
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from echodepth.core.errors import printable, user_message
from tests.chaos.targets import Target, make_targets

RIGHT, ONE_LINE = "right answer", "one line"
SECONDS = 10
MEGABYTES = 500


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged file."""

    target: str
    number: int
    kind: str
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        return self.kind not in (RIGHT, ONE_LINE)


class _TooLongError(BaseException):
    """Raised by the alarm; no ``except Exception`` hides it."""


def fuzz(targets: list[Target], inputs: range, seed: int) -> Iterator[Outcome]:
    """Damage a file, read it, put it back; each in turn. The outcome of a number depends on it and the seed alone."""
    for target in targets:
        found = _read(target)
        assert found[0] == RIGHT, f"{target.name}: {found}"
    for number in inputs:
        target = targets[number % len(targets)]
        rng = random.Random(f"{seed} {number}")
        sound, status = target.path.read_bytes(), target.path.stat()
        spoilt = rng.choice(target.damages)(rng, sound)
        try:
            target.path.write_bytes(spoilt)
            yield _outcome(target, number)
        finally:
            target.path.write_bytes(sound)
            os.utime(target.path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _outcome(target: Target, number: int) -> Outcome:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kind, detail = _read(target)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    if grown > MEGABYTES:
        kind, detail = "memory", f"{grown:.0f} MB"
    return Outcome(target.name, number, kind, detail)


def _read(target: Target) -> tuple[str, str]:
    try:
        with _time_limit():
            arrays = target.read()
    except _TooLongError:
        return "hang", "".join(traceback.format_exc().splitlines()[-3:])
    except Exception as error:
        message = user_message(error)
        if message is None:
            return "traceback", traceback.format_exc()
        message = printable(message)  # as the command line prints it
        if "\n" in message or len(message) > 2000 or not message.replace("\t", " ").isprintable():
            return "not one line", ascii(message[:300])
        if not any(part in message for part in (target.path.name, target.path.parent.name, "--")):
            return "names no file", message
        return ONE_LINE, message
    if not all(np.isfinite(array).all() for array in arrays if array.dtype.kind in "fc"):
        return "not finite", ""
    return RIGHT, ""


@contextmanager
def _time_limit() -> Iterator[None]:
    """Stop what takes too long on the processor, or, as waiting for a pipe takes none, by the clock.

    The clock is counted in alarms, of which a process that others keep from running receives few.
    """
    alarms = iter(range(6 * SECONDS))

    def stop(number: int, _: object) -> None:
        if number == signal.SIGPROF or next(alarms, None) is None:
            raise _TooLongError

    limits = ((signal.SIGPROF, signal.ITIMER_PROF, SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, 1))
    before = [signal.signal(number, stop) for number, _, _ in limits]
    for _, clock, seconds in limits:
        signal.setitimer(clock, seconds, 1)
    try:
        yield
    finally:
        for (number, clock, _), handler in zip(limits, before, strict=True):
            signal.setitimer(clock, 0)
            signal.signal(number, handler)


def table(outcomes: list[Outcome]) -> str:
    """Inputs by target and outcome, as Markdown."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        counts[outcome.target]["anything else" if outcome.is_fault else outcome.kind] += 1
    lines = ["| file | tried | right answer | one line | anything else |", "|---|---|---|---|---|"]
    for name, found in [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]:
        lines.append(f"| {name} | {found.total()} | {found[RIGHT]} | {found[ONE_LINE]} | {found['anything else']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="the name of a target")
    parser.add_argument("--show", action="store_true", help="print every message")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ECHODEPTH_CACHE"] = f"{folder}/cache"
        os.chdir(folder)
        targets = [each for each in make_targets(Path(folder)) if given.only in (None, each.name)]
        for outcome in fuzz(targets, range(given.first, given.first + given.inputs), given.seed):
            outcomes.append(outcome)
            if outcome.is_fault or given.show:
                print(f"{outcome.number} {outcome.target}: {outcome.kind}: {outcome.detail}", flush=True)
    print(table(outcomes), f"{time.process_time():.0f} s of processor time", sep="\n\n")
    sys.exit(any(outcome.is_fault for outcome in outcomes))


if __name__ == "__main__":
    main()
