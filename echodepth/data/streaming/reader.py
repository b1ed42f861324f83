"""From shards to their samples' files, one after the other; a shard that is not whole stops the reader by name."""

import hashlib
import io
import json
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
from echodepth.data.sample import Modality, StoredFile, StoredRecord
from echodepth.data.streaming.index import INSTALL, Shard, Stream, chunks, located, open_file

log = logging.getLogger(__name__)
RETRIES = (1.0, 10.0)
"""Seconds to wait before a shard at an address is opened again, whose connection broke: a run of days meets that."""
_BLOCK = 2**20  # bytes
PART_NAMES: dict[Modality, tuple[str, ...]] = {
    "image": ("image",),
    "audio": ("audio", "audio_left", "audio_right"),
    "depth": ("depth",),
}
"""How a part's files are called in a shard, before their ending; V1 has one for each ear."""


def require_webdataset() -> Any:
    """The library webdataset.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import webdataset
    except ImportError as error:
        raise ConfigError(f"shards are read and written with webdataset, which is not installed: {INSTALL}") from error
    return webdataset


@dataclass(frozen=True)
class WantedShard:
    """A shard, and what of it is read.

    Attributes:
        shard: the file.
        rooms: whose samples are wanted; None: all.
        samples: how many those are.
    """

    shard: Shard
    rooms: frozenset[str] | None
    samples: int


@dataclass(frozen=True)
class ShardReader:
    """Reads shards from a folder or an address.

    Attributes:
        place: where they are.
        parts: what is taken out of them; the rest is passed over.
        cache: a folder where shards from an address are kept; None: nowhere.
        check_hashes: whether a shard that is read to its end is compared with its hash. One that is fetched into the
            cache always is.
    """

    place: Path | str
    modalities: tuple[Modality, ...]
    cache: Path | None = None
    check_hashes: bool = False

    def records(self, wanted: WantedShard) -> Iterator[StoredRecord]:
        """The wanted samples of a shard in its order; whether it was whole is known at its end.

        Raises:
            ConfigError: webdataset is not installed.
            DataError: the shard is not there, cut short, or not what the index says.
        """
        shard, name = wanted.shard, located(self.place, wanted.shard.name)
        seen = given = 0
        for sample in self._samples(shard, name):
            seen += 1
            record = self._record(sample, name)
            if wanted.rooms is None or record.room in wanted.rooms:
                given += 1
                yield record
        if (seen, given) != (shard.samples, wanted.samples):
            raise _damaged(name, f"it holds {seen} samples, and the index says {shard.samples}")

    def _samples(self, shard: Shard, name: str) -> Iterator[dict[str, Any]]:
        """A shard's samples as webdataset gives them; where a connection breaks, the shard is opened again."""
        seen = 0
        for wait in (*RETRIES, None):
            try:
                for sample in islice(self._read_once(shard, name), seen, None):
                    seen += 1
                    yield sample
                return
            except (BrokenOffError, tarfile.TarError, ValueError) as error:
                told = f"after {seen} of {shard.samples} samples: {_told(error)}"
                if wait is None or isinstance(self.place, Path):
                    raise _damaged(name, told) from error
                log.warning("%s is read anew in %g s, for it broke off %s", name, wait, told)
                time.sleep(wait)

    def _read_once(self, shard: Shard, name: str) -> Iterator[dict[str, Any]]:
        group_by_keys = require_webdataset().tariterators.group_by_keys
        with self._open(shard) as file:
            size = _size(file)
            if size not in (None, shard.bytes):
                raise _damaged(name, f"it has {size} bytes, and the index says {shard.bytes}")
            stream = _Hashing(file) if self.check_hashes else file
            yield from group_by_keys(self._members(stream, name))
            if isinstance(stream, _Hashing) and stream.finish() != shard.sha256:
                raise _damaged(name, "its hash is another than in the index")

    def _members(self, stream: Stream, name: str) -> Iterator[dict[str, Any]]:
        """The wanted files, as webdataset's own reader gives them, which asks for 10 kB at a time and skips nothing."""
        on_disk = isinstance(stream, io.BufferedReader)
        with tarfile.open(None, "r:" if on_disk else "r|", cast(IO[bytes], stream), _BLOCK) as tar:
            for member in tar:
                if self._is_wanted(member.name) and (file := tar.extractfile(member)):
                    yield {"__url__": name, "fname": member.name, "data": file.read()}

    def _is_wanted(self, member: str) -> bool:
        _, part, *_ = f"{member}..".split(".")
        return part == "json" or any(part in PART_NAMES[wanted] for wanted in self.modalities)

    def _record(self, sample: dict[str, Any], shard: str) -> StoredRecord:
        key = sample["__key__"]
        files = {name.split(".")[0]: name for name in sample if not name.startswith("__")}

        def of_part(part: Modality) -> tuple[StoredFile, ...]:
            if part not in self.modalities:
                return ()
            found = tuple(files[name] for name in PART_NAMES[part] if name in files)
            if not found:
                raise _damaged(shard, f"sample {key} has no {part}")
            return tuple(StoredFile(f"{key}.{name}", sample[name]) for name in found)

        try:
            facts = json.loads(sample["json"])
            name, location, room, source = (facts[fact] for fact in ("name", "location", "room", "source"))
        except (KeyError, ValueError) as error:
            raise _damaged(shard, f"sample {key} does not say what it is ({error})") from error
        image, depth = of_part("image"), of_part("depth")
        return StoredRecord(
            name=name,
            location=location,
            room=room,
            image=image[0] if image else None,
            audio=of_part("audio"),
            depth=depth[0] if depth else None,
            source=f"{shard} ({source})",
        )

    def _open(self, shard: Shard) -> AbstractContextManager[Stream]:
        if isinstance(self.place, Path):
            return open_file(self.place, shard.name)
        if self.cache is None:
            return _watched(open_file(self.place, shard.name))
        # The hash in its name: a shard that was packed anew is another file.
        kept = self.cache / f"{shard.sha256[:16]}-{shard.name}"
        if not (kept.is_file() and kept.stat().st_size == shard.bytes):
            self._fetch(shard, kept)
        return kept.open("rb")

    def _fetch(self, shard: Shard, kept: Path) -> None:
        name, digest = located(self.place, shard.name), hashlib.sha256()
        with _watched(open_file(self.place, shard.name)) as source, atomic_write(kept) as unfinished:
            with unfinished.open("wb") as target:
                for piece in chunks(source):
                    digest.update(piece)
                    try:
                        target.write(piece)
                    except OSError as error:
                        raise DataError(
                            f"{kept} cannot be written ({error.strerror}): give --shard_cache a folder with room for "
                            "the shards, or leave it out"
                        ) from error
            if digest.hexdigest() != shard.sha256:
                raise _damaged(name, "its hash is another than in the index")


