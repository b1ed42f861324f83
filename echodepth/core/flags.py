"""Flags as dataclasses: a command's config is made of groups, and every flag of every group has a name of its own.

A group is a frozen dataclass whose fields are flags and whose fields' docstrings are their help texts. The command line
shows one section for each group, and a run's record holds all flags by name, without the groups.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from echodepth.core.errors import ConfigError
from echodepth.core.input_files import in_home
from echodepth.core.registry import did_you_mean
from echodepth.core.schema import SchemaError, check

Config = TypeVar("Config")
TrueOrFalse = Annotated[bool, tyro.conf.FlagConversionOff]
"""A flag that takes its value: --bilinear False."""


class _TextForPaths(type):
    """Converts arguments before the constructor sees them: its annotations remain what the fields hold.

    ``__post_init__`` would come too late: the type checks of the tests compare a constructor's arguments with the
    annotations first. A decorator would miss the classes that ``compose`` and ``with_groups`` make of several.
    """

    if not typing.TYPE_CHECKING:

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            hints = _hints(cls)
            names = [field.name for field in dataclasses.fields(cls) if not field.kw_only]
            positional = [_as_type(value, hints[name]) for name, value in zip(names, args, strict=False)]
            named = {name: _as_type(value, hints.get(name)) for name, value in kwargs.items()}
            return super().__call__(*positional, *args[len(names) :], **named)


class PathsFromText(metaclass=_TextForPaths):
    """Base of the configs: a path may be given as text, as on the command line."""


@dataclasses.dataclass(frozen=True)
class CommandFlags:
    """The flags of a command whose flags depend on the command line.

    Attributes:
        config: the dataclass that is parsed.
        default: an instance whose values are the flags' defaults; None takes those of the class.
        finish: from what was parsed to the command's config.
    """

    config: Any
    default: Any = None
    finish: Callable[[Any], Any] = lambda parsed: parsed


@functools.cache
def compose(name: str, doc: str, *parts: type) -> type:
    """A group that has the flags of several dataclasses; its instances are instances of each of them.

    The same parts give the same class, so that configs of the same flags are equal.

    Args:
        name: of the new class.
        doc: the section's description in ``--help``.
        parts: frozen dataclasses with keyword-only fields.

    Raises:
        ValueError: two parts define one flag.
    """
    owners: dict[str, type] = {}
    for part in parts:
        for field in dataclasses.fields(part):
            owner = next(cls for cls in reversed(part.__mro__) if field.name in vars(cls).get("__annotations__", {}))
            if owners.setdefault(field.name, owner) is not owner:
                raise ValueError(f"--{field.name} is a flag of both {owners[field.name].__name__} and {owner.__name__}")
    # A part that another one inherits from would come before it in the order of methods.
    bases = tuple(part for part in parts if not any(part is not other and issubclass(other, part) for other in parts))
    # A dataclass lists the fields of its last base first.
    composed = type(name, tuple(reversed(dict.fromkeys(bases))), {"__doc__": doc, "__annotations__": {}})
    return dataclasses.dataclass(frozen=True, kw_only=True)(composed)


def with_groups(config: type[Config], *groups: tuple[str, Any]) -> type[Config]:
    """A config with other types for some of its groups; the same ones give the same class.

    Args:
        config: a dataclass whose fields with these names are groups.
        groups: name and type of each.
    """
    same: Any = config
    return typing.cast(type[Config], _with_groups(same, groups))


@functools.cache
def _with_groups(config: Any, groups: Any) -> Any:
    changed = dataclasses.make_dataclass(config.__name__, groups, bases=(config,), frozen=True, kw_only=True)
    changed.__doc__ = config.__doc__
    return changed


def select(config: object, part: type[Config]) -> Config:
    """The flags of one part, out of any object that has them as attributes; a flag it lacks keeps its default."""
    names = [field.name for field in dataclasses.fields(typing.cast(Any, part)) if field.init]
    return part(**{name: getattr(config, name) for name in names if hasattr(config, name)})


def flat(config: object) -> dict[str, Any]:
    """All flags by name, those of nested groups included."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, config)):
        value = getattr(config, field.name)
        values |= flat(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return values


def plain(config: object) -> dict[str, Any]:
    """As ``flat``, with values that JSON can hold."""

    def simple(value: Any) -> Any:
        return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value

    return {name: simple(value) for name, value in flat(config).items()}


def build(cls: type[Config], flags: Mapping[str, Any]) -> Config:
    """A config from flags by name, the inverse of ``flat``: lists become tuples, and text a path where one is due.

    Args:
        cls: the config's class, with or without groups.
        flags: any of its flags; the others keep their defaults.

    Raises:
        ConfigError: a flag is unknown or of another type, or one without a default is missing.
    """
    known = flag_types(cls)
    if unknown := [name[:60] for name in flags if name not in known]:
        raise ConfigError(f"--{unknown[0]}: there is no such flag here; {did_you_mean(unknown[0], list(known))}")
    for name, value in flags.items():
        try:
            check(value, known[name], f"--{name}")
        except SchemaError as error:
            raise ConfigError(str(error)) from error
    return _build(cls, {name: _as_type(value, known[name]) for name, value in flags.items()})


def replace(config: Config, **flags: Any) -> Config:
    """The same config with other values of some flags, in whichever group they are."""
    if unknown := [name for name in flags if name not in flat(config)]:
        raise ConfigError(f"--{unknown[0]}: there is no such flag here; {did_you_mean(unknown[0], list(flat(config)))}")
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, config)):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            inner = {name: flags[name] for name in flags if name in flat(value)}
            changes[field.name] = replace(value, **inner) if inner else value
        elif field.name in flags:
            changes[field.name] = flags[field.name]
    return typing.cast(Config, dataclasses.replace(typing.cast(Any, config), **changes))


def flag_types(cls: type) -> dict[str, Any]:
    """The type of every flag by name, those of nested groups included."""
    types: dict[str, Any] = {}
    for name, annotation in _hints(cls).items():
        types |= (
            flag_types(typing.cast(type, annotation)) if dataclasses.is_dataclass(annotation) else {name: annotation}
        )
    return types


@functools.lru_cache(maxsize=256)
def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(typing.cast(Any, cls))}


def _build(cls: type[Config], flags: Mapping[str, Any]) -> Config:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, cls)):
        annotation = _hints(typing.cast(Any, cls))[field.name]
        if dataclasses.is_dataclass(annotation):
            values[field.name] = _build(typing.cast(type, annotation), flags)
        elif field.name in flags:
            values[field.name] = flags[field.name]
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"--{field.name} is missing")
    return cls(**values)


def _as_type(value: Any, annotation: Any) -> Any:
    """A value from JSON or Python as its flag has it."""
    options = typing.get_args(annotation) or (annotation,)
    if isinstance(value, list | tuple):
        typed = tuple(_as_type(each, options[0]) for each in value) if Path in options else tuple(value)
        return value if typed == value else typed
    if isinstance(value, str | Path) and Path in options and not (str in options and "://" in str(value)):
        return in_home(value)
    return value
