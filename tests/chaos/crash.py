"""Kills a process in the middle: before each of its file operations in turn, or after some processor time."""

import os
import signal
from collections.abc import Callable
from typing import Any

OPERATIONS = ("open", "mkdir", "rename", "replace", "unlink", "rmdir", "fsync", "link")
"""Functions of ``os`` between which a kill can leave different files."""


def killed_before(point: int, action: Callable[[], object]) -> bool:
    """Run an action in a process of its own that is killed before its ``point``-th file operation, from 1 on.

    Returns:
        Whether it was killed: False once it has fewer operations.
    """

    def child() -> None:
        left = point

        def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return operation(*arguments, **named)

            return call

        for name in OPERATIONS:
            setattr(os, name, counted(getattr(os, name)))
        action()

    return _ends_by(child, signal.SIGKILL)


def killed_after(seconds: float, action: Callable[[], object]) -> bool:
    """Run an action in a process of its own that is killed after some processor time; whether it was killed."""

    def child() -> None:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process without Python's help
        signal.setitimer(signal.ITIMER_PROF, seconds)
        action()

    return _ends_by(child, signal.SIGPROF)


def finishes(action: Callable[[], object]) -> None:
    """Run an action in a process of its own, to its end."""
    assert not _ends_by(action, signal.SIGKILL)


def _ends_by(child: Callable[[], object], kill: int) -> bool:
    process = os.fork()
    if process == 0:
        status = 1
        try:
            child()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == kill:
        return True
    assert os.WIFEXITED(status), f"ended by signal {os.WTERMSIG(status)}"
    assert os.WEXITSTATUS(status) == 0, "the action failed"
    return False
