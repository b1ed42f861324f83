"""Worker processes that decode and write many files.

A task holds what its worker needs and nothing that grows with the dataset: every task is pickled, so that a dataset
in each of them would make the time grow with the square of its size.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from joblib import Parallel, delayed

Result = TypeVar("Result")


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
    pool = Parallel(n_jobs=workers, return_as="generator" if keep_order else "generator_unordered")
    here, parent = Path.cwd(), os.getpid()
    yield from pool(delayed(_call_in_worker)(function, task, here, parent) for task in tasks)


def _call_in_worker(function: Callable[..., Result], task: tuple[Any, ...], folder: Path, parent: int) -> Result:
    exit_with_parent(parent)
    # joblib reuses its workers, and they keep the working directory in which they were started.
    with contextlib.chdir(folder):
        return function(*task)


def exit_with_parent(parent: int) -> None:
    """Make this worker exit when the process that started it has been killed, and so could not stop it."""
    if parent not in _watched_parents:
        _watched_parents.add(parent)
        Thread(target=_exit_with, args=(parent,), daemon=True).start()


_watched_parents: set[int] = set()


def _exit_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
