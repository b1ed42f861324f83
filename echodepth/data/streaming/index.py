"""Shards, tar files of a dataset's own files, and their index.

A folder of shards, on a disk or at an address, has this layout::

    index.json
    train-000000.tar    00000000.audio.wav  00000000.depth.npy  00000000.image.jpeg  00000000.json  00000001.audio.wav …
    train-000001.tar    …
    val-000000.tar      …

The index lists the number of samples of each room in each shard, so that the number of steps and the partition among
readers are known before any shard is opened.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.core.integrity import seal, unseal
from echodepth.core.safe_paths import plain_name
from echodepth.core.schema import SchemaError, check, parse, parse_json, short
from echodepth.data.camera_file import DEGREES, parse_camera
from echodepth.data.config import DataConfig
from echodepth.data.provenance import PARTLY_SIMULATED, SIMULATED
from echodepth.data.records import Modality

FORMAT = "echodepth shards"
VERSION = 1
INDEX = "index.json"
INSTALL = "pip install 'echodepth[stream]'"
_LARGEST = 2**24  # bytes: an index has 200 for a shard and 80 for a room
_BLOCK = 2**24  # bytes per request at an address, so that latency is small against transfer


@runtime_checkable
class Stream(Protocol):
    """A file that is read sequentially."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next ``size`` bytes, fewer at the end."""


@dataclass(frozen=True)
class Shard:
    """One tar file.

    Attributes:
        name: file name.
        samples: number of samples.
        bytes: file size.
        sha256: file hash.
        rooms: number of samples by room, see ``Record.room``.

    Raises:
        DataError: the name is not that of a file beside the index.
        ValueError: a number or the hash is none.
    """

    name: str
    samples: int
    bytes: int
    sha256: str
    rooms: Mapping[str, int]

    def __post_init__(self) -> None:
        # Name and hash become parts of paths, in the folder of the shards and in the cache.
        plain_name(self.name, INDEX)
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"the hash of shard {self.name} is no SHA-256")
        if min(self.samples, self.bytes, *self.rooms.values()) < 0 or sum(self.rooms.values()) != self.samples:
            raise ValueError(f"shard {self.name} has numbers of samples or bytes that cannot be")


@dataclass(frozen=True)
class ShardIndex:
    """Contents of ``index.json``.

    Attributes:
        dataset: name of the dataset in the registry.
        depth_units: stored depth units per metre.
        modalities: contents of a sample.
        rooms: location of each room.
        splits: shards of each split, in order.
        bad_rows: for each split, one message per skipped row.
        field_of_view: of the dataset's camera; None if it is not known.
        provenance: whether the data are simulated, see ``folder_provenance``; None for recorded data.
    """

    dataset: str
    depth_units: int | float
    modalities: tuple[Modality, ...]
    rooms: dict[str, str] = field(default_factory=dict)
    splits: dict[str, tuple[Shard, ...]] = field(default_factory=dict)
    bad_rows: dict[str, list[str]] = field(default_factory=dict)
    field_of_view: FieldOfView | None = None
    provenance: str | None = None

    def to_json(self) -> str:
        """The text of the file."""
        splits = {
            split: {
                "samples": sum(shard.samples for shard in shards),
                "bad_rows": self.bad_rows.get(split, []),
                "shards": [vars(shard) for shard in shards],
            }
            for split, shards in self.splits.items()
        }
        facts: dict[str, Any] = {
            "dataset": self.dataset,
            "depth_units_per_metre": self.depth_units,
            "parts": self.modalities,
        }
        if self.field_of_view is not None:
            facts[DEGREES] = self.field_of_view.degrees
        if self.provenance is not None:
            facts["provenance"] = self.provenance
        index = {"format": FORMAT, "version": VERSION, **facts, "rooms": self.rooms, "splits": splits}
        return json.dumps(seal(index), indent=1)

    @staticmethod
    def from_json(text: str | bytes, name: str) -> "ShardIndex":
        """Parse the text of the file.

        Args:
            text: contents of the file.
            name: file name, for messages.

        Raises:
            DataError: the text is no index of shards, or has another version.
        """
        try:
            content = unseal(check(parse_json(text), dict[str, Any], ""))[0]
            if content.get("format") != FORMAT:
                raise SchemaError(f"its format is {short(content.get('format'))}")
            if content.get("version") != VERSION:
                raise DataError(
                    f"{name} has version {short(content.get('version'))}, and this program reads version {VERSION}: "
                    "pack the dataset again with `echodepth shard`, or use the program version that packed it"
                )
            return _parsed(content)
        except (ValueError, ConfigError) as error:
            raise DataError(f"{name} is no index of shards ({error}): `echodepth shard` writes one") from error