class BrokenOffError(Exception):
    """Reading from an address failed, whatever its library calls that."""


class _Watched:
    """A file at an address, whose errors are told from those of this machine's disk."""

    def __init__(self, file: Stream) -> None:
        self.file = file
        self.size: int | None = getattr(file, "size", None)  # where the server tells

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self.file.read(size)
        except Exception as error:
            raise BrokenOffError(str(error) or type(error).__name__) from error


@contextmanager
def _watched(opening: AbstractContextManager[Stream]) -> Iterator[Stream]:
    with opening as file:
        yield _Watched(file)


class _Hashing:
    """A file that is read from its beginning, and hashed meanwhile."""

    def __init__(self, file: Stream) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self.file.read(size)
        self.digest.update(piece)
        return piece

    def finish(self) -> str:
        """The hash of all of it, what was not read so far included."""
        for piece in chunks(self.file):
            self.digest.update(piece)
        return self.digest.hexdigest()


def _size(file: Stream) -> int | None:
    """Bytes of an opened file; None where that is not known."""
    if isinstance(file, io.BufferedReader):
        return os.fstat(file.fileno()).st_size
    return getattr(file, "size", None)


def _told(error: Exception) -> str:
    """What an error says, without the names that webdataset hangs on it."""
    first = error.args[0] if error.args and isinstance(error.args[0], str) else type(error).__name__
    return first.split(" @ ")[0]


def _damaged(name: str, what: str) -> DataError:
    return DataError(
        f"shard {name} is damaged or cut short: {what}; copy it again from where it was packed, or pack it again with "
        "`echodepth shard`"
    )
