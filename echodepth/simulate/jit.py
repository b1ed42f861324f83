"""Just-in-time compilation of the simulator's loops: one set of numba options, with static types preserved."""

import inspect
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function on its first call and cache the machine code beside its source file or in the user's cache.

    Where neither can be written, as in a read-only container without a home, each process compiles it again.

    The code runs on one core and keeps the order of every sum, so that the bytes of a sample do not depend on the
    process; rooms are simulated in parallel instead. A division by zero gives infinity, as in NumPy, not an exception.

    Args:
        function: takes numbers, tuples, arrays and named tuples of arrays. Wrappers around it, such as the run-time
            type checks of the tests, are removed.
    """
    compiled: Callable[P, R] = numba.njit(nogil=True, error_model="numpy")(inspect.unwrap(function))
    try:
        compiled.enable_caching()  # type: ignore[attr-defined]
    except RuntimeError:
        log.debug("%s is compiled again by each process: set NUMBA_CACHE_DIR to a folder", function.__name__)
    return compiled


@jit
def zero() -> int:
    """0 as a count, not as a literal: numba compiles what a literal is passed to once for it, and once for counts."""
    return int(0)  # noqa: RUF046, UP018 (without int it is a literal)
