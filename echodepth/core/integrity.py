"""SHA-256 of the files that echodepth writes, by which damage is found before a file is used.

A digest stands in one of three places:
* A JSON record (a model's ``config.json``, an index) has an entry ``seal`` with the digests of the files beside it and
  of the record itself.
* A file that is used alone ends with its digest: ``.pth`` and ``.pt2`` in the comment of their zip archive, ``.onnx``
  in an entry of its metadata, ``.xml`` in a comment. It survives every copy, upload and download.
* A dataset of many files has a list in the format of ``sha256sum``.
"""

import functools
import hashlib
import json
import logging
import os
import re
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import is_of_machine
from echodepth.core.input_files import read_bounded
from echodepth.core.run_paths import cache_folder

log = logging.getLogger(__name__)
SEAL = "seal"
"""Entry of a record that holds its digests."""
SUMS = "SHA256SUMS"
"""List of the digests of a dataset's files, which ``sha256sum --check`` reads too."""
LARGEST_WEIGHTS = 2**33
"""Bytes of the largest file of weights: two billion numbers of 32 bits."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_ONNX = b"\x72\x4a\x0a\x06sha256\x12\x40"  # ModelProto.metadata_props: an entry of 74 bytes, key sha256, value of 64
_ENDINGS = {".onnx": (_ONNX, b""), ".xml": (b"<!-- sha256 ", b" -->\n")}
_ZIP_ENDING = (b"sha256 ", b"")
_ZIP_END = b"PK\x05\x06"  # starts the last 22 bytes of an archive without a comment
_SETTLED = 2.0  # seconds: a file system's clock is coarser than two writes may follow each other


class DamageError(ValueError):
    """Contents that differ from their digest."""


def file_digest(path: Path) -> str | None:
    """SHA-256 of a file in hexadecimal; None if it cannot be read, or is a pipe or device."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def seal(record: Mapping[str, Any], folder: Path | None = None, files: Iterable[str] = ()) -> dict[str, Any]:
    """A record with the digests of itself and of files.

    Args:
        record: plain values for JSON.
        folder: of the files, which are on the disk when this returns: a record never outlives them.
        files: their names.
    """
    digests = {}
    for name in sorted(files):
        assert folder is not None
        with (folder / name).open("rb+") as file:
            os.fsync(file.fileno())
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return {**record, SEAL: {"files": digests, "sha256": _record_digest(record, digests)}}


def unseal(record: Any) -> tuple[dict[str, Any], dict[str, str] | None]:
    """A record without its seal, and the digests of files in it; None if it has no seal.

    Raises:
        DamageError: the record differs from its digest, or is no mapping.
    """
    if not isinstance(record, dict):
        raise DamageError("it is no mapping")
    content = dict(record)
    found = content.pop(SEAL, None)
    if found is None:
        if any(isinstance(value, dict) and value.keys() == {"files", "sha256"} for value in content.values()):
            raise DamageError(f"its entry {SEAL!r} has another name")
        return content, None
    if not (isinstance(found, dict) and found.keys() == {"files", "sha256"} and isinstance(found["files"], dict)):
        raise DamageError(f"its entry {SEAL!r} is none")
    if found["sha256"] != _record_digest(content, found["files"]):
        raise DamageError("its contents differ from its sha256")
    return content, found["files"]


def _record_digest(record: Mapping[str, Any], files: Mapping[str, str]) -> str:
    as_read = json.loads(json.dumps([record, files]))  # where keys are texts, and tuples lists
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


def seal_file(path: Path, *companions: Path) -> None:
    """Append the digest of a file that has none yet, and of companions that are used with it only."""
    before, after = _ENDINGS.get(path.suffix, _ZIP_ENDING)
    with path.open("rb+") as file:
        if path.suffix not in _ENDINGS:
            file.seek(-22, os.SEEK_END)
            if not _is_zip_end(file.read()):
                raise ValueError(f"{path} is no archive without a comment")
            file.seek(-2, os.SEEK_END)
            file.write((len(before) + 64).to_bytes(2, "little"))
        file.seek(0, os.SEEK_END)
        file.write(before + 64 * b"0" + after)
    digest = _sealed_digest(path, len(after), companions)
    with path.open("rb+") as file:
        file.seek(-64 - len(after), os.SEEK_END)
        file.write(digest)
        file.flush()
        os.fsync(file.fileno())


def check_file(path: Path, *companions: Path) -> bool:
    """Compare a file with the digest that ``seal_file`` appended.

    An archive without one, of another program, is compared with the archive's own checksums.

    Returns:
        Whether the file has a digest.

    Raises:
        DamageError: it differs from its digest, or an archive from its checksums.
        OSError: it cannot be read.
    """
    before, after = _ENDINGS.get(path.suffix, _ZIP_ENDING)
    for each in (path, *companions):
        check_size(each)
    with path.open("rb") as file:
        is_archive = file.read(2) == b"PK"
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(before) - 64 - len(after)))
        ending = file.read()
    stored = ending[len(before) : len(before) + 64]
    is_sealed = ending[: len(before)] == before and ending[len(before) + 64 :] == after and len(stored) == 64
    is_archive &= path.suffix not in _ENDINGS
    if is_archive:
        if not (is_sealed or _is_zip_end(ending[-22:])):
            raise DamageError("its end is missing or followed by other bytes")
        _check_stored(path)
    if is_sealed:
        if stored != _sealed_digest(path, len(after), companions):
            beside = "".join(f" or {companion.name}" for companion in companions)
            raise DamageError(f"its contents{beside} differ from its sha256")
    elif is_archive:
        _check_archive(path)
    return is_sealed


