"""How ``--help`` shows flags that may be left out: without the word None or an empty default."""

import dataclasses
import functools
import operator
import types
import typing
from typing import Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo, StructTypeInfo
from tyro.constructors import StructConstructorSpec as Struct
from tyro.constructors import StructFieldSpec as Field


def plain_help() -> ConstructorRegistry:
    """Rules for ``tyro.cli``: tyro's own, with plainer help texts; what the command line accepts is unchanged."""
    registry = ConstructorRegistry()
    asked: list[StructTypeInfo] = []

    @registry.struct_rule
    def flags_of_a_dataclass(info: StructTypeInfo) -> Struct | None:
        if not dataclasses.is_dataclass(info.type) or any(info is each for each in asked):
            return None  # the second time tyro's own rule answers
        asked.append(info)
        try:
            struct = ConstructorRegistry.get_struct_spec(info)
        finally:
            asked.pop()
        if not isinstance(struct, Struct):
            return None
        return dataclasses.replace(struct, fields=tuple(map(_plain, struct.fields)))

    return registry


def _plain(field: Field) -> Field:
    metavar = _metavar(field.type, field.default)
    settings = tyro.conf.arg(metavar=metavar, help_behavior_hint=_default)
    annotated: Any = Annotated[field.type, settings]
    return dataclasses.replace(field, type=annotated)


def _default(value: str) -> str:
    """What is said of a default; where there is none, the help text says what happens."""
    return "" if value in ("", "None") else f"(default: {value})"


def _metavar(annotation: Any, default: Any) -> str | None:
    """The values of a flag that may be left out or takes any number of them; None for the others."""
    bare, *settings = typing.get_args(annotation) if typing.get_origin(annotation) is Annotated else (annotation,)
    origin, members = typing.get_origin(bare), typing.get_args(bare)
    if any(isinstance(each, PrimitiveConstructorSpec) for each in settings):
        return None
    if origin is tuple and members[1:] == (...,):
        return f"{_metavar_of(members[0])} ..."
    if origin in (typing.Union, types.UnionType) and type(None) in members:
        values = _metavar_of(functools.reduce(operator.or_, (each for each in members if each is not type(None))))
        return values if default is None else f"{values}|None"
    return None


def _metavar_of(annotation: Any) -> str | None:
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(annotation, set()))
    return spec.metavar if isinstance(spec, PrimitiveConstructorSpec) else None
