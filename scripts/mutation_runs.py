"""Runs tests against mutants, each in a fork of a process that has collected the tests.

A change within a function is swapped into the function itself. A change that takes effect when the module is imported,
such as that of a constant or a default, needs an import: its fork collects the tests anew.
"""

import importlib
import inspect
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from gc import get_objects
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from _pytest.runner import runtestprotocol

OPTIONS = [
    *("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not browser and not real"),
    # Without the checks of shapes at run time, which take longer than the tests.
    *("-o", "addopts=--import-mode=importlib --strict-markers"),
]
PASSED, FAILED, BROKEN = 0, 1, 70
Change = tuple[Path, str]
"""A module's file, and its whole source with a change."""


class ForkedTests:
    """A plugin of pytest that runs the collected tests once for every change, each time in a fork.

    Args:
        changes: each within one function, see ``in_a_function``.
        workers: processes side by side.
        log: file that the last failure is written to.

    Attributes:
        killed: for every change whether a test failed.
        seconds: processor time of all tests without a change, with what they import.
    """

    def __init__(self, changes: list[Change], workers: int, log: Path) -> None:
        self.changes = changes
        self.workers = workers
        self.log = log
        self.killed: list[bool] = []
        self.seconds = 0.0

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests without a change, which must pass, and then with each change."""
        if not session.items:
            raise pytest.UsageError("no tests were collected")
        ((code, self.seconds),) = forked([partial(self._run, session.items, None)], 1, self.log, 3600)
        if code != PASSED:
            raise pytest.UsageError(f"a test fails without a change: see {self.log.with_suffix('.0.log')}")
        durations, imported = json.loads(self.log.with_suffix(".json").read_text())
        for name in imported:  # what fixtures and tests import is imported once
            importlib.import_module(name)
        quickest_first = [session.items[i] for i in sorted(range(len(durations)), key=durations.__getitem__)]
        tasks = [partial(self._run, quickest_first, change) for change in self.changes]
        limit = 3 * self.seconds + 10
        self.killed = [code != PASSED for code, _ in forked(tasks, self.workers, self.log, limit)]
        return True

    def _run(self, items: list[pytest.Item], change: Change | None) -> int:
        durations = []
        if change is not None:
            swap_functions(*change)
        for item, following in zip(items, [*items[1:], None], strict=True):
            begun = time.process_time()
            reports = runtestprotocol(item, log=False, nextitem=following)
            durations.append(time.process_time() - begun)
            if failed := [report for report in reports if report.failed]:
                print(item.nodeid, failed[0].longreprtext)
                return FAILED
        if change is None:
            imported = [name for name in list(sys.modules) if name.startswith("echodepth.")]
            self.log.with_suffix(".json").write_text(json.dumps([durations, imported]))
        return PASSED


def forked(tasks: Sequence[Callable[[], int]], workers: int, log: Path, limit: float) -> Iterator[tuple[int, float]]:
    """Run each task in a fork, and yield its exit code and processor time in their order.

    Args:
        tasks: functions that return an exit code.
        workers: processes side by side.
        log: file that a task's output is written to.
        limit: processor time in seconds after which a task is ended.

    Raises:
        RuntimeError: a task could not run its tests.
    """
    results: dict[int, tuple[int, float]] = {}
    running: dict[int, int] = {}
    for number in range(len(tasks) + workers):
        if number < len(tasks):
            running[_fork(tasks[number], log.with_suffix(f".{number % workers}.log"), limit)] = number
        if running and (len(running) == workers or number >= len(tasks)):
            child, status, usage = os.wait3(0)
            results[running.pop(child)] = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
            if results[max(results)][0] in (BROKEN, 4, 5):
                raise RuntimeError(f"the tests did not run: see {log.parent}")
    yield from (results[number] for number in range(len(tasks)))


def _fork(task: Callable[[], int], log: Path, limit: float) -> int:
    if child := os.fork():
        return child
    code = BROKEN
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 5))
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = task()
        sys.stdout.flush()
    except BaseException:  # SystemExit too: a fork must not go on as its parent
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def in_a_function(original: str, changed: str) -> bool:
    """Whether the change is one within a function's code, and not one of what runs at import."""
    pairs = _pairs(compile(original, "", "exec"), compile(changed, "", "exec"))
    differing = [(old, new) for old, new in pairs if _instructions(old) != _instructions(new)]
    # A function keeps its number of variables from outside, such as the class that super() reads.
    return bool(differing) and all(
        old.co_flags & inspect.CO_OPTIMIZED and old.co_freevars == new.co_freevars for old, new in differing
    )


def _instructions(code: CodeType) -> tuple[object, ...]:
    """What code does, without its place in the line, and without the functions in it."""
    constants = [(type(each), each) for each in code.co_consts if not isinstance(each, CodeType)]
    return code.co_code, code.co_names, code.co_varnames, repr(constants)


def _pairs(old: CodeType, new: CodeType) -> list[tuple[CodeType, CodeType]]:
    """The code objects of both, from the outermost to the innermost."""
    olds, news = ([each for each in code.co_consts if isinstance(each, CodeType)] for code in (old, new))
    if len(olds) != len(news):  # the change removes a lambda or a generator: its function makes none from now on
        return [(old, new)]
    return [(old, new), *(pair for inner in zip(olds, news, strict=True) for pair in _pairs(*inner))]


def swap_functions(path: Path, changed: str) -> None:
    """Give all functions of a module that is imported the code that they have after the change."""
    pairs = dict(_pairs(compile(path.read_text(), str(path), "exec"), compile(changed, str(path), "exec")))
    swapped = 0
    for function in [each for each in get_objects() if type(each) is FunctionType]:
        code = function.__code__
        if code.co_filename == str(path) and code in pairs and pairs[code] != code:
            function.__code__ = pairs[code]
            swapped += 1
    if not swapped:
        raise RuntimeError(f"{path} is not imported by its tests")


def run_imported(change: Change, tests: list[str]) -> int:
    """Run the tests in this process, which reads the changed source of the module; whether they passed, as a code."""
    path, changed = change
    read = SourceFileLoader.get_data

    def get_data(loader: SourceFileLoader, name: str) -> bytes:
        if Path(name) == path:
            return changed.encode()
        if Path(name).parent.parent == path.parent and Path(name).name.startswith(f"{path.stem}."):
            raise OSError("the compiled file is that of the module as it is")
        return read(loader, name)

    SourceFileLoader.get_data = get_data  # type: ignore[assignment]
    sys.dont_write_bytecode = True
    # All tests pass without the change: it is why pytest ends otherwise, be it for an import of conftest.py.
    return FAILED if pytest.main([*OPTIONS, "-x", *tests]) else PASSED
