"""Machine code for the simulator's loops: numba with one set of options, and types that survive it."""

import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function on its first call, and keep the machine code beside the source for the next process.

    It uses one core and keeps the order of every sum, so that samples have the same bytes in any process: the
    workers are the parallel part. A division by zero gives infinity, as in NumPy, not an exception.

    Args:
        function: takes numbers, arrays and named tuples of arrays; wrappers around it (run-time type checks of the
            tests) are left behind.
    """
    machine_code: Callable[P, R] = numba.njit(cache=True, nogil=True, error_model="numpy")(inspect.unwrap(function))
    return machine_code
