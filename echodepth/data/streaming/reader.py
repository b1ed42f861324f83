"""Sequential reading of shards. One that is incomplete, or differs from its hash, raises an error that names it."""

import hashlib
import io
import logging
import os
import tarfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.safe_paths import relative_path
from echodepth.core.schema import SchemaError, parse, parse_json
from echodepth.data.records import Modality, StoredFile, StoredRecord
from echodepth.data.streaming.index import INSTALL, Shard, Stream, chunks, join, open_file

log = logging.getLogger(__name__)
RETRIES = (1.0, 10.0)
"""Seconds to wait before a shard is opened again after a broken connection, which occurs in runs of days."""
_BLOCK = 2**20  # bytes
_LARGEST_HEADER = 2**20  # bytes: names and times
LARGEST_FILE = 2**28
"""Bytes of the largest file in a shard that is read."""
FILE_NAMES: dict[Modality, tuple[str, ...]] = {
    "image": ("image",),
    "audio": ("audio", "audio_left", "audio_right"),
    "depth": ("depth",),
}
"""Names of a modality's files in a shard, without extension; BatVision V1 has one file per ear."""


def require_webdataset() -> Any:
    """Import webdataset.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import webdataset
    except ImportError as error:
        raise ConfigError(f"shards need the package webdataset, which is not installed: {INSTALL}") from error
    return webdataset


@dataclass(frozen=True)
class ShardSelection:
    """A shard and the selection of its samples.

    Attributes:
        shard: the file.
        rooms: rooms whose samples are read; None for all.
        samples: number of selected samples.
    """

    shard: Shard
    rooms: frozenset[str] | None
    samples: int


@dataclass(frozen=True)
class _Metadata:
    """The JSON file of a sample."""

    name: str
    location: str
    room: str
    source: str


@dataclass(frozen=True)
class ShardReader:
    """Reads shards from a folder or an address.

    Attributes:
        address: folder or address of the shards.
        modalities: files to extract; others are skipped.
        cache: folder in which shards from an address are kept; None for no cache.
    """

    address: Path | str
    modalities: tuple[Modality, ...]
    cache: Path | None = None

    def records(self, selection: ShardSelection) -> Iterator[StoredRecord]:
        """The selected samples of a shard in order. Its contents are checked at its end.

        Raises:
            ConfigError: webdataset is not installed.
            DataError: the shard is missing, truncated, or differs from the index.
        """
        shard, name = selection.shard, join(self.address, selection.shard.name)
        count = selected = 0
        for sample in self._samples(shard, name):
            count += 1
            record = self._record(sample, name)
            if selection.rooms is None or record.room in selection.rooms:
                selected += 1
                yield record
        if (count, selected) != (shard.samples, selection.samples):
            raise damaged_error(name, f"it holds {count} samples, but the index lists {shard.samples}")

    def _samples(self, shard: Shard, name: str) -> Iterator[dict[str, Any]]:
        """A shard's samples in webdataset's form. After a broken connection the shard is opened again."""
        count = 0
        for wait in (*RETRIES, None):
            try:
                for sample in islice(self._read_once(shard, name), count, None):
                    count += 1
                    yield sample
                return
            except (ConnectionBrokenError, tarfile.TarError, ValueError, RecursionError) as error:
                reason = f"after {count} of {shard.samples} samples: {_message(error)}"
                if wait is None or isinstance(self.address, Path):
                    raise damaged_error(name, reason) from error
                if cached := self._cached(shard):
                    cached.unlink(missing_ok=True)  # it is fetched again
                log.warning("%s failed %s; retrying in %g s", name, reason, wait)
                time.sleep(wait)

    def _read_once(self, shard: Shard, name: str) -> Iterator[dict[str, Any]]:
        group_by_keys = require_webdataset().tariterators.group_by_keys
        with self._open(shard) as file:
            size = _size(file)
            if size not in (None, shard.bytes):
                raise damaged_error(name, f"it has {size} bytes, but the index lists {shard.bytes}")
            stream = _HashingStream(file)
            yield from group_by_keys(self._members(stream, name))
            if stream.finish() != shard.sha256:
                if cached := self._cached(shard):
                    cached.unlink(missing_ok=True)
                    raise DataError(f"{cached} is damaged and removed: start again, and the shard is fetched again")
                raise damaged_error(name, "its hash differs from the index")

    def _members(self, stream: Stream, name: str) -> Iterator[dict[str, Any]]:
        """The requested files in webdataset's form, whose own reader requests 10 kB at a time."""
        with tarfile.open(None, "r|", cast(IO[bytes], stream), _BLOCK, tarinfo=_Member) as tar:
            for member in tar:
                if not self._is_requested(member.name):
                    continue
                # A link would lead to another member, and a sparse file to more bytes than the shard holds.
                if not member.isreg() or member.issparse() or member.size > LARGEST_FILE:
                    raise damaged_error(name, f"{member.name!a} is no file of at most {LARGEST_FILE >> 20} MB")
                relative_path(member.name, name)
                if file := tar.extractfile(member):
                    yield {"__url__": name, "fname": member.name, "data": file.read()}

    def _is_requested(self, member: str) -> bool:
        _, file_name, *_ = f"{member}..".split(".")
        return file_name == "json" or any(file_name in FILE_NAMES[modality] for modality in self.modalities)

    def _record(self, sample: dict[str, Any], shard: str) -> StoredRecord:
        key = sample["__key__"]
        files = {name.split(".")[0]: name for name in sample if not name.startswith("__")}

        def extract(modality: Modality) -> tuple[StoredFile, ...]:
            if modality not in self.modalities:
                return ()
            present = tuple(files[name] for name in FILE_NAMES[modality] if name in files)
            if not present:
                raise damaged_error(shard, f"sample {key} has no {modality}")
            return tuple(StoredFile(f"{key}.{name}", sample[name]) for name in present)

        try:
            metadata = parse(_Metadata, parse_json(sample.get("json", b"")))
        except SchemaError as error:
            raise damaged_error(shard, f"sample {key} has no metadata ({error})") from error
        relative_path(metadata.name, f"{shard}, sample {key}")
        image, depth = extract("image"), extract("depth")
        return StoredRecord(
            name=metadata.name,
            location=metadata.location,
            room=metadata.room,
            image=image[0] if image else None,
            audio=extract("audio"),
            depth=depth[0] if depth else None,
            source=f"{shard} ({metadata.source})",
        )

    def _open(self, shard: Shard) -> AbstractContextManager[Stream]:
        if isinstance(self.address, Path):
            return open_file(self.address, shard.name)
        cached = self._cached(shard)
        if cached is None:
            return _monitored(open_file(self.address, shard.name))
        if not (cached.is_file() and cached.stat().st_size == shard.bytes):
            self._fetch(shard, cached)
        return cached.open("rb")

    def _cached(self, shard: Shard) -> Path | None:
        """Where a shard from an address is kept; None if it is not."""
        if self.cache is None or isinstance(self.address, Path):
            return None
        # The hash in the name distinguishes shards that were packed again.
        return self.cache / f"{shard.sha256[:16]}-{shard.name}"

    def _fetch(self, shard: Shard, cached: Path) -> None:
        name, digest = join(self.address, shard.name), hashlib.sha256()
        with _monitored(open_file(self.address, shard.name)) as source, atomic_write(cached) as unfinished:
            with unfinished.open("wb") as target:
                for piece in chunks(source):
                    digest.update(piece)
                    try:
                        target.write(piece)
                    except OSError as error:
                        raise DataError(
                            f"{cached} cannot be written ({error.strerror}): give --shard_cache a folder with enough "
                            "space for the shards, or omit it"
                        ) from error
            if digest.hexdigest() != shard.sha256:
                raise damaged_error(name, "its hash differs from the index")


