"""How many threads a network computes with on a CPU: one for a small network, where sharing the work takes longer.

Sums are split by thread, so that results of another number of threads differ by rounding. The number therefore follows
from sizes alone, never from a measurement.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL_MAP = 2**17
"""Values of a batch's first feature map up to which one thread is used: frames x channels x height x width."""
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which a user chooses the number of threads."""


def choose_threads(values: int) -> int:
    """The number of threads for a network on a CPU.

    Args:
        values: of a batch's first feature map: frames x channels x height x width.

    Returns:
        One up to ``SMALL_MAP`` values, and otherwise the number that torch has now. That one is also kept where the
        environment or ``torch.set_num_threads`` has changed it.
    """
    now = torch.get_num_threads()
    chosen_by_user = now != _DEFAULT or any(name in os.environ for name in VARIABLES)
    return now if chosen_by_user or values > SMALL_MAP else 1


@contextmanager
def use_threads(number: int) -> Iterator[None]:
    """Compute with this number of threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_DEFAULT = torch.get_num_threads()
"""The number in a process whose user has not chosen one."""
