"""The command ``echodepth``. Flags come from config dataclasses, of which only the chosen command's are imported."""

import argparse
import functools
import importlib
import io
import logging
import operator
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import make_dataclass
from typing import Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from echodepth import __version__
from echodepth.apps.commands import COMMANDS, TRAIN_HELP, Command
from echodepth.core.errors import naming_flags, printable, user_message
from echodepth.core.flags import CommandFlags
from echodepth.core.help_text import plain_help
from echodepth.core.registry import load_plugin

log = logging.getLogger(__name__)
USER_ERROR = 2
BUG = WORKER_DIED = 1
INTERRUPTED = 130
"""Exit status of a process that Ctrl-C ended: 128 + 2."""
TYRO: dict[str, Any] = {
    "use_underscores": True,
    "config": (OmitArgPrefixes, OmitSubcommandPrefixes),
    "registry": plain_help(),
}
DESCRIPTION = """See depth by ear, taught by sight.

Flags of a command: `echodepth COMMAND --help`. All commands also take
  -v               debug messages,
  -q               warnings only,
  --plugin MODULE  a module that registers networks, datasets or losses.

`echodepth --completion bash` (or zsh) prints a script for the tab key."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command.

    A user's mistake, a full disk or the like end with one line and exit status 2. A bug ends with a traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _print_anything()
    try:
        with naming_flags():
            run, config = _parse_and_print(words)
            run(config)
    except Exception as error:  # sorted here: a mistake, the machine, a lost worker, or a bug with its traceback
        message, status = user_message(error), USER_ERROR
        if message is None:
            from echodepth.core.workers import worker_death

            message, status = worker_death(error), WORKER_DIED
        if message is None:
            traceback.print_exception(error)
            message, status = _report(_split(words)[0].plugin), BUG
        if status == USER_ERROR and "--" in message:
            message = _with_owners(message, words)
        print(f"echodepth: {printable(message)}", file=sys.stderr)
        raise SystemExit(status) from None
    except KeyboardInterrupt:
        print("echodepth: stopped", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def _report(plugins: Sequence[str]) -> str:
    """What to do about an error that no message foresees."""
    package = f"echodepth {__version__}"
    where = f"the plugin {' or '.join(plugins)}, or in {package} if no line above is of it" if plugins else package
    return (
        f"this is a bug in {where}: please report {'the latter' if plugins else 'it'} on the issue page of its "
        "repository, with the lines above, the command, and a file that shows it"
    )


def _with_owners(message: str, words: Sequence[str]) -> str:
    """The message, with the commands that have a flag it names where the failed one has not."""
    line = f" {' '.join(words)} "
    failed = min((each.name for each in COMMANDS if f" {each.name} " in line), key=line.index, default=None)
    if failed is None:
        return message
    from echodepth.apps.flag_owners import explain_flags
    from echodepth.core.flags import flag_types

    flags = {each.name: flag_types(_flags_of(_load(each.flags), []).config) for each in COMMANDS}
    return explain_flags(message, failed, flags)


def _print_anything() -> None:
    """Have a console without UTF-8 show escapes for what it lacks, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parse_and_print(words: Sequence[str]) -> tuple[Callable[[Any], object], Any]:
    """``parse``, which may print help to a pager that is closed before its end."""
    try:
        return parse(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed when Python ends
        raise SystemExit(0) from None


def parse(words: Sequence[str]) -> tuple[Callable[[Any], object], Any]:
    """The function that carries a command line out, and its config.

    Raises:
        EchodepthError: a plugin cannot be imported, or a name is not registered.
        SystemExit: --help, --version, or arguments that do not parse.
    """
    common, words = _split(words)
    _act_on(common)
    command = next((each for each in COMMANDS if each.name.split() == words[: len(each.name.split())]), None)
    if command is None:
        _list_commands(words)
        raise AssertionError("tyro ends the process with the list of commands")
    rest = words[len(command.name.split()) :]
    given = _flags_of(_load(command.flags), rest)
    default = {} if given.default is None else {"default": given.default}
    config = tyro.cli(given.config, prog=f"echodepth {command.name}", args=rest, **TYRO, **default)
    return functools.partial(_carry_out, command.name, common.plugin, _load(command.run)), given.finish(config)


def _carry_out(command: str, plugins: Sequence[str], run: Callable[[Any], object], config: Any) -> None:
    result = run(config)
    if {os.environ.get(rank, "0") for rank in ("RANK", "LOCAL_RANK", "NODE_RANK")} != {"0"}:
        return  # another process of the same run says it
    from echodepth.apps.next_command import next_command

    if (following := next_command(command, config, result, plugins)) is not None:
        log.info("next: %s", following)


def _flags_of(flags: Any, rest: Sequence[str]) -> CommandFlags:
    if not isinstance(flags, type):
        return flags(rest)  # type: ignore[no-any-return]
    if "data" not in flags.__dataclass_fields__:  # type: ignore[attr-defined]
        return CommandFlags(flags)
    from echodepth.data.flag_groups import data_flags

    return data_flags(flags, rest)


def _list_commands(words: list[str]) -> None:
    """Show the commands, or those of ``train``."""
    in_train = words[:1] == ["train"]
    listed = _trainings(with_flags=False) if in_train else _commands(with_flags=False)
    prog, description = ("echodepth train", TRAIN_HELP) if in_train else ("echodepth", DESCRIPTION)
    tyro.cli(listed, prog=prog, description=description, args=words[in_train:], **TYRO)


def _complete(shell: str) -> None:
    """Print the script that completes commands and flags in a shell, and end the process."""
    tyro.cli(_commands(with_flags=True), prog="echodepth", args=["--tyro-write-completion", shell, "-"], **TYRO)


def _commands(with_flags: bool) -> Any:
    """All commands as tyro's subcommands, ``train`` as one with its own; without flags no config is imported."""
    trainings = _trainings(with_flags) if with_flags else make_dataclass("train", [])
    listed: dict[str, Any] = {}
    for each in COMMANDS:
        if each.name.startswith("train "):
            listed["train"] = Annotated[trainings, subcommand("train", description=TRAIN_HELP)]
        else:
            listed[each.name] = _subcommand(each.name, each, with_flags)
    return functools.reduce(operator.or_, listed.values())


def _trainings(with_flags: bool) -> Any:
    names = {each.name.removeprefix("train "): each for each in COMMANDS if each.name.startswith("train ")}
    return functools.reduce(operator.or_, (_subcommand(name, each, with_flags) for name, each in names.items()))


def _subcommand(name: str, command: Command, with_flags: bool) -> Any:
    flags = _flags_of(_load(command.flags), []).config if with_flags else make_dataclass(name.replace("-", "_"), [])
    return Annotated[flags, subcommand(name, description=command.help)]


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _split(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags that every command takes, and the other words."""
    common = argparse.ArgumentParser(prog="echodepth", add_help=False, allow_abbrev=False)
    common.add_argument("--version", action="version", version=f"echodepth {__version__}")
    common.add_argument("--completion", choices=("bash", "zsh"))
    common.add_argument("-v", "--verbose", action="store_true")
    common.add_argument("-q", "--quiet", action="store_true")
    common.add_argument("--plugin", action="append", default=[])
    return common.parse_known_args(words)


def _act_on(common: argparse.Namespace) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    level = logging.DEBUG if common.verbose else logging.WARNING if common.quiet else logging.INFO
    logging.getLogger("echodepth").setLevel(level)
    for module in common.plugin:
        load_plugin(module)
    if common.completion:
        _complete(common.completion)


def _load(address: str) -> Any:
    module, _, attribute = address.partition(":")
    return getattr(importlib.import_module(module), attribute)
