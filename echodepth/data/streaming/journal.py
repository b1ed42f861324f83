"""The journal of ``echodepth shard``: the finished shards, by which an interrupted run resumes.

A line of JSON describes the dataset, and each further line a finished shard. Lines are appended, because writing the
whole journal after each shard takes time that grows with the square of their number.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError
from echodepth.core.safe_paths import plain_name
from echodepth.core.schema import SchemaError, check, parse, parse_json, short
from echodepth.data.streaming.index import Shard, ShardIndex

FILE = ".packing.jsonl"


@dataclass(frozen=True)
class Packed:
    """A finished shard.

    Attributes:
        split: that it belongs to.
        stamp: of everything that determines its bytes.
        shard: its entry in the index; None if every row was bad.
        rooms: location of each room.
        bad_rows: one message for each row that was left out.
    """

    split: str
    stamp: str
    shard: Shard | None
    rooms: dict[str, str] = field(default_factory=dict)
    bad_rows: list[str] = field(default_factory=list)


class Journal:
    """Finished shards by file name; those of earlier runs are read from the folder.

    Args:
        folder: of the shards.
        dataset: what they hold.

    Raises:
        ConfigError: the folder holds shards of another dataset.
    """

    def __init__(self, folder: Path, dataset: dict[str, Any]) -> None:
        self.path = folder / FILE
        self.dataset = dataset
        self.shards: dict[str, Packed] = {}
        if not self.path.is_file():
            return
        header, *lines = self.path.read_bytes().splitlines() or [b""]
        try:
            found = check(parse_json(header), dict[str, Any], "its first line")
        except SchemaError as error:
            raise ConfigError(f"{self.path} is damaged ({error}): delete it to pack all shards again") from error
        if found != dataset:
            name = short(found.get("dataset")).strip("'")
            raise ConfigError(f"{folder} holds shards of {name} with other settings: give another --out")
        for line in lines:
            try:
                entry = check(parse_json(line), dict[str, Any], "line")
                name = plain_name(entry.pop("name", None), str(self.path))  # of a file that may be deleted
                self.shards[name] = parse(Packed, entry)
            except SchemaError:
                break  # an interrupted run wrote half a line; the shards of all lines from here on are packed again

    def rewrite(self) -> None:
        """Write all entries, without half a line and without entries that were replaced or removed."""
        with atomic_write(self.path) as unfinished:
            lines = [json.dumps(self.dataset), *(_line(name, packed) for name, packed in self.shards.items())]
            unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def append(self, name: str, packed: Packed) -> None:
        """Add a finished shard, after ``rewrite``."""
        self.shards[name] = packed
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(name, packed) + "\n")

    def index(self) -> ShardIndex:
        """The index of all finished shards."""
        index = ShardIndex(self.dataset["dataset"], self.dataset["depth_units"], tuple(self.dataset["parts"]))
        shards: dict[str, list[Shard]] = {}
        for name in sorted(self.shards):
            packed = self.shards[name]
            shards.setdefault(packed.split, []).extend([packed.shard] if packed.shard else [])
            index.bad_rows.setdefault(packed.split, []).extend(packed.bad_rows)
            index.rooms.update(packed.rooms)
        index.splits.update({split: tuple(each) for split, each in shards.items()})
        index.rooms.update({room: index.rooms.pop(room) for room in sorted(index.rooms)})
        return index


def _line(name: str, packed: Packed) -> str:
    return json.dumps({"name": name, **asdict(packed)})
