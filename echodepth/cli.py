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
from dataclasses import dataclass, make_dataclass
from typing import Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from echodepth import __version__
from echodepth.core.errors import naming_flags, printable, user_message
from echodepth.core.flags import CommandFlags
from echodepth.core.registry import load_plugin

log = logging.getLogger(__name__)
USER_ERROR = 2
BUG = WORKER_DIED = 1
REPORT = (
    f"this is a bug in echodepth {__version__}: please report it on the issue page of its repository, with the lines "
    "above, the command, and a file that shows it"
)
INTERRUPTED = 130
"""Exit status of a process that Ctrl-C ended: 128 + 2."""
TYRO: dict[str, Any] = {"use_underscores": True, "config": (OmitArgPrefixes, OmitSubcommandPrefixes)}
DESCRIPTION = """See depth by ear, taught by sight.

Every command also takes -v (debug messages), -q (warnings only) and --plugin MODULE (a module that registers your own
networks, datasets, losses or front ends)."""


@dataclass(frozen=True)
class Command:
    """One subcommand; addresses read ``module:attribute`` and are imported when the command is chosen.

    Attributes:
        name: on the command line, of one or two words.
        help: one line for the list of commands.
        run: the function that carries it out.
        flags: its config dataclass, or a function from the rest of the command line to ``CommandFlags``.
    """

    name: str
    help: str
    run: str
    flags: str


