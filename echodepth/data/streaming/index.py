"""Shards: tar files with a dataset's own files in them, and the index that says what is in which.

A folder of shards, on a disk or at an address, reads::

    index.json
    train-000000.tar    00000000.audio.wav  00000000.depth.npy  00000000.image.jpeg  00000000.json  00000001.audio.wav …
    train-000001.tar    …
    val-000000.tar      …

What a reader needs to know before it opens a shard is in the index: how many samples of which room are where. So the
number of steps, and who reads what, is known without a look at the data.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.config import DataConfig
from echodepth.data.sample import Modality

FORMAT = "echodepth shards"
VERSION = 1
INDEX = "index.json"
INSTALL = "pip install 'echodepth[stream]'"
_BLOCK = 2**24  # bytes asked for at a time at an address: a request's latency counts little then


@runtime_checkable
class Stream(Protocol):
    """Bytes that are read from first to last."""

    def read(self, size: int = -1, /) -> bytes:
        """The next ``size`` bytes, fewer at the end."""


@dataclass(frozen=True)
class Shard:
    """One tar file.

    Attributes:
        name: of the file.
        samples: how many are in it.
        bytes: its size.
        sha256: its hash.
        rooms: samples by room, as ``Record.room`` names it.
    """

    name: str
    samples: int
    bytes: int
    sha256: str
    rooms: Mapping[str, int]


@dataclass(frozen=True)
class ShardIndex:
    """What ``index.json`` says.

    Attributes:
        dataset: the reader's name of the dataset that was packed.
        depth_units: of its depth maps, a metre.
        parts: what a sample has.
        rooms: each room's location.
        splits: the shards of each split, in order.
        bad_rows: of each split, one message for each row that was left out.
    """

    dataset: str
    depth_units: float
    modalities: tuple[Modality, ...]
    rooms: dict[str, str] = field(default_factory=dict)
    splits: dict[str, tuple[Shard, ...]] = field(default_factory=dict)
    bad_rows: dict[str, list[str]] = field(default_factory=dict)

    def to_json(self) -> str:
        """As it is written."""
        splits = {
            split: {
                "samples": sum(shard.samples for shard in shards),
                "bad_rows": self.bad_rows.get(split, []),
                "shards": [vars(shard) for shard in shards],
            }
            for split, shards in self.splits.items()
        }
        facts = {"dataset": self.dataset, "depth_units_per_metre": self.depth_units, "parts": self.modalities}
        return json.dumps(
            {"format": FORMAT, "version": VERSION, **facts, "rooms": self.rooms, "splits": splits}, indent=1
        )

    @staticmethod
    def of_json(text: str, name: str) -> "ShardIndex":
        """What was written.

        Args:
            text: of the file.
            name: of the file, for messages.

        Raises:
            DataError: it is no index of shards, or one of another version.
        """
        try:
            read: dict[str, Any] = json.loads(text)
            if read["format"] != FORMAT:
                raise ValueError(f"its format is {read['format']}")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{name} is no index of shards ({error}): `echodepth shard` writes one") from error
        if read["version"] != VERSION:
            raise DataError(
                f"{name} is of version {read['version']}, and this program reads version {VERSION}: pack the dataset "
                "again with `echodepth shard`, or read it with the version that packed it"
            )
        splits = read["splits"]
        return ShardIndex(
            dataset=read["dataset"],
            depth_units=read["depth_units_per_metre"],
            modalities=tuple(read["parts"]),
            rooms=read["rooms"],
            splits={split: tuple(Shard(**shard) for shard in splits[split]["shards"]) for split in splits},
            bad_rows={split: splits[split]["bad_rows"] for split in splits},
        )


def is_sharded(config: DataConfig) -> bool:
    """Whether ``data_dir`` holds shards: an address does, and a folder with an index of them."""
    if isinstance(config.data_dir, str):
        return True
    index = config.root / INDEX
    if not index.is_file():
        return False
    with index.open("rb") as file:
        return FORMAT.encode() in file.read(100)


def read_index(config: DataConfig) -> ShardIndex:
    """The index of the shards in ``config.data_dir``.

    Raises:
        ConfigError: nothing installed reads that kind of address, or the shards are of another dataset than said.
        DataError: there is none, or it cannot be read.
    """
    name = located(config.address, INDEX)
    with open_file(config.address, INDEX) as file:
        try:
            text = file.read().decode()
        except Exception as error:
            raise unreadable(name, error) from error
    index = ShardIndex.of_json(text, name)
    if index.dataset != config.dataset:
        raise ConfigError(f"{config.address} holds shards of {index.dataset}: give --dataset {index.dataset}")
    return index


def located(place: Path | str, name: str) -> str:
    """A file at a place, as messages name it and as addresses are put together."""
    return str(place / name) if isinstance(place, Path) else f"{place.rstrip('/')}/{name}"


def open_file(place: Path | str, name: str) -> AbstractContextManager[Stream]:
    """Open a file in a folder or at an address, to be read from its beginning.

    Raises:
        ConfigError: nothing installed reads that kind of address.
        DataError: it is not there, or cannot be reached.
    """
    where = located(place, name)
    try:
        if isinstance(place, Path):
            return Path(where).open("rb")
        import fsspec

        return cast(AbstractContextManager[Stream], fsspec.open(where, "rb", block_size=_BLOCK).open())
    except ImportError as error:
        raise ConfigError(f"{where} cannot be read: {error}; the web needs {INSTALL}, S3 pip install s3fs") from error
    except Exception as error:
        raise unreadable(where, error) from error


def unreadable(name: str, error: Exception) -> DataError:
    """What is said of a file that is not there or cannot be reached; each kind of address has errors of its own."""
    if isinstance(error, FileNotFoundError):  # fsspec's answer to a server that is away, too
        return DataError(
            f"{name} is not there or cannot be reached: --data_dir names the folder or address that holds {INDEX} and "
            "the shards"
        )
    told = str(error) or type(error).__name__
    return DataError(f"{name} cannot be read: {told}")


def chunks(file: Stream, size: int = 2**20) -> Iterator[bytes]:
    """What is left of an open file, piece by piece."""
    while piece := file.read(size):
        yield piece
