"""Errors that a user can mend: the command line prints their message alone, without a traceback."""

import errno
import math
import re
from collections.abc import Iterable

_LITTLE_SHARED_MEMORY = re.compile(r"\(shm\)|out of shared memory|/torch_\d+|signal: Bus error")
"""In the messages of torch's data loader, whose errors have no type of their own."""


class EchodepthError(Exception):
    """A user's mistake. The message names the file, row or argument, and the way out."""


class DataError(EchodepthError):
    """A dataset, file or row that cannot be used as it is."""


class CheckpointError(EchodepthError):
    """A checkpoint or model folder that is missing, unreadable or of another shape."""


class ConfigError(EchodepthError):
    """An argument, or a combination of arguments, that makes no sense."""


def require_at_least(least: int, **flags: int | float) -> None:
    """Raise a ConfigError that names the first flag below ``least``, or not finite."""
    for name, value in flags.items():
        if not (math.isfinite(value) and value >= least):
            raise ConfigError(f"--{name} must be at least {least}, not {value:g}")


def listed(words: Iterable[object]) -> str:
    """Words as a list in a sentence: "a, b and c"."""
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}"


def plain_message(error: BaseException) -> str:
    """The message alone, also when a data loader's worker has wrapped it in a traceback's text."""
    return str(error).rsplit(f"{type(error).__name__}: ", 1)[-1].strip()


def user_message(error: Exception) -> str | None:
    """What to print in place of a traceback for a user's mistake, or what the machine lacks; None for a bug."""
    message = plain_message(error)
    if isinstance(error, EchodepthError):
        return message
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in message:
            return f"{message}: free some space, or write to another disk"
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return f"{message}: give a path that you may use, change the working directory, or set ECHODEPTH_CACHE"
        return message  # it names the path
    if isinstance(error, RuntimeError) and _LITTLE_SHARED_MEMORY.search(str(error)):
        return (
            "the processes that read data have too little shared memory: read in the main process with "
            "--num_workers 0, or enlarge /dev/shm (docker run --shm-size 8g)"
        )
    if isinstance(error, MemoryError) or re.search(r"OutOfMemory|DefaultCPUAllocator", f"{type(error)} {error}"):
        return f"there is too little memory ({message.splitlines()[0][:200] if message else 'no more is given'}): " + (
            "close other programs, or give a smaller --batch_size, --image_size or --base_channels"
        )
    return None


def printable(text: str) -> str:
    """Text with escapes in place of what a terminal would obey: it may hold names that anyone chose."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode() for each in text
    )
