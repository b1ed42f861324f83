"""Names of a dataset's rows: each tells its row apart from all others, whichever modalities and splits are read."""

import logging
import re
from collections.abc import Iterable, Sequence

from echodepth.core.errors import DataError, listed
from echodepth.data.records import Modality, Record

log = logging.getLogger(__name__)
_FOLDERS: dict[Modality, tuple[str, ...]] = {
    "depth": ("depth",),
    "audio": ("audio", "left", "right"),
    "image": ("camera", "left"),
}
"""Folders of a kind of file, which tell no rows apart."""
_PREFIXES: dict[Modality, tuple[str, ...]] = {
    "depth": ("depth_",),
    "audio": ("audio_", "left_", "right_"),
    "image": ("camera_",),
}


def place(path: str, modality: Modality, location: str) -> tuple[str, str]:
    """The folder of a file below its location, without those of its kind, and its stem without their prefix.

    ``Kitchen/monday/depth/depth_7.npy`` in the location Kitchen is ``("monday", "7")``.
    """
    *folders, name = [part for part in path.split("/") if part not in ("", ".")] or [path]
    if folders and folders[0] == location:
        del folders[0]
    while folders and folders[-1] in _FOLDERS[modality]:
        del folders[-1]
    stem = name.rpartition(".")[0] or name
    for prefix in _PREFIXES[modality]:
        if stem.startswith(prefix):
            stem = stem[len(prefix) :]
            break
    return "/".join(folders), stem


def row_name(base: str, files: Sequence[tuple[Modality, str]], location: str) -> str:
    """The name of a row: its base, and of each other file what differs from the first one.

    Rows share a depth map if several chirps were recorded in one pose, and then differ in the sound's name alone.

    Args:
        base: names the first file.
        files: all files of the row, with their paths relative to the root.
        location: of the row.
    """
    (modality, path), *others = files
    first, name = place(path, modality, location), base
    for kind, other in others:
        folder, stem = place(other, kind, location)
        if (folder, stem) != first:
            # One path component: names become paths of results.
            addition = f"{kind}_{stem}" if folder == first[0] else f"{folder}/{kind}_{stem}"
            name += "+" + re.sub(r"[/\\\x00-\x1f\x7f]", "-", addition)
    return name


def require_unique_names(records: Iterable[Record], skip_bad: bool) -> list[Record]:
    """The rows, of which no two have one name; with ``skip_bad`` the first of each name, with a warning.

    Raises:
        DataError: two rows have one name, so that one would be taken for the other.
    """
    by_name: dict[str, Record] = {}
    repeated: list[tuple[Record, Record]] = []
    for record in records:
        first = by_name.setdefault(record.name, record)
        if first is not record:
            repeated.append((first, record))
    if repeated and not skip_bad:
        first, second = repeated[0]
        more = f" (and {len(repeated) - 1} more rows)" if len(repeated) > 1 else ""
        raise DataError(
            f"{first.source} and {second.source}: both rows are {first.name}{more}{_reason(first, second)}; --skip_bad "
            "reads the first of them only"
        )
    if repeated:
        lines = (f"{first.source} and {second.source}: both rows are {first.name}" for first, second in repeated)
        log.warning("%d rows with the name of an earlier row are left out:\n  %s", len(repeated), "\n  ".join(lines))
    return list(by_name.values())


def _reason(first: Record, second: Record) -> str:
    """Why two rows have one name, and what to do: they list the same files, or files that only seem to be the same."""
    files = {
        kind: [*zip(ones, others, strict=True)]
        for kind, ones, others in (
            ("depth map", [first.depth], [second.depth]),
            ("recording", first.audio, second.audio),
            ("image", [first.image], [second.image]),
        )
    }
    for kind, pairs in files.items():
        for one, other in pairs:
            if one != other:
                return (
                    f", though the {kind} of one is {one} and that of the other {other}: names leave out suffixes, and "
                    "folders and prefixes such as depth/ and depth_, and have - for / between folders; rename one file"
                )
    read = [kind for kind, pairs in files.items() if pairs and pairs[0] != (None, None)]
    return f", as they list the same {listed(read)}: delete one of them, or rename their other files if those differ"
