"""Files that a user or a dataset names: regular ones only, and text in the encodings that programs mark."""

import codecs
import stat
from collections.abc import Iterable
from pathlib import Path

from echodepth.core.errors import DataError

LARGEST_TEXT = 2**26
"""Bytes of the largest list: 300,000 rows of BatVision's."""
_MOST_WORDS = 2**22
_ENDS_OF_WORDS = ", ;\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What ends words, cells and lines: each of these becomes an object of fifty bytes."""
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def why_no_file(path: Path) -> str:
    """Why a path leads to no regular file, or an empty string if it does."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError:
        return f"{path} does not exist"
    return "" if kind == stat.S_IFREG else f"{path} is {_KINDS.get(kind, 'no regular file')}, not a file"


def regular_file(path: Path) -> Path:
    """The path itself, unless something other than a file is there; whoever opens it reports a missing file.

    Raises:
        DataError: it is a folder, or a pipe, socket or device, on which reading may wait or go on for ever.
    """
    if (reason := why_no_file(path)) and path.exists():
        raise DataError(f"{reason}: give a file")
    return path


def read_bounded(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """The bytes of a file of a moderate size: a sparse one of terabytes takes no room in an archive.

    Raises:
        DataError: it is no regular file, or larger.
        OSError: it cannot be read.
    """
    with regular_file(path).open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise DataError(f"{path} has more than {largest >> 20} MB, which no such file needs: split it")
    return content


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Raises:
        DataError: it is no regular file, too large, or its text has another encoding.
        OSError: it cannot be read.
    """
    content = read_bounded(path)
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        spelled = encoding.removesuffix("-sig").upper()
        raise DataError(f"{path}, line {line}: the text is not {spelled}: save the file as UTF-8") from error
    if "\0" in text:
        raise DataError(f"{path} has zero bytes, as UTF-16 without a byte order mark has: save the file as UTF-8")
    if (words := sum(map(text.count, _ENDS_OF_WORDS))) > _MOST_WORDS:
        raise DataError(f"{path} has {words:,} words or cells, more than {_MOST_WORDS:,}: split it")
    return text


def in_home(path: str | Path) -> Path:
    """The path with the home folder in place of ``~``: a shell replaces it neither in quotes nor after ``=``."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user, or one without a home folder
        return Path(path)


def given_paths(given: Iterable[Path]) -> list[Path]:
    """What quoted patterns find, sorted, and the other paths as they are, also those that do not exist.

    Raises:
        DataError: a pattern finds nothing.
    """
    paths = []
    for path in given:
        found = sorted(matching_paths(path)) if any(character in str(path) for character in "*?[") else [path]
        if not found:
            raise DataError(f"{path} does not exist, and finds nothing as a pattern")
        paths += found
    return paths


def matching_paths(pattern: str | Path) -> list[Path]:
    """The paths that a quoted pattern finds, such as ``~/rec[1]/*.wav``, in no order; a name as it stands comes first.

    Args:
        pattern: a path; each of its parts is a name or, where there is none of that name, a glob pattern.
    """
    given = in_home(pattern)
    paths = [Path(given.anchor)]
    for part in given.parts[1:] if given.anchor else given.parts:
        # Two patterns with ** can reach one path in several ways.
        paths = list(dict.fromkeys(found for folder in paths for found in _expand(folder, part)))
    return paths


def _expand(folder: Path, part: str) -> list[Path]:
    """What one part of a pattern finds: a name as it stands, or else a pattern, at last with brackets as they stand."""
    if part == ".." or (folder / part).exists():
        return [folder / part]
    for pattern in (part, part.replace("[", "[[]")):
        try:
            found = list(folder.glob(pattern))
        except ValueError:  # ** beside other characters
            return []
        # Hidden files are no inputs: macOS leaves ._audio_0.wav on foreign disks.
        if found := [path for path in found if part.startswith(".") or not path.name.startswith(".")]:
            return found
    return []
