"""Memory-mapped arrays of equally many rows in one folder, with an ``index.json`` that identifies their contents.

The index is written atomically, once the arrays are on the disk, and holds their digests. Arrays that it does not name
do not count, so that an interrupted writer leaves no damaged store behind.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError, DataError, is_of_machine
from echodepth.core.integrity import DamageError, find_damaged, seal, unseal
from echodepth.core.safe_paths import plain_name

log = logging.getLogger(__name__)
INDEX = "index.json"


def short_hash(settings: Any, digits: int = 16) -> str:
    """A hexadecimal hash of plain values, independent of the order of their keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:digits]


def file_stamp(path: Path) -> list[int] | None:
    """Size in bytes and modification time in ns of a file; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def fingerprint(paths: Iterable[Path]) -> str:
    """A hash of the names, sizes and modification times of files; a missing file has a value of its own."""
    digest = hashlib.sha256()
    for path in paths:
        stamp = file_stamp(path)
        digest.update(f"{path}:{stamp[0]}:{stamp[1]}\n".encode() if stamp else f"{path}:missing\n".encode())
    return digest.hexdigest()


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a store.

    Raises:
        OSError: there is none.
        ValueError: it is no JSON, or differs from its digest.
    """
    return _read_index(folder)[0]


def _read_index(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The index and the digests of the arrays by file name; raises as ``read_index`` does."""
    index, digests = unseal(json.loads((folder / INDEX).read_text()))
    if digests is None:
        raise DamageError(f"{INDEX} holds no digests")
    return index, digests


def write_index(folder: Path, index: Mapping[str, Any], arrays: Iterable[str] = ()) -> None:
    """Write the index of a store atomically, with the digests of its arrays, of which none is being written."""
    sealed = seal(index, folder, [f"{name}.npy" for name in arrays])
    with atomic_write(folder / INDEX) as unfinished:
        unfinished.write_text(json.dumps(sealed) + "\n")


def damaged_arrays(folder: Path, arrays: Iterable[str], verify: bool = False) -> list[str]:
    """Names of the arrays that are missing or differ from their digests in the index.

    Args:
        folder: of the store.
        arrays: names of the arrays to check.
        verify: read them even if they have not changed since they were checked last.

    Raises:
        DataError: a name is not that of a file in the folder.
        OSError, ValueError: as ``read_index`` does.
    """
    digests = _read_index(folder)[1]
    names = [plain_name(f"{name}.npy", str(folder / INDEX)) for name in arrays]
    files = {name: digests.get(name, "") for name in names}
    return [name.removesuffix(".npy") for name in find_damaged(folder, files, verify)]


def allocate(
    folder: Path, arrays: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], remedy: str
) -> dict[str, np.memmap]:
    """Create arrays of the given types and shapes for writing, with all their space on the disk.

    Writing to a mapped file on a full disk ends the process with SIGBUS instead of raising an error.

    Args:
        folder: created if necessary.
        arrays: type and shape by name.
        remedy: how to need less space or find more, for the message.

    Raises:
        ConfigError: the disk has too little space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in arrays.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(f"{folder.parent} needs {needed / 1e9:.3g} GB and has {free / 1e9:.3g}: {remedy}")
    log.info("%s: writing %.3g GB", folder.parent, needed / 1e9)
    try:
        return {name: _reserve(folder / f"{name}.npy", dtype, shape) for name, (dtype, shape) in arrays.items()}
    except OSError as error:  # a quota, or other processes that fill the disk
        for name in arrays:
            (folder / f"{name}.npy").unlink(missing_ok=True)
        raise ConfigError(
            f"{folder.parent} cannot hold {needed / 1e9:.3g} GB more ({error.strerror}): {remedy}"
        ) from error


def _reserve(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.memmap:
    """A new array whose blocks exist; an OSError if the disk has too few."""
    array = open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def write_rows(folder: Path, rows: range, values: Mapping[str, np.ndarray]) -> None:
    """Write some rows of allocated arrays; several processes may write different rows at once."""
    for name, array in values.items():
        open_memmap(folder / f"{name}.npy", "r+")[rows.start : rows.stop] = array


class ArrayStore:
    """Reads a store. Each process maps the arrays itself, at their first use.

    Args:
        folder: of the store.
        arrays: names of the arrays to read.
        rows: name of each row, in order.

    Raises:
        DataError: the name of an array is not that of a file in the folder.

    Attributes:
        rows: index of each row by its name.
    """

    def __init__(self, folder: Path, arrays: Iterable[str], rows: Iterable[str]) -> None:
        self.folder = folder
        self.names = [plain_name(name, str(folder / INDEX)) for name in arrays]
        self.rows = {name: row for row, name in enumerate(rows)}

    def __getstate__(self) -> dict[str, Any]:
        # Pickling a memory map would copy all its contents.
        return {"folder": self.folder, "names": self.names, "rows": self.rows}

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, mapped copy-on-write: assignments stay in memory.

        Raises:
            OSError: an array is missing.
            DataError: an array is damaged, or its length differs from the number of rows.
        """
        try:
            arrays = {name: np.load(self.folder / f"{name}.npy", mmap_mode="c") for name in self.names}
        except OSError:
            raise
        except Exception as error:  # a damaged header raises errors of many types
            if is_of_machine(error):
                raise
            raise self._damaged(str(error).partition("\n")[0][:200]) from error
        # Of an archive of arrays, np.load returns another object.
        if any(not isinstance(each, np.ndarray) or each.shape[:1] != (len(self.rows),) for each in arrays.values()):
            raise self._damaged("their lengths differ from the index")
        return arrays

    def _damaged(self, reason: str) -> DataError:
        return DataError(f"{self.folder}: its arrays are damaged ({reason}): delete it and make it again")

    def take(self, name: str, rows: Sequence[str]) -> np.ndarray:
        """Some rows of an array, by their names."""
        return np.asarray(np.take(self.arrays[name], [self.rows[row] for row in rows], axis=0))


class ResumableWriter:
    """Writes a store in an ``.unfinished`` folder beside its own, row by row, and moves it into place when complete.

    A writer with the same index and arrays resumes where an interrupted one stopped; any other starts again.

    Args:
        folder: of the finished store.
        index: contents of its index.
        arrays: names of its arrays.
        rows: name of each row, in order.
        remedy: how to need less disk space or find more, for the message.
    """

    def __init__(
        self, folder: Path, index: Mapping[str, Any], arrays: Sequence[str], rows: Iterable[str], remedy: str
    ) -> None:
        self.folder = folder
        self.unfinished = folder.with_name(f"{folder.name}.unfinished")
        self.remedy = remedy
        self.rows = {name: row for row, name in enumerate(rows)}
        self.arrays: dict[str, np.memmap] = {}
        if not self._resume(index, arrays):
            shutil.rmtree(self.unfinished, ignore_errors=True)
            write_index(self.unfinished, index)
            self.finished = _reserve(self.unfinished / "finished.npy", np.dtype(bool), (len(self.rows),))

    @property
    def done(self) -> int:
        """Number of finished rows."""
        return int(self.finished.sum())

    def missing(self) -> list[int]:
        """Indices of the unfinished rows."""
        return np.flatnonzero(~self.finished).tolist()

    def write(self, names: Sequence[str], values: Mapping[str, np.ndarray]) -> None:
        """Write some rows. They count as finished once they are on disk.

        Args:
            names: of the rows.
            values: the rows of every array, by its name; the first call determines types and shapes.

        Raises:
            ConfigError: the disk has too little space.
        """
        if not self.arrays:
            shapes = {name: (array.dtype, (len(self.rows), *array.shape[1:])) for name, array in values.items()}
            self.arrays = allocate(self.unfinished, shapes, self.remedy)
        rows = [self.rows[name] for name in names]
        for name, array in values.items():
            self.arrays[name][rows] = array
            self.arrays[name].flush()
        self.finished[rows] = True
        self.finished.flush()

    def finish(self) -> None:
        """Move the store into its place, with the digests of its arrays; an older one is replaced."""
        write_index(self.unfinished, read_index(self.unfinished), self.arrays)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.unfinished.replace(self.folder)

    def _resume(self, index: Mapping[str, Any], arrays: Sequence[str]) -> bool:
        """Whether the same store was begun. Before the first finished row its arrays may be missing."""
        try:
            previous = read_index(self.unfinished)
            self.finished = open_memmap(self.unfinished / "finished.npy", "r+")
            if previous != index or not self.finished.any():
                return False
            self.arrays = {name: open_memmap(self.unfinished / f"{name}.npy", "r+") for name in arrays}
        except (OSError, ValueError):
            return False
        return True
