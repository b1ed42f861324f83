"""Errors that a user can mend: the command line prints their message alone, without a traceback."""

import math
from collections.abc import Iterable


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


def plain_message(error: EchodepthError) -> str:
    """The message alone, also when a data loader's worker has wrapped it in a traceback's text."""
    return str(error).rsplit(f"{type(error).__name__}: ", 1)[-1].strip()