def _is_zip_end(ending: bytes) -> bool:
    return ending.startswith(_ZIP_END) and ending.endswith(b"\0\0")


@functools.cache  # once, however often the file is opened
def warn_of_no_seal(path: Path) -> None:
    """Say that a file came without a digest."""
    log.warning("%s holds no sha256: damage in it would not be noticed", path)


def check_size(path: Path) -> None:
    """Raise a DamageError if a file of weights is larger than any, before all of it is read."""
    if path.is_file() and path.stat().st_size > LARGEST_WEIGHTS:
        raise DamageError(f"it has more than {LARGEST_WEIGHTS >> 30} GB, as no model has")


def _check_stored(path: Path) -> None:
    """Raise a DamageError if parts of an archive may be larger than the archive: torch compresses none."""
    with _archive(path) as archive:
        parts = archive.infolist()
    compressed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
    if compressed or sum(part.file_size for part in parts) > path.stat().st_size:
        raise DamageError("its archive has parts that are compressed, as torch writes none, or that overlap")


def _check_archive(path: Path) -> None:
    with _archive(path) as archive:
        spoilt = archive.testzip()
    if spoilt is not None:
        raise DamageError(f"the checksum of its part {spoilt} is another")


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except Exception as error:  # a damaged archive raises errors of many types
        if is_of_machine(error):
            raise
        raise DamageError(f"its archive is damaged: {error}") from error


def _sealed_digest(path: Path, after: int, companions: Iterable[Path]) -> bytes:
    """SHA-256 of all bytes but the 64 of the digest itself, and of the companions."""
    digest = hashlib.sha256()
    left = path.stat().st_size - 64 - after
    with path.open("rb") as file:
        while left > 0 and (piece := file.read(min(left, 2**20))):
            digest.update(piece)
            left -= len(piece)
        file.seek(-after, os.SEEK_END) if after else file.seek(0, os.SEEK_END)
        digest.update(file.read())
    for companion in companions:
        digest.update((file_digest(companion) or "missing").encode())
    return digest.hexdigest().encode()


def find_damaged(folder: Path, digests: Mapping[str, str], verify: bool = False) -> list[str]:
    """Names of the files that are missing or differ from their digests.

    A file that was whole before, and whose size, times and inode have not changed since, is not read again: what was
    checked is remembered in the cache folder.

    Args:
        folder: of the files.
        digests: by name.
        verify: read every file.
    """
    memory = cache_folder() / "verified" / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:20]}.json"
    remembered = _remembered(memory)
    known, damaged = dict(remembered), list[str]()
    for name, expected in digests.items():
        path = folder / name
        stamp = _stamp(path)
        if stamp is not None and not verify and known.get(name) == [*stamp, expected]:
            continue
        known.pop(name, None)
        if stamp is None or file_digest(path) != expected:
            damaged.append(name)
        elif time.time() - max(stamp[1:3]) / 1e9 > _SETTLED:
            known[name] = [*stamp, expected]
    if known != remembered:
        try:
            with atomic_write(memory) as unfinished:
                unfinished.write_text(json.dumps(known) + "\n")
        except OSError:
            pass  # a cache that cannot be written only costs the time of reading the files again
    return damaged


def _remembered(memory: Path) -> dict[str, Any]:
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _stamp(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def read_sums(folder: Path) -> dict[str, str] | None:
    """Digests by path in a dataset's list; None if it has no list. Lines that are none do not count.

    Raises:
        DataError: it is no regular file, or too large.
    """
    lines = _lines_of_sums(folder)
    return {found[2]: found[1] for line in lines if (found := _LINE.fullmatch(line))} if lines else None


def read_comment(folder: Path) -> str | None:
    """The first line of a dataset's list, if it is a comment; raises as ``read_sums`` does."""
    line = next(iter(_lines_of_sums(folder)), "")
    return line[2:] if line.startswith("# ") else None


def _lines_of_sums(folder: Path) -> list[str]:
    """Lines of a dataset's list; of none, there are none."""
    try:
        return read_bounded(folder / SUMS).decode(errors="replace").split("\n")
    except OSError:
        return []


def append_sums(folder: Path, digests: Mapping[str, str]) -> None:
    """Add files to the list of a dataset that is being written; of two lines for a file the later one counts."""
    with (folder / SUMS).open("a", encoding="utf-8") as file:
        file.write("".join(f"{digest}  {name}\n" for name, digest in digests.items()))


def write_sums(folder: Path, digests: Mapping[str, str], comment: str) -> None:
    """Write the list of a dataset, with a first line that does not count."""
    lines = [f"# {comment}", *(f"{digest}  {name}" for name, digest in sorted(digests.items()))]
    with atomic_write(folder / SUMS) as unfinished:
        unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
