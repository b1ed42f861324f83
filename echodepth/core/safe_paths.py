"""Names out of data: of files in tables, lists, indexes and records, which may come from anyone.

Every such name passes ``relative_path`` or ``plain_name``; one that is read or written below a folder passes
``DataRoot.join``, which resolves links too.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from echodepth.core.errors import DataError

_LONGEST = 255
"""Bytes of the longest file name that file systems take."""
_SUSPICIOUS = re.compile(r"\.\.|^[/\\]|^[A-Za-z]:|\\|[\x00-\x1f\x7f]|[^\x00-\x7f]").search
"""What no name that is surely harmless has; most names are, and need no closer look."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def relative_path(name: object, source: str) -> Path:
    """A name out of data as a path that leads below a root.

    Args:
        name: file name, or path relative to a root.
        source: the file and row that hold it, for messages.

    Raises:
        DataError: it is no text, empty, absolute, has a drive, ``..`` or control characters, or is too long.
    """
    return Path(_checked(name, source))


def plain_name(name: object, source: str) -> str:
    """A name out of data that is one file or folder, with no folder before it; raises as ``relative_path`` does."""
    path = relative_path(name, source)
    if len(path.parts) != 1 or "/" in str(name) or "\\" in str(name):
        raise DataError(f"{source}: {name!a} is no plain file name: it must not name a folder")
    return str(path)


def _checked(name: object, source: str) -> str:
    """The name itself; raises as ``relative_path`` does."""
    if not isinstance(name, str) or not name:
        raise DataError(f"{source}: {name!r} is no file name: give a path below the root")
    if (_SUSPICIOUS(name) or len(name) > _LONGEST) and (problem := _problem(name)):
        raise DataError(f"{source}: {name[:200]!a} {problem}: give the file's path below the root")
    return name


def _problem(name: str) -> str | None:
    parts = re.split(r"[/\\]", name)
    if _CONTROL.search(name):
        return "has control characters"
    if not parts[0] or re.match(r"[A-Za-z]:", name):
        return "is not relative to the dataset's root"
    if ".." in parts:
        return "leads out of its folder"
    try:
        too_long = any(len(os.fsencode(part)) > _LONGEST for part in parts)
    except UnicodeEncodeError:
        return "has characters that no file name has"
    return "is too long" if too_long else None


class DataRoot:
    """A folder with files that data name.

    Links are resolved once for each folder, so that a long table costs no system call for each of its rows.

    Args:
        folder: the root. It may be a link itself.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._resolved = folder.resolve()
        self._outside: dict[tuple[object, ...], Callable[[str], bool]] = {}

    def join(self, source: str, *names: object) -> Path:
        """The path of a file below the root; it need not exist.

        Args:
            source: the file and row that hold the names, for messages.
            names: what data name, one part or several.

        Raises:
            DataError: a name is unfit, see ``relative_path``, or a link leads out of the root.
        """
        path = self.folder.joinpath(*[_checked(name, source) for name in names])
        above, _, name = str(names[-1]).rpartition("/")
        folder: tuple[object, ...] = (*names[:-1], above)  # a path takes longer to make and to look up
        if name in ("", "."):
            folder, name = (path.parent,), path.name
        if folder not in self._outside:
            self._outside[folder] = self._find_links(path.parent)
        if self._outside[folder](name):
            raise DataError(
                f"{source}: {path} is a link to a place outside {self.folder}: put the file itself there, or give "
                "the folder that holds the files as the root"
            )
        return path

    def _find_links(self, folder: Path) -> Callable[[str], bool]:
        """Whether a name in a folder stands for a file outside the root."""
        if not folder.resolve().is_relative_to(self._resolved):
            return lambda name: True
        try:
            with os.scandir(folder) as entries:
                links = [entry.name for entry in entries if entry.is_symlink()]
        except OSError:
            return lambda name: False
        outside = {name for name in links if not (folder / name).resolve().is_relative_to(self._resolved)}
        return outside.__contains__
