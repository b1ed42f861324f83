"""The page of all flags: every command with its flags in groups, as ``--help`` shows them."""

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import tyro

from echodepth.apps.commands import COMMANDS
from echodepth.core.flags import TrueOrFalse
from echodepth.core.registry import Registry
from echodepth.data.config import DataConfig
from echodepth.data.dataset_registry import DATASETS
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.networks import NETWORKS

POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]
CHOICES: dict[str, Registry[Any]] = {"network": NETWORKS, "front end": FRONT_ENDS, "dataset": DATASETS}
"""Registries whose entries have flags of their own."""
COMMON_FLAGS = """| flag | values | default | meaning |
|---|---|---|---|
| `--version` | no value |  | Print the version and exit. |
| `-v`, `--verbose` | no value |  | Log debug messages. |
| `-q`, `--quiet` | no value |  | Log warnings only. |
| `--completion` | `bash`, `zsh` |  | Print a script that completes commands and flags with the tab key, and exit. |
| `--plugin` | module |  | Import a module that registers networks, datasets, losses or front ends. |"""


def flags_page() -> str:
    """Every command with its flags in groups, as ``--help`` shows them.

    A group that several commands share is listed once, and linked from the others.
    """
    lines = [
        "# All flags",
        "",
        "This page has the same source as `--help`. Flags take underscores or hyphens.",
        "A flag without a value switches on, and `--no_flag` switches off.",
        "",
        *("## Flags of every command", "", COMMON_FLAGS, ""),
    ]
    headings: dict[str, str] = {}
    for command in COMMANDS:
        lines += [f"## {command.name}", "", f"`echodepth {command.name}`: {command.help}", ""]
        for title, config in _groups(_config_of(command.flags)):
            table = "\n".join(_table(config))
            heading = f"{command.name}: {title}" if title else command.name
            if table in headings:
                lines += [f"Flags of [{headings[table]}](#{_anchor(headings[table])}).", ""]
                continue
            headings[table] = heading
            lines += [*([f"### {heading}", ""] if title else []), table, ""]
    for kind, registry in CHOICES.items():
        for entry in registry:
            own = [field.name for field in dataclasses.fields(entry.config)]
            if kind == "dataset":
                own = [name for name in own if name not in {field.name for field in dataclasses.fields(DataConfig)}]
            if own:
                table = "\n".join(_table(entry.config, own))
                lines += [f"## {kind} {entry.name}", "", f"With `--{registry.flag} {entry.name}`.", "", table, ""]
    return "\n".join(lines)


def _config_of(address: str) -> type:
    """The config dataclass of a command; with the default network, front end and dataset where they decide it."""
    module, _, attribute = address.partition(":")
    flags = getattr(importlib.import_module(module), attribute)
    return flags if isinstance(flags, type) else typing.cast(type, flags([]).config)


def _groups(config: type) -> Iterator[tuple[str, type]]:
    """The config itself with an empty title, if it has flags outside groups; then its groups with their titles."""
    hints = typing.get_type_hints(config, include_extras=True)
    groups = [(field.name, hints[field.name]) for field in dataclasses.fields(config) if _is_group(hints[field.name])]
    if len(groups) < len(dataclasses.fields(config)):
        yield "", config
    for name, hint in groups:
        yield (_argument(hint, "name") or name).replace("_", " "), _bare(hint)


def _table(config: type, only: list[str] | None = None) -> list[str]:
    hints = typing.get_type_hints(config, include_extras=True)
    rows = [
        f"| {_spelling(field.name, hints[field.name])} | {_values(hints[field.name])} "
        f"| {_default(field)} | {_cell(_help(config, field.name, hints[field.name]))} |"
        for field in dataclasses.fields(config)
        if not _is_group(hints[field.name]) and (only is None or field.name in only)
    ]
    return ["| flag | values | default | meaning |", "|---|---|---|---|", *rows]


def _help(config: type, name: str, hint: Any) -> str:
    """A flag's help text: that of its annotation, or the docstring below the field in the class that defines it."""
    if text := _argument(hint, "help"):
        return text
    return next((texts[name] for base in config.__mro__ if name in (texts := _docstrings(base))), "")


def _docstrings(cls: type) -> dict[str, str]:
    """The docstrings below the fields of a class, by field; none for a class that is composed at run time."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    except (KeyError, OSError, TypeError):
        return {}
    body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__), [])
    return {
        field.target.id: text.value.value
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _argument(hint: Any, attribute: str) -> str | None:
    """What ``tyro.conf.arg`` sets in an annotation."""
    settings = hint.__metadata__ if typing.get_origin(hint) is typing.Annotated else ()
    values = (getattr(setting, attribute, None) for setting in settings)
    return next((value for value in values if isinstance(value, str)), None)


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _is_group(hint: Any) -> bool:
    return isinstance(_bare(hint), type) and dataclasses.is_dataclass(_bare(hint))


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _cell(text: str) -> str:
    """A text in one line of a table. Placeholders in angle brackets are escaped, since Markdown reads them as HTML."""
    return re.sub(r"<(\w+)>", r"&lt;\1&gt;", " ".join(text.split())).replace("|", r"\|")


def _spelling(name: str, hint: Any) -> str:
    return f"`{name.upper()}`" if POSITIONAL in typing.get_args(hint)[1:] else f"`--{name}`"


def _values(hint: Any) -> str:
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if hint == TrueOrFalse:
        return "`True`, `False`"
    if origin is typing.Annotated:
        return _values(members[0])
    if origin is Literal:
        return ", ".join(f"`{member}`" for member in members)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_values(member) for member in members if member is not type(None))
    if origin in (tuple, list):
        return (
            f"any of {_values(members[0])}" if typing.get_origin(members[0]) is Literal else f"{_values(members[0])} …"
        )
    names = {bool: "no value", str: "text", Path: "path", int: "integer", float: "number"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _default(field: "dataclasses.Field[Any]") -> str:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if value is dataclasses.MISSING:
        return "required"
    if value is None or value == ():
        return ""
    return f"`{' '.join(map(str, value)) if isinstance(value, tuple | list) else value}`"
