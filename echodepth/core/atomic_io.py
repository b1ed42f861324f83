"""Files that are there whole or not at all."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_ENDING = ".unfinished"
_ABANDONED = 60  # seconds: nothing here takes nearly as long to write


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a path in the same folder to write to; it becomes ``path`` when the block ends well, else it is removed.

    The folder is made if need be. A reader never sees half a file, and an older file survives a failed write. Several
    processes may write the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{_ENDING}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def move_into_place(files: Sequence[Path], folder: Path) -> None:
    """Move files that belong together to where they are read; the last one, by which they are found, comes last.

    They must lie on the same disk as the folder. An older last one is taken away first, so that it is never read
    beside new companions.
    """
    *companions, found = files
    if companions:
        (folder / found.name).unlink(missing_ok=True)
    for file in files:
        file.replace(folder / file.name)


def remove_unfinished(folder: Path) -> None:
    """Remove what writers left below a folder that were killed in the middle."""
    for path in folder.rglob(f".*{_ENDING}"):
        if time.time() - path.stat().st_mtime > _ABANDONED:
            path.unlink(missing_ok=True)
