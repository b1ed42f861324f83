"""Errors that a user can mend: the command line prints their message alone, without a traceback."""

import errno
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_COMMAND_OR_FLAG = re.compile(r"(echodepth [a-z][^;,`)]*)|(?<![\w-])--(?=\w)")
_in_command = False
_LACKS = (
    (
        r"\(shm\)|out of shared memory|/torch_\d+|signal: Bus error",
        "the processes that read data have too little shared memory: read in the main process with --num_workers 0, or "
        "enlarge /dev/shm (docker run --shm-size 8g)",
    ),
    (
        r"No space left on device|Disk quota exceeded|PytorchStreamWriter failed|unexpected pos",
        "free some space, or write to another disk",
    ),
    (
        r"Read-only file system|Permission denied|Operation not permitted",
        "give a path that you may use, change the working directory, or set ECHODEPTH_CACHE",
    ),
    (
        r"OutOfMemory|DefaultCPUAllocator|MemoryError|Cannot allocate memory|Failed to allocate memory|bad_alloc",
        "close other programs, or give a smaller --batch_size, --image_size or --base_channels",
    ),
)
"""What the machine may lack: how type and message of an error show it, and the way out.

Libraries in C++ and Rust raise errors of their own types for what is an OSError in Python.
"""


LONGEST_LINE = 1500
"""Characters of a line of an error."""


class EchodepthError(Exception):
    """A user's mistake. The message names the file, row or argument, and the way out."""


class DataError(EchodepthError):
    """A dataset, file or row that cannot be used as it is."""


class CheckpointError(EchodepthError):
    """A checkpoint or model folder that is missing, unreadable or of another shape."""


class ConfigError(EchodepthError):
    """An argument, or a combination of arguments, that makes no sense."""


def names_arguments(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """A function of the Python interface: unless a command calls it, its errors name arguments in place of flags.

    ``--data_dir`` becomes ``data_dir``. A command that an error tells to type stays as it is.
    """

    @functools.wraps(function)
    def called(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except EchodepthError as error:
            if not _in_command:
                error.args = (_COMMAND_OR_FLAG.sub(lambda found: found[1] or "", str(error)),)
            raise

    return called


@contextmanager
def naming_flags() -> Iterator[None]:
    """Meanwhile a command of the command line runs, in whichever thread: errors name flags."""
    global _in_command
    before, _in_command = _in_command, True
    try:
        yield
    finally:
        _in_command = before


def require_at_least(least: int, **flags: int | float) -> None:
    """Raise a ConfigError that names the first flag below ``least``, or not finite."""
    for name, value in flags.items():
        if not (math.isfinite(value) and value >= least):
            raise ConfigError(f"--{name} must be at least {least}, not {value:g}")


def listed(words: Iterable[object]) -> str:
    """Words as a list in a sentence: "a", or "a, b and c"."""
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last


def plain_message(error: BaseException) -> str:
    """The message alone, also when a data loader's worker has wrapped it in a traceback's text."""
    return str(error).rsplit(f"{type(error).__name__}: ", 1)[-1].strip()


def _without_middle(line: str) -> str:
    """A line with room for a path; a longer one holds a value out of a file, and its end is the way out."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 500]} … {line[-400:]}"


def user_message(error: Exception) -> str | None:
    """What to print in place of a traceback for a user's mistake, or for what the machine lacks; None for a bug."""
    message = "\n".join(map(_without_middle, plain_message(error).split("\n")))
    if isinstance(error, EchodepthError):
        return message
    if remedy := _remedy(error):
        return f"{message.partition(chr(10))[0][:300] or type(error).__name__}: {remedy}"
    return message if isinstance(error, OSError) else None  # an OSError names its path


def is_of_machine(error: Exception) -> bool:
    """Whether an error, raised while a library read a file, is of the machine, such as a lack of memory.

    Libraries raise errors of many types for a damaged file. These are not among them: the file may be whole.
    """
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # damage asks for places before the file
        return True
    return isinstance(error, MemoryError) or _remedy(error) is not None


def _remedy(error: Exception) -> str | None:
    text = f"{type(error).__name__}: {error}"
    return next((remedy for signs, remedy in _LACKS if re.search(signs, text)), None)


def printable(text: str) -> str:
    """Text with escapes in place of what a terminal would obey: it may hold names that anyone chose."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode() for each in text
    )
