"""The journal of ``echodepth shard``: the finished shards, by which an interrupted run resumes.

A line of JSON describes the dataset, and each further line a finished shard. Lines are appended, because writing the
whole journal after each shard takes time that grows with the square of their number. A line that is damaged, or half
written, does not count: its shard is packed again.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError
from echodepth.core.integrity import seal, unseal
from echodepth.core.safe_paths import plain_name
from echodepth.core.schema import SchemaError, parse, parse_json, short
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

    Attributes:
        shards: by file name.
        is_damaged: whether shards are missing here because their lines are damaged.

    Raises:
        ConfigError: the folder holds shards of another dataset.
    """

    def __init__(self, folder: Path, dataset: dict[str, Any]) -> None:
        self.path = folder / FILE
        self.dataset = dataset
        self.shards: dict[str, Packed] = {}
        self.is_damaged = False
        if not self.path.is_file():
            return
        # An interrupted run leaves half a line at the end.
        *lines, _ = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        header, *lines = lines or [""]
        found = _read_line(header)
        if found is not None and found != dataset:
            name = short(found.get("dataset")).strip("'")
            raise ConfigError(f"{folder} holds shards of {name} with other settings: give another --out")
        entries = [_read_line(line) for line in (lines if found else ())]
        self.is_damaged = found is None or None in entries
        for entry in filter(None, entries):
            name = plain_name(entry.pop("name", None), str(self.path))  # of a file that is deleted when out of date
            try:
                self.shards[name] = parse(Packed, entry)
            except SchemaError:
                self.is_damaged = True

    def rewrite(self) -> None:
        """Write all entries, without half a line and without entries that were replaced or removed."""
        with atomic_write(self.path) as unfinished:
            lines = [json.dumps(seal(self.dataset)), *(_line(name, packed) for name, packed in self.shards.items())]
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
    return json.dumps(seal({"name": name, **asdict(packed)}))


def _read_line(line: str) -> dict[str, Any] | None:
    """The content of a line; None if it is damaged."""
    try:
        content, digests = unseal(parse_json(line))
    except ValueError:
        return None
    return None if digests is None else content
