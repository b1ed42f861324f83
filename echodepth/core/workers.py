"""Worker processes: pools for many files, and the life of any worker.

A task holds what its worker needs and nothing that grows with the dataset: every task is pickled, so that a dataset
in each of them would make the time grow with the square of its size.

A worker ends with its parent, however that ends. Signals that a terminal or a scheduler sends to all processes at once
(Ctrl-C, SIGTERM, SIGUSR1) are the parent's to answer: a worker that they ended would leave it without data in the
middle of saving. A worker that is stopped, or killed from outside, ends its parent's command with one line.
"""

import contextlib
import functools
import logging
import multiprocessing.process
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from joblib import Parallel, delayed

Result = TypeVar("Result")

log = logging.getLogger(__name__)
_LOOK = 0.5
"""Seconds between two looks at the parent, and two at the workers."""
_STOPPED = 40
"""Looks in a row at which a worker is stopped before it is taken for lost: 20 s."""
_WORKER_DIED = ("DataLoader worker (pid", "A worker process managed by the executor was unexpectedly terminated")
"""How torch and loky word the death of a worker."""


def parallel_map(
    function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], workers: int, keep_order: bool = False
) -> Iterator[Result]:
    """Call a function with the arguments of each task.

    Args:
        function: importable by name.
        tasks: arguments of each call, which are drawn when a worker becomes free.
        workers: number of processes; 1 calls the function in this one.
        keep_order: yield results in the order of the tasks; otherwise as they are finished.

    Raises:
        Exception: the first that a call raises.
    """
    if workers == 1:
        for task in tasks:
            yield function(*task)
        return
    pool = Parallel(n_jobs=workers, return_as="generator" if keep_order else "generator_unordered", **worker_life())
    yield from pool(delayed(_call_in_worker)(function, task, Path.cwd()) for task in tasks)


def _call_in_worker(function: Callable[..., Result], task: tuple[Any, ...], folder: Path) -> Result:
    # joblib reuses its workers, and they keep the working directory in which they were started.
    with contextlib.chdir(folder):
        return function(*task)


def worker_life() -> dict[str, Any]:
    """Arguments of joblib's ``Parallel`` that make its processes workers of this one."""
    watch_workers()
    return {"initializer": start_worker, "initargs": (os.getpid(),)}


def loader_life(workers: int) -> Callable[[int], None] | None:
    """The ``worker_init_fn`` of a ``DataLoader`` that makes its processes workers of this one."""
    if workers == 0:
        return None
    watch_workers()
    return functools.partial(start_worker, os.getpid())


def start_worker(parent: int, number: int = 0) -> None:
    """Make this process a worker: it ends with its parent, and ignores signals that are meant for the parent.

    Args:
        parent: the process that started it.
        number: of the worker; not used.
    """
    for name in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    exit_with_parent(parent)


def exit_with_parent(parent: int) -> None:
    """Make this process exit within a second of the end of the process that started it."""
    if parent not in _watched_parents:
        _watched_parents.add(parent)
        Thread(target=_exit_with, args=(parent,), daemon=True, name="parent-watch").start()


_watched_parents: set[int] = set()


def _exit_with(parent: int) -> None:
    # A blocked SIGTERM is taken from here: it counts if the parent sends it, as pools do with workers that hang.
    blocked = hasattr(signal, "sigtimedwait") and signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    while os.getppid() == parent:
        if not blocked:
            time.sleep(_LOOK)
            continue
        received = signal.sigtimedwait({signal.SIGTERM}, _LOOK)
        if received is not None and received.si_pid == parent:
            os._exit(0)
    os._exit(1)


def watch_workers() -> None:
    """End workers that someone stopped, so that their pool raises an error rather than waiting for them for ever."""
    if os.getpid() not in _watching and Path("/proc/self/stat").exists():
        _watching.add(os.getpid())
        Thread(target=_end_stopped_workers, daemon=True, name="worker-watch").start()


_watching: set[int] = set()


def _end_stopped_workers() -> None:
    looks: dict[int, int] = {}
    while True:
        time.sleep(_LOOK)
        # Not active_children(): it would take the exit status that a pool is waiting for.
        workers = [each.pid for each in list(multiprocessing.process._children)]  # type: ignore[attr-defined]
        looks = {pid: looks.get(pid, 0) + 1 for pid in workers if is_stopped(pid)}
        for pid in (pid for pid, count in looks.items() if count == _STOPPED):
            log.error("worker process %d has been stopped for %.0f s and is ended", pid, _STOPPED * _LOOK)
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def is_stopped(process: int) -> bool:
    """Whether a process is stopped, as by SIGSTOP; False where /proc does not tell."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


def worker_death(error: BaseException) -> str | None:
    """One line for an error that says that a worker was killed; None for any other error."""
    if not isinstance(error, RuntimeError | OSError) or not any(text in str(error) for text in _WORKER_DIED):
        return None
    return (
        "a worker process was killed or stopped from outside, often because the machine ran out of memory: the "
        "same command goes on with what is missing (train: with --resume auto), with fewer workers if need be"
    )
