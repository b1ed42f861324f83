"""Ends a run on several devices when one of its processes was killed or stopped: the others would wait for it."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import Protocol, runtime_checkable

import lightning as L
from lightning.pytorch.callbacks import Callback

from echodepth.core.workers import exit_with_parent, is_stopped
from echodepth.training.stop_signals import EXIT_STATUS

LOST = 1
"""Exit status of a run that lost a process."""
_RANK_0 = "ECHODEPTH_RANK_0"
"""Environment variable with the number of the process that starts the others."""
_LOOK = 0.5
_STOPPED = 20.0
"""Seconds for which a process may be stopped."""


@runtime_checkable
class Process(Protocol):
    """What is asked of a process that this one started, a ``subprocess.Popen``."""

    pid: int

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""


class RankWatch(Callback):
    """Watches the processes that this one started, or the one that started it."""

    def __init__(self) -> None:
        if not started_by_rank_0():
            os.environ[_RANK_0] = str(os.getpid())

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Begin to watch."""
        started: Sequence[Process] = getattr(trainer.strategy.launcher, "procs", ())
        if started:
            Thread(target=_watch, args=(started,), daemon=True, name="rank-watch").start()
        elif trainer.local_rank > 0 and started_by_rank_0():
            exit_with_parent(os.getppid())
            Thread(target=_watch_first, args=(os.getppid(),), daemon=True, name="rank-watch").start()


def started_by_rank_0() -> bool:
    """Whether a run on several devices started this process, and not torchrun or a scheduler."""
    return os.environ.get(_RANK_0) == str(os.getppid())


def _watch(ranks: Sequence[Process]) -> None:
    stopped = dict.fromkeys(range(len(ranks)), 0.0)
    while True:
        time.sleep(_LOOK)
        for number, rank in enumerate(ranks):
            status = rank.poll()
            stopped[number] = stopped[number] + _LOOK if status is None and is_stopped(rank.pid) else 0.0
            if status == 0 or status in EXIT_STATUS.values():
                return  # the run ends as it should
            if status is not None or stopped[number] > _STOPPED:
                why = "is stopped" if status is None else "was killed" if status < 0 else f"ended with status {status}"
                _end(f"process {rank.pid}, rank {number + 1} of the run, {why}", [each.pid for each in ranks])


def _watch_first(first: int) -> None:
    stopped = 0.0
    while True:
        time.sleep(_LOOK)
        stopped = stopped + _LOOK if is_stopped(first) else 0.0
        if stopped > _STOPPED:
            _end(f"process {first}, rank 0 of the run, is stopped", [first])


def _end(why: str, others: list[int]) -> None:
    print(f"echodepth: {why}: the run ends; go on with --resume auto", file=sys.stderr, flush=True)
    for process in others:
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
    os._exit(LOST)
