"""Files and folders that are there whole or not at all, also after a kill or a power failure.

Everything is written beside its target, flushed to the disk and renamed. The name in between holds the machine and a
random number, and its writer locks it: what a killed process left is recognised by its lock being free, and removed
before the folder is next written to. Where a file system has no locks, leftovers are removed after a day.
"""

import ctypes
import errno
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, where leftovers are removed after a day
    fcntl = None  # type: ignore[assignment]

_ENDING = ".unfinished"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ABANDONED = 24 * 3600
"""Seconds without a change after which a file whose lock cannot be asked for is a leftover."""
_cleaned: set[tuple[int, Path]] = set()
"""Folders whose leftovers were removed, by the process that did so: forked processes inherit the set."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a path in the same folder to write to; it becomes ``path`` when the block ends well, else it is removed.

    The folder is made if need be. A reader never sees half a file, and an older file survives a failed write. Several
    processes, also of several machines, may write the same file.
    """
    with _beside(path, Path.touch) as unfinished:
        yield unfinished
        sync(unfinished)
        unfinished.replace(path)
        sync(path.parent)


@contextmanager
def atomic_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """Give a folder beside ``path`` to fill; it becomes ``path`` when the block ends well, else it is removed.

    Args:
        path: must not exist when the block ends, unless it is replaced.
        replace: exchange it with an older folder, which is there until the new one is. File systems that exchange no
            folders, such as NFS, need two renames, between which the older one is at ``previous(path)``.
    """
    with _without_empty_parents(path), scratch_folder(path) as unfinished:
        yield unfinished
        for each in (*unfinished.rglob("*"), unfinished):
            sync(each)
        if not (replace and path.exists()):
            unfinished.rename(path)
        elif not _exchange(unfinished, path):
            shutil.rmtree(previous(path), ignore_errors=True)
            path.rename(previous(path))
            unfinished.rename(path)
        sync(path.parent)
        if replace:
            shutil.rmtree(previous(path), ignore_errors=True)


@contextmanager
def _without_empty_parents(path: Path) -> Iterator[None]:
    """Remove the folders above ``path`` that a failed block has made, unless others have put something there."""
    missing = [each for each in path.parents if not each.exists()]
    try:
        yield
    except BaseException:
        for each in missing:
            with suppress(OSError):
                each.rmdir()
        raise


def previous(path: Path) -> Path:
    """Where an older folder is for the moment in which another takes its place, and after a kill in that moment."""
    return path.with_name(f"{path.name}.previous")


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A folder on the same disk as ``path``, beside it, which is removed at the end."""
    with _beside(path, Path.mkdir) as unfinished:
        yield unfinished


def move_into_place(files: Sequence[Path], folder: Path) -> None:
    """Move files that belong together to where they are read; the last one, by which they are found, comes last.

    They must lie on the same disk as the folder. An older last one is taken away first, so that it is never read
    beside new companions.
    """
    *companions, found = files
    for file in files:
        sync(file)
    if companions:
        (folder / found.name).unlink(missing_ok=True)
    for file in files:
        file.replace(folder / file.name)
    sync(folder)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed writers left in a folder and below it."""
    for path in folder.rglob(f".*{_ENDING}"):
        _remove_if_abandoned(path)


def sync(path: Path) -> None:
    """Flush a file or the entries of a folder to the disk: a rename is lasting once its folder is flushed.

    Raises:
        OSError: the file cannot be written: the disk is full or broken.
    """
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return  # Windows opens no folders
    # Windows flushes files that are open for writing only.
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems do not flush folders.
        if not is_folder or error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES):
            raise
    finally:
        os.close(descriptor)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; False where system or file system cannot."""
    libc: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    names = [os.fsencode(each) for each in (first, second)]
    if hasattr(libc, "renameat2"):  # Linux
        here = -100  # AT_FDCWD: relative paths start at the working directory
        return bool(libc.renameat2(here, names[0], here, names[1], 2) == 0)
    if hasattr(libc, "renamex_np"):  # macOS
        return bool(libc.renamex_np(*names, 2) == 0)
    return False


@contextmanager
def _beside(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    _clean_once(path.parent)
    unfinished, lock = _make_locked(path, make)
    try:
        yield unfinished
    except OSError as error:
        if error.filename is None and error.errno in _NO_SPACE:  # a write does not know its file's name
            error.filename = str(path)
        raise
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def _make_locked(path: Path, make: Callable[[Path], None]) -> tuple[Path, int | None]:
    host = re.sub(r"\W", "-", socket.gethostname())[:32]
    # A name may have 255 bytes.
    start = path.name.encode()[:128].decode(errors="ignore")
    while True:
        unfinished = path.with_name(f".{start}.{host}-{os.getpid()}-{secrets.token_hex(6)}{_ENDING}")
        make(unfinished)
        # Another process that removes leftovers may come between: it takes the file for one.
        with suppress(FileNotFoundError, BlockingIOError):
            lock = _lock(unfinished)
            if unfinished.exists():
                return unfinished, lock
            if lock is not None:
                os.close(lock)


def _lock(path: Path) -> int | None:
    """Lock a path as long as the returned descriptor is open, at the latest until this process ends.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: this file system or machine has no locks.
    """
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _clean_once(folder: Path) -> None:
    key = (os.getpid(), folder.absolute())
    if key not in _cleaned:
        _cleaned.add(key)
        for path in folder.glob(f".*{_ENDING}"):
            _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    with suppress(OSError):  # being written, gone, or not ours to remove
        lock = _lock(path)
        try:
            if time.time() - path.stat().st_mtime < (_ABANDONED if lock is None else 0):
                return
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        finally:
            if lock is not None:
                os.close(lock)
