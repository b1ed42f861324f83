"""Plain values that anyone may have written, from JSON or a checkpoint, checked once against a schema when read.

A schema is a dataclass, or the signature of a constructor: what the code needs and what a file must hold cannot differ.
Of the libraries that are installed anyway, typeguard takes True and NaN for numbers, and 10**400 for one that can be
computed with.
"""

import builtins
import dataclasses
import functools
import inspect
import json
import reprlib
import types
import typing
from collections import abc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from echodepth.core.errors import EchodepthError
from echodepth.core.input_files import regular_file

Schema = TypeVar("Schema")
LARGEST_FILE = 2**23
"""Bytes of the largest file of settings."""
LARGEST_INDEX = 2**26
"""Bytes of the largest file that grows with a dataset: a million rows have about 60 MB."""
_DEEPEST = 32  # levels: ours have eight; what recurses over a thousand levels ends in a RecursionError
_MOST_ENTRIES = 2**23  # on one level
_LARGEST = 2**63
"""Numbers from JSON have any size, but arithmetic has not; a file's time in nanoseconds is larger than 1e18."""
_NAMES = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false", Path: "a path"}
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 2, 60, 60


class SchemaError(ValueError):
    """A value is missing, unknown or of another type. The message names it by its path in the file."""


def parse_json(text: str | bytes) -> Any:
    """The content of a JSON text, nested to a moderate depth.

    Raises:
        SchemaError: the text is no such JSON.
    """
    try:
        content = json.loads(text.removeprefix("\ufeff") if isinstance(text, str) else text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise SchemaError(f"it is not JSON: {reason}") from error
    require_shallow(content)
    return content


def require_shallow(content: object) -> None:
    """Raise a SchemaError if dicts, lists and tuples are deeper or wider than any of ours, or contain themselves."""
    level = {id(content): (content, 1)}
    for _ in range(_DEEPEST):
        # A pickle may hold one list many times over, and lists of such lists: few bytes are billions of entries. They
        # are counted as often as they are held, but looked into once.
        if sum(times * len(_entries(each)) for each, times in level.values()) > _MOST_ENTRIES:
            raise SchemaError(f"it has more than {_MOST_ENTRIES} entries")
        below: dict[int, tuple[object, int]] = {}
        for each, times in level.values():
            for entry in _entries(each):
                if isinstance(entry, dict | list | tuple):
                    below[id(entry)] = entry, times + below.get(id(entry), (entry, 0))[1]
        if not below:
            return
        level = below
    raise SchemaError(f"it is nested more than {_DEEPEST} levels deep")


def _entries(value: Any) -> abc.Collection[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()


def read_json(path: Path, largest: int = LARGEST_FILE) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        largest: its largest size in bytes.

    Raises:
        DataError: it is no regular file.
        OSError: it cannot be read.
        SchemaError: it is larger, or no JSON.
    """
    with regular_file(path).open("rb") as file:
        text = file.read(largest + 1)
    if len(text) > largest:
        raise SchemaError(f"it has more than {largest >> 20} MB")
    return parse_json(text)


def parse(schema: type[Schema], content: Any, where: str = "") -> Schema:
    """An instance of a dataclass from plain values by field; lists become tuples, text paths, mappings dataclasses.

    Args:
        schema: a dataclass whose fields have types that ``check`` knows. A field with a default may be absent, and one
            with ``saved=False`` in its metadata has to be.
        content: plain values by field, or those of all fields in their order.
        where: path of the content in its file, for messages.

    Raises:
        SchemaError: the content is no mapping, or a field is unknown, missing or of another type; or the constructor
            raises a ValueError or an EchodepthError.
    """
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, schema))}
    fields = {name: field for name, field in fields.items() if field.init and field.metadata.get("saved", True)}
    if isinstance(content, list) and len(content) == len(fields):
        content = dict(zip(fields, content, strict=True))
    if not isinstance(content, Mapping):
        raise _wrong(where, content, f"a mapping, or a list of {len(fields)},")
    if unknown := [name for name in content if name not in fields]:
        raise SchemaError(f"{_at(where, unknown[0])} is unknown: there are {', '.join(fields)}")
    hints = _hints(typing.cast(Any, schema))
    missing = (dataclasses.MISSING, dataclasses.MISSING)
    for name, field in fields.items():
        if name not in content and (field.default, field.default_factory) == missing:
            raise SchemaError(f"{_at(where, name)} is missing")
    values = {name: check(value, hints[name], _at(where, name)) for name, value in content.items()}
    try:
        return schema(**values)
    except (ValueError, EchodepthError) as error:
        raise SchemaError(f"{where}: {error}" if where else str(error)) from error


def check_arguments(function: Callable[..., object], arguments: Mapping[str, Any], where: str) -> None:
    """Compare arguments with the annotations of a function, or of a class's constructor; those without any are taken.

    Raises:
        SchemaError: an argument is unknown, missing or of another type.
    """
    initial = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise SchemaError(f"{where}: {error!s:.200}") from error
    hints = _hints(initial)
    for name, value in arguments.items():
        check(value, hints.get(name, Any), _at(where, name))


def check(value: Any, annotation: Any, where: str) -> Any:
    """A plain value as its annotation has it.

    Args:
        value: text, number, None, list or mapping.
        annotation: these, ``Any``, literals, unions, tuples, sequences, mappings by text, paths and dataclasses.
        where: path of the value in its file, for messages.

    Raises:
        SchemaError: it is of another type. Numbers are finite and of 64 bits, and True is none.
    """
    options = typing.get_args(annotation)
    match typing.get_origin(annotation) or annotation:
        case typing.Any:
            return value
        case typing.Literal:
            if any(type(value) is type(option) and value == option for option in options):
                return value
        case typing.Union | types.UnionType:
            others = [option for option in options if option is not types.NoneType]
            if len(others) == 1 and value is not None:
                return check(value, others[0], where)
            for option in options:
                if has_type(value, option):
                    return check(value, option, where)
        case builtins.tuple | builtins.list | abc.Sequence as kind if isinstance(value, list | tuple):
            hints = options or (Any, ...)  # a plain ``tuple`` holds anything
            each = hints[:1] * len(value) if len(hints) == 1 or hints[1:] == (...,) else hints
            if len(each) == len(value):
                return (list if kind is list else tuple)(
                    check(entry, hint, f"{where}[{index}]")
                    for index, (entry, hint) in enumerate(zip(value, each, strict=True))
                )
        case builtins.dict | abc.Mapping if isinstance(value, Mapping):
            key, entry = options or (str, Any)
            return {check(name, key, where): check(each, entry, _at(where, name)) for name, each in value.items()}
        case builtins.int | builtins.float as kind:
            if type(value) in (int, kind) and abs(value) < _LARGEST:  # not so NaN
                return kind(value)
        case kind if dataclasses.is_dataclass(kind):
            return parse(typing.cast(type[Any], kind), value, where)
        case kind if kind is Path:
            if isinstance(value, str | Path):
                return Path(value)
        case kind if isinstance(value, kind or types.NoneType):
            return value
    raise _wrong(where, value, _named(annotation))


def has_type(value: Any, annotation: Any) -> bool:
    """Whether ``check`` accepts a value."""
    try:
        check(value, annotation, "")
    except SchemaError:
        return False
    return True


@functools.cache
def _hints(annotated: Any) -> dict[str, Any]:
    return typing.get_type_hints(annotated)


def _at(where: str, name: object) -> str:
    name = name if isinstance(name, str) and name.isidentifier() and len(name) < 60 else short(name)
    return f"{where}.{name}" if where else str(name)


def _named(annotation: Any) -> str:
    """An annotation in words."""
    options = typing.get_args(annotation)
    match typing.get_origin(annotation) or annotation:
        case typing.Literal:
            return " or ".join(map(repr, options))
        case typing.Union | types.UnionType:
            return " or ".join(_named(option) for option in options)
        case builtins.tuple if options and options[-1] is not ...:
            return f"a list of {len(options)}"
        case builtins.tuple | builtins.list | abc.Sequence:
            return "a list"
        case builtins.dict | abc.Mapping:
            return "a mapping"
        case None | types.NoneType:
            return "null"
    return _NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _wrong(where: str, value: object, due: str) -> SchemaError:
    return SchemaError(f"{where or 'it'} is {short(value)}, where {due} belongs")


def short(value: object) -> str:
    """A value that anyone may have written, in one short line, for messages."""
    try:
        return " ".join(_REPR.repr(value).split())
    except ValueError:  # a number of thousands of digits
        return f"a {type(value).__name__}"