class _Member(tarfile.TarInfo):
    """A member whose extended header, which tarfile reads before anyone sees the member, has a moderate size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        """A member from its header; raises a ReadError for one that is no file and has many bytes."""
        member = super().frombuf(buf, encoding, errors)
        if not member.isreg() and member.size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a member that is no file has {member.size:,} bytes")
        return member


class ConnectionBrokenError(Exception):
    """Reading from an address failed. It replaces the exceptions of the various libraries."""


class _MonitoredStream:
    """A file at an address, whose read errors become distinguishable from those of the local disk."""

    def __init__(self, file: Stream) -> None:
        self.file = file
        self.size: int | None = getattr(file, "size", None)  # if the server reports it

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self.file.read(size)
        except MemoryError:
            raise
        except Exception as error:  # each kind of address raises errors of its own
            raise ConnectionBrokenError(str(error) or type(error).__name__) from error


@contextmanager
def _monitored(opening: AbstractContextManager[Stream]) -> Iterator[Stream]:
    with opening as file:
        yield _MonitoredStream(file)


class _HashingStream:
    """A file that is hashed while it is read sequentially."""

    def __init__(self, file: Stream) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self.file.read(size)
        self.digest.update(piece)
        return piece

    def finish(self) -> str:
        """The hash of the whole file; reads the rest of it."""
        for piece in chunks(self.file):
            self.digest.update(piece)
        return self.digest.hexdigest()


def _size(file: Stream) -> int | None:
    """Size of an open file in bytes; None if unknown."""
    if isinstance(file, io.BufferedReader):
        return os.fstat(file.fileno()).st_size
    return getattr(file, "size", None)


def _message(error: Exception) -> str:
    """An error's message without the file names that webdataset appends."""
    first = error.args[0] if error.args and isinstance(error.args[0], str) else type(error).__name__
    return first.split(" @ ")[0]


def damaged_error(name: str, reason: str) -> DataError:
    """The error for a shard that is not what the index lists."""
    return DataError(
        f"shard {name} is damaged or truncated: {reason}; copy it again from its source, or pack it again with "
        "`echodepth shard`"
    )
