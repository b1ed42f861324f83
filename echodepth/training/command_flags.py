"""The flags of the commands whose flags depend on the command line: on ``--model``, ``--front_end``, ``--dataset``."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.flags import CommandFlags, build, flag_types, flat, replace
from echodepth.core.schema import SchemaError, check, read_json, short
from echodepth.data.flag_groups import chosen_values
from echodepth.training.compose import KINDS, Choices, config_class, prepare_class, train_config
from echodepth.training.initial_weights import load_initial

CHOICES = ("model", "front_end", "dataset")
"""Flags on whose values it depends which others there are, in the order of ``Choices``."""
NOT_REPEATED = ("checkpoints", "resume", "overwrite")
"""Flags of a recorded run that ``--config`` does not take over: they belong to that one command."""


def train_flags(kind: str, words: Sequence[str]) -> CommandFlags:
    """The flags of ``train <kind>``, with the defaults of the run that ``--config`` names and the model of ``--init``.

    Raises:
        CheckpointError: the model that ``--init`` names cannot be read.
        ConfigError: the recorded run cannot be read, is of another kind, or has a flag that is unknown; or ``--init``
            and other flags contradict each other.
    """
    chosen = chosen_values(words, *CHOICES, "config", "init")
    recorded = _recorded_flags(Path(chosen["config"]), kind) if chosen["config"] else {}
    init = chosen["init"] or recorded.get("init")
    if init is not None:
        named = {name: chosen[name] for name in ("model", "front_end") if chosen[name] is not None}
        with _named(None if chosen["init"] else chosen["config"]):
            recorded |= load_initial(init, KINDS[kind].modality, recorded | named)[1]
    choices = Choices(*(chosen[name] or recorded.get(name) for name in CHOICES))
    with _named(None if any(chosen[name] for name in CHOICES) else chosen["config"]):
        composed = config_class(kind, choices, for_command_line=True)
    help_text = "Take the flags of an earlier run from its logs/<experiment>/config.json; further flags win."
    config = Annotated[Path | None, tyro.conf.arg(help=help_text)]
    parsed = make_dataclass(kind, [("config", config, None)], bases=(composed,), frozen=True, kw_only=True)
    parsed.__doc__ = composed.__doc__

    def finish(given: Any) -> Any:
        return train_config(kind, **{name: value for name, value in flat(given).items() if name != "config"})

    with _named(chosen["config"]):
        return CommandFlags(parsed, _defaults(parsed, recorded) if recorded else None, finish)


@contextmanager
def _named(recorded: str | None) -> Iterator[None]:
    """Name the file of a recorded run in errors about what it holds."""
    try:
        yield
    except (CheckpointError, ConfigError) as error:
        if recorded is None:
            raise
        raise type(error)(f"--config {recorded}: {error}") from error


def _defaults(parsed: type, flags: dict[str, Any]) -> Any:
    """An instance with these flags, in which a teacher that is not among them is still required."""
    if "teacher" in flags or "teacher" not in flag_types(parsed):
        return build(parsed, flags)
    return replace(build(parsed, {**flags, "teacher": ""}), teacher=tyro.MISSING)


rgb_flags = functools.partial(train_flags, "rgb")
binaural_flags = functools.partial(train_flags, "binaural")
distill_flags = functools.partial(train_flags, "distill")


def prepare_flags(words: Sequence[str]) -> CommandFlags:
    """The flags of ``prepare``."""
    chosen = chosen_values(words, "front_end", "dataset")
    choices = Choices(None, chosen["front_end"], chosen["dataset"])
    composed = prepare_class(choices)
    return CommandFlags(prepare_class(choices, True), None, lambda given: build(composed, flat(given)))


def _recorded_flags(path: Path, kind: str) -> dict[str, Any]:
    try:
        recorded = check(read_json(path), dict[str, Any], "")
        flags = check(recorded.get("flags"), dict[str, Any], "flags")
        was = check(recorded.get("kind"), str, "kind")
        for name in (*CHOICES, "init"):
            check(flags.get(name), str | None, f"flags.{name}")
    except (OSError, SchemaError) as error:
        raise ConfigError(
            f"--config {path} is no run's config.json: {error}; give logs/<experiment>/config.json"
        ) from error
    if was != kind:
        raise ConfigError(f"--config {path} is of a run of train {short(was)}, not of train {kind}")
    return {name: value for name, value in flags.items() if name not in NOT_REPEATED}
