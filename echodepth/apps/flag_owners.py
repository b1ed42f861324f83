"""Whose flag a message names: what reads data serves many commands, and not all of them have its flags."""

import re
from collections.abc import Iterable, Mapping

from echodepth.core.errors import listed

COMMAND_TO_TYPE = r"`?echodepth [a-z][^;,`)]*"
FLAG = r"(?<![\w-])--([a-z][\w-]*)"


def explain_flags(message: str, command: str, flags: Mapping[str, Iterable[str]]) -> str:
    """A message that says which commands have the flags that the failed one lacks.

    Args:
        message: of an error. Flags in a command that it tells to type are left alone, and so are unknown ones.
        command: name of the one that failed.
        flags: names of each command's flags.
    """
    lacked: dict[tuple[str, ...], list[str]] = {}
    for name in dict.fromkeys(re.findall(FLAG, re.sub(COMMAND_TO_TYPE, "", message))):
        owners = tuple(owner for owner, own in flags.items() if name.replace("-", "_") in own)
        if owners and command not in owners:
            lacked.setdefault(owners, []).append(f"--{name}")
    for owners, names in lacked.items():
        is_of = "is a flag" if len(names) == 1 else "are flags"
        message += f" ({listed(names) if len(names) > 1 else names[0]} {is_of} of {_commands(owners)})"
    return message


def _commands(names: tuple[str, ...]) -> str:
    """Few commands by name; three trainings as one."""
    trainings = [name for name in names if name.startswith("train ")]
    short = [name for name in names if name not in trainings]
    if trainings:
        short.insert(0, "train" if len(trainings) > 1 else trainings[0])
    return f"echodepth {listed(short) if len(short) > 1 else short[0]}"
