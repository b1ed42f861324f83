"""Plain values against schemas: what is refused, and how the message names it."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.schema import SchemaError, check, check_arguments, has_type, parse, parse_json, read_json, short


@dataclass(frozen=True)
class Ear:
    side: Literal["left", "right"]
    gain: float = 1.0

    def __post_init__(self) -> None:
        if self.gain < 0:
            raise ConfigError("a gain is at least 0")


@dataclass(frozen=True)
class Head:
    name: str
    ears: tuple[Ear, ...]
    rooms: dict[str, int] = field(default_factory=dict)
    folder: Path | None = None
    angles: tuple[float, float] | None = None
    is_loaded: bool = field(default=False, metadata={"saved": False})


GOOD: dict[str, Any] = {"name": "KEMAR", "ears": [{"side": "left"}, ["right", 2]], "rooms": {"a": 3}, "folder": "x"}


def test_plain_values_become_a_dataclass() -> None:
    assert parse(Head, GOOD) == Head("KEMAR", (Ear("left"), Ear("right", 2.0)), {"a": 3}, Path("x"))
    assert type(parse(Ear, {"side": "left", "gain": 2}).gain) is float
    assert check([4, "a"], tuple, "") == (4, "a")
    assert check([], tuple[int, ...], "") == check([], tuple, "") == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "name is 3, where text belongs"),
        ({"name": None}, "name is None, where text belongs"),
        ({"ears": "both"}, "ears is 'both', where a list belongs"),
        ({"ears": [{"side": "up"}]}, r"ears\[0\]\.side is 'up', where 'left' or 'right' belongs"),
        ({"ears": [{}]}, r"ears\[0\]\.side is missing"),
        ({"ears": [{"side": "left", "gain": True}]}, r"ears\[0\]\.gain is True, where a finite number belongs"),
        ({"ears": [{"side": "left", "gain": float("nan")}]}, r"ears\[0\]\.gain is nan, where a finite number"),
        ({"ears": [{"side": "left", "gain": 10**400}]}, r"ears\[0\]\.gain is 1000.*, where a finite number"),
        ({"ears": [{"side": "left", "gain": -1}]}, r"ears\[0\]: a gain is at least 0"),
        ({"ears": [{"side": "left", "a\nb": 1}]}, r"ears\[0\]\.'a\\nb' is unknown: there are side, gain"),
        ({"rooms": {"a": 1.5}}, r"rooms\.a is 1\.5, where a whole number belongs"),
        ({"rooms": {3: 1}}, "rooms is 3, where text belongs"),
        ({"rooms": [1, 2]}, "rooms is .1, 2., where a mapping belongs"),
        ({"angles": [1]}, "angles is .1., where a list of 2 belongs"),
        ({"folder": 1}, "folder is 1, where a path belongs"),
        ({"is_loaded": True}, "is_loaded is unknown"),
        ({"more": 1}, "more is unknown: there are name, ears, rooms, folder, angles"),
    ],
)
def test_the_message_names_the_place(change: dict[str, object], message: str) -> None:
    with pytest.raises(SchemaError, match=f"^{message}"):
        parse(Head, {**GOOD, **change})


def test_times_in_nanoseconds_are_numbers() -> None:
    assert check(1_795_717_845_761_363_123, int, "") == 1_795_717_845_761_363_123
    assert not has_type(2**63, int)


@pytest.mark.parametrize("content", [None, 3, [], [1, 2, 3], "a"])
def test_what_is_no_mapping_is_no_dataclass(content: object) -> None:
    with pytest.raises(SchemaError, match="where a mapping, or a list of 5, belongs"):
        parse(Head, content)


def test_arguments_have_the_types_of_the_constructor() -> None:
    check_arguments(Ear, {"side": "left"}, "ear")
    for arguments, message in (
        ({"side": "left", "gain": "1"}, "ear.gain is '1', where a finite number belongs"),
        ({"side": "left", "volume": 1}, "ear: got an unexpected keyword argument 'volume'"),
        ({}, "ear: missing a required argument: 'side'"),
    ):
        with pytest.raises(SchemaError, match=message):
            check_arguments(Ear, arguments, "ear")


DEEP = (100_000 * "[", 100_000 * '{"a":', 500 * "[" + 500 * "]")


@pytest.mark.parametrize("text", [*DEEP, "", "{", "\ud800", "1" * 5000], ids=lambda text: text[:5])
def test_json_is_shallow_and_whole(text: str, tmp_path: Path) -> None:
    """Some depth below Python's own limit is read, and then ends whatever prints or copies it."""
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    reads: list[Callable[[], object]] = [
        lambda: parse_json(text.encode("utf-8", "surrogatepass")),
        lambda: read_json(tmp_path / "a.json"),
    ]
    for read in reads:
        with pytest.raises(SchemaError, match=r"^it is (not JSON|nested more than)"):
            read()


def test_a_file_has_a_size(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([0] * 1000))
    assert len(read_json(tmp_path / "a.json")) == 1000
    with pytest.raises(SchemaError, match="it has more than"):
        read_json(tmp_path / "a.json", 2000)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(DataError, match="not a file: give a file"):
            read_json(path)


def test_windows_editors_write_a_mark_first(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]


def test_values_in_messages_are_short_and_on_one_line() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in ("a\nb" * 100_000, {"a": [[[["b" * 1000]]]]}, 10**5000, endless, b"\x00" * 10**6):
        assert len(short(value)) < 100
        assert "\n" not in short(value)
    assert not has_type(endless, list[int])
    assert check([1], list[int], "") == [1]