@dataclass(frozen=True)
class _SplitContent:
    samples: int
    bad_rows: list[str]
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class _Content:
    format: str
    version: int
    dataset: str
    depth_units_per_metre: int | float
    parts: tuple[Modality, ...]
    rooms: dict[str, str]
    splits: dict[str, _SplitContent]
    field_of_view_degrees: tuple[float, float] | None = None
    provenance: str | None = None

    def __post_init__(self) -> None:
        if self.depth_units_per_metre <= 0:
            raise ValueError(f"depth_units_per_metre is {self.depth_units_per_metre:g}, not above 0")


def _parsed(content: Mapping[str, Any]) -> ShardIndex:
    found = parse(_Content, content)
    return ShardIndex(
        dataset=found.dataset,
        depth_units=found.depth_units_per_metre,
        modalities=found.parts,
        rooms=found.rooms,
        splits={name: split.shards for name, split in found.splits.items()},
        bad_rows={name: split.bad_rows for name, split in found.splits.items()},
        field_of_view=parse_camera(content) if DEGREES in content else None,
        provenance=_provenance(found),
    )


def _provenance(content: _Content) -> str | None:
    if content.provenance not in (None, SIMULATED, PARTLY_SIMULATED):
        raise ValueError(f"its provenance is {short(content.provenance)}")
    # Older indexes of simulated rooms do not say it.
    return SIMULATED if content.provenance is None and content.dataset == SIMULATED else content.provenance


def is_sharded(config: DataConfig) -> bool:
    """Whether ``data_dir`` is an address, or a folder with an index of shards."""
    if isinstance(config.data_dir, str):
        return True
    index = config.root / INDEX
    if not index.is_file():
        return False
    with index.open("rb") as file:
        return FORMAT.encode() in file.read(100)


def read_index(config: DataConfig) -> ShardIndex:
    """Read the index of the shards in ``config.data_dir``.

    Raises:
        ConfigError: no installed library reads this kind of address, or the shards hold another dataset.
        DataError: the index is missing or unreadable.
    """
    name = join(config.address, INDEX)
    with open_file(config.address, INDEX) as file:
        try:
            text = file.read(_LARGEST + 1)
        except MemoryError:
            raise
        except Exception as error:  # each kind of address raises errors of its own
            raise unreadable_error(name, error) from error
    if len(text) > _LARGEST:
        raise DataError(f"{name} has more than {_LARGEST >> 20} MB: it is no index of shards")
    index = ShardIndex.from_json(text, name)
    if index.dataset != config.dataset:
        holds = short(index.dataset).strip("'")
        raise ConfigError(f"{config.address} holds shards of {holds}: give --dataset {holds}")
    return index


def join(address: Path | str, name: str) -> str:
    """Full name of a file in a folder or below an address."""
    return str(address / name) if isinstance(address, Path) else f"{address.rstrip('/')}/{name}"


def open_file(address: Path | str, name: str) -> AbstractContextManager[Stream]:
    """Open a file in a folder or below an address for sequential reading.

    Raises:
        ConfigError: no installed library reads this kind of address.
        DataError: the file is missing or unreachable.
    """
    location = join(address, name)
    try:
        if isinstance(address, Path):
            return Path(location).open("rb")
        import fsspec

        return cast(AbstractContextManager[Stream], fsspec.open(location, "rb", block_size=_BLOCK).open())
    except ImportError as error:
        raise ConfigError(
            f"{location} cannot be read: {error}; http addresses need {INSTALL}, S3 needs pip install s3fs"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # each kind of address raises errors of its own
        raise unreadable_error(location, error) from error


def unreadable_error(name: str, error: Exception) -> DataError:
    """The DataError for a file that is missing or unreachable; each kind of address raises errors of its own."""
    if isinstance(error, FileNotFoundError):  # fsspec raises it for an unreachable server too
        return DataError(
            f"{name} does not exist or cannot be reached: --data_dir is the folder or address that holds {INDEX} and "
            "the shards"
        )
    return DataError(f"{name} cannot be read: {str(error) or type(error).__name__}")


def chunks(file: Stream, size: int = 2**20) -> Iterator[bytes]:
    """The rest of an open file in pieces."""
    while piece := file.read(size):
        yield piece