TRAIN_HELP = "Train a network: rgb (teacher), binaural (student), distill (student with teacher)."
COMMANDS = (
    Command(
        "simulate",
        "Simulate rooms, images, depth and binaural echoes in BatVision V2's format.",
        "echodepth.simulate.writer:simulate",
        "echodepth.simulate.config:SimulateConfig",
    ),
    Command(
        "calibrate",
        "Measure a robot's rig from a few recordings, for simulate --rig.",
        "echodepth.apps.calibrate.calibrate:calibrate",
        "echodepth.apps.calibrate.config:CalibrateConfig",
    ),
    Command(
        "record",
        "Play chirps and record binaural echoes.",
        "echodepth.apps.live.record:record",
        "echodepth.apps.live.config:RecordConfig",
    ),
    Command(
        "convert",
        "Convert your own recordings into BatVision V2's format.",
        "echodepth.apps.convert.convert:convert",
        "echodepth.apps.convert.config:ConvertConfig",
    ),
    Command(
        "doctor",
        "Check a dataset for missing, broken, swapped or misaligned data.",
        "echodepth.apps.doctor.examine:run",
        "echodepth.apps.doctor.config:DoctorConfig",
    ),
    Command(
        "shard",
        "Pack a dataset into tar shards.",
        "echodepth.data.streaming.writer:shard",
        "echodepth.data.streaming.config:ShardConfig",
    ),
    Command(
        "prepare",
        "Decode a dataset once into memory-mapped arrays.",
        "echodepth.training.prepare:prepare",
        "echodepth.training.command_flags:prepare_flags",
    ),
    Command(
        "cache-teacher",
        "Cache a teacher's outputs on the training frames.",
        "echodepth.training.teacher_setup:cache_teacher",
        "echodepth.training.config:CacheTeacherConfig",
    ),
    Command(
        "train rgb",
        "Train the RGB depth network, the teacher.",
        "echodepth.training.train:train",
        "echodepth.training.command_flags:rgb_flags",
    ),
    Command(
        "train binaural",
        "Train a depth network on binaural echoes, without a teacher.",
        "echodepth.training.train:train",
        "echodepth.training.command_flags:binaural_flags",
    ),
    Command(
        "train distill",
        "Train a depth network on binaural echoes by distillation from an RGB teacher.",
        "echodepth.training.train:train",
        "echodepth.training.command_flags:distill_flags",
    ),
    Command(
        "evaluate",
        "Score a trained model, or a control, under a named protocol.",
        "echodepth.evaluation.evaluate:evaluate",
        "echodepth.evaluation.config:EvaluateConfig",
    ),
    Command(
        "compare",
        "Score several models and controls, and write one report.",
        "echodepth.evaluation.compare:compare",
        "echodepth.evaluation.config:CompareConfig",
    ),
    Command(
        "predict",
        "Predict depth maps of files, folders, videos or a dataset split.",
        "echodepth.inference.predict:predict",
        "echodepth.inference.config:PredictConfig",
    ),
    Command(
        "listen",
        "Show live depth from a loudspeaker and two microphones.",
        "echodepth.apps.live.listen:listen",
        "echodepth.apps.live.config:ListenConfig",
    ),
    Command(
        "export",
        "Export a model to ONNX, OpenVINO or torch.export.",
        "echodepth.inference.export:export",
        "echodepth.inference.config:ExportConfig",
    ),
    Command(
        "demo",
        "Open a demo page in the browser.",
        "echodepth.apps.demo.app:demo",
        "echodepth.apps.demo.config:DemoConfig",
    ),
    Command(
        "experiment",
        "Run a declared study: many trainings, one table.",
        "echodepth.experiments.study:experiment",
        "echodepth.experiments.config:ExperimentConfig",
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command.

    A user's mistake, a full disk or the like end with one line and exit status 2. A bug ends with a traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _print_anything()
    try:
        with naming_flags():
            run, config = parse(words)
            run(config)
    except Exception as error:
        message, status = user_message(error), USER_ERROR
        if message is None:
            from echodepth.core.workers import worker_death

            message, status = worker_death(error), WORKER_DIED
        if message is None:
            traceback.print_exception(error)
            message, status = REPORT, BUG
        if status == USER_ERROR and "--" in message:
            message = _with_owners(message, words)
        print(f"echodepth: {printable(message)}", file=sys.stderr)
        raise SystemExit(status) from None
    except KeyboardInterrupt:
        print("echodepth: stopped", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


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


def parse(words: Sequence[str]) -> tuple[Callable[[Any], object], Any]:
    """The function that carries a command line out, and its config.

    Raises:
        EchodepthError: a plugin cannot be imported, or a name is not registered.
        SystemExit: --help, --version, or arguments that do not parse.
    """
    words = _common_flags(words)
    command = next((each for each in COMMANDS if each.name.split() == words[: len(each.name.split())]), None)
    if command is None:
        _list_commands(words)
        raise AssertionError("tyro ends the process with the list of commands")
    rest = words[len(command.name.split()) :]
    given = _flags_of(_load(command.flags), rest)
    default = {} if given.default is None else {"default": given.default}
    config = tyro.cli(given.config, prog=f"echodepth {command.name}", args=rest, **TYRO, **default)
    return functools.partial(_carry_out, command.name, _load(command.run)), given.finish(config)


def _carry_out(command: str, run: Callable[[Any], object], config: Any) -> None:
    result = run(config)
    if {os.environ.get(rank, "0") for rank in ("RANK", "LOCAL_RANK", "NODE_RANK")} != {"0"}:
        return  # another process of the same run says it
    from echodepth.apps.next_command import next_command

    if (following := next_command(command, config, result)) is not None:
        log.info("next: %s", following)


def _flags_of(flags: Any, rest: Sequence[str]) -> CommandFlags:
    if not isinstance(flags, type):
        return flags(rest)  # type: ignore[no-any-return]
    if "data" not in flags.__dataclass_fields__:  # type: ignore[attr-defined]
        return CommandFlags(flags)
    from echodepth.data.flag_groups import data_flags

    return data_flags(flags, rest)


def _list_commands(words: list[str]) -> None:
    """Show the commands, or those of ``train``; each stands in as an empty dataclass, whose config is not imported."""
    group = words[:1] if words[:1] == ["train"] else []
    prefix = len(group)
    listed = {each.name.split()[prefix]: each.help for each in COMMANDS if each.name.split()[:prefix] == group}
    if not group:
        listed["train"] = TRAIN_HELP
    stand_ins: Any = [
        Annotated[make_dataclass(name.replace("-", "_"), []), subcommand(name, description=text)]
        for name, text in listed.items()
    ]
    prog, description = " ".join(["echodepth", *group]), TRAIN_HELP if group else DESCRIPTION
    tyro.cli(functools.reduce(operator.or_, stand_ins), prog=prog, description=description, args=words[prefix:], **TYRO)


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _common_flags(words: Sequence[str]) -> list[str]:
    """Act on the flags that every command takes; the others are returned."""
    common = argparse.ArgumentParser(prog="echodepth", add_help=False, allow_abbrev=False)
    common.add_argument("--version", action="version", version=f"echodepth {__version__}")
    common.add_argument("-v", "--verbose", action="store_true")
    common.add_argument("-q", "--quiet", action="store_true")
    common.add_argument("--plugin", action="append", default=[])
    found, rest = common.parse_known_args(words)
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    level = logging.DEBUG if found.verbose else logging.WARNING if found.quiet else logging.INFO
    logging.getLogger("echodepth").setLevel(level)
    for module in found.plugin:
        load_plugin(module)
    return rest


def _load(address: str) -> Any:
    module, _, attribute = address.partition(":")
    return getattr(importlib.import_module(module), attribute)
