"""What made each file of a folder of results, so that an older result is never taken for that of another input.

The folder holds ``made_from.jsonl``, to which a line is added before a file is written. A file that is already there is
removed first: after an interruption a file is missing, never listed with what did not make it.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import SEEK_END
from pathlib import Path

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.input_files import read_bounded
from echodepth.core.safe_paths import DataRoot, relative_path

MADE_FROM = "made_from.jsonl"
_LARGEST = 2**27  # bytes: half a million files


@dataclass(frozen=True)
class Origin:
    """What made a file.

    Attributes:
        stem: names all results of one input.
        source: the input, for messages; usually its path relative to the folder.
        input: digest of the input's contents and of how it is read.
        model: name and digest of the model, with all that determines its prediction.
        settings: digest of the settings of this kind of file.
    """

    stem: str
    source: str
    input: str
    model: str
    settings: str

    def is_same(self, other: "Origin") -> bool:
        """Whether both make the same file, wherever the input lies."""
        return (self.input, self.model, self.settings) == (other.input, other.model, other.settings)


def content_digest(path: Path) -> str:
    """SHA-256 of a file's contents; ``missing`` if it is none."""
    if not path.is_file():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ResultLog:
    """The results in a folder. Several processes may add to it.

    A folder of results may come from someone else. Its list names files below it alone, and no other is removed.

    Args:
        folder: need not exist.

    Raises:
        DataError: the list is no regular file, too large, or a link to a place outside the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = DataRoot(folder).join(str(folder), MADE_FROM)
        self._origins: dict[str, Origin] = {}
        self._by_stem: dict[str, set[str]] = defaultdict(set)
        if self.path.exists():
            for line in read_bounded(self.path, _LARGEST).decode("utf-8", errors="replace").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            fields = json.loads(line)
            self._add(str(relative_path(fields.pop("file"), MADE_FROM)), Origin(**fields))
        except (DataError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return  # half a line of a process that was killed, or not one of ours; its file counts as unknown

    def _add(self, file: str, origin: Origin) -> None:
        self._origins[file] = origin
        self._by_stem[origin.stem].add(file)

    def origin(self, path: Path) -> Origin | None:
        """What made a file below the folder; None if it is not known."""
        return self._origins.get(path.relative_to(self.folder).as_posix())

    def require_model(self, model: str) -> None:
        """Raise a ConfigError if the folder holds a file of another model."""
        for file, origin in self._origins.items():
            if origin.model != model and (self.folder / file).is_file():
                raise ConfigError(
                    f"{self.folder} holds results of another model ({origin.model}; this is {model}): give another "
                    "--out, or --overwrite them"
                )

    def needs(self, path: Path, origin: Origin) -> bool:
        """Whether a file must be made: it is missing, or its input or settings have changed since.

        Raises:
            ConfigError: another input made the file, or it is not known what did.
        """
        if not path.is_file():
            return True
        known = self.origin(path)
        if known is not None and known.is_same(origin):
            return False
        if known is None:
            raise ConfigError(
                f"{path} exists, and {self.path} does not list what made it: give another --out, or --overwrite it"
            )
        if (known.stem, known.source) != (origin.stem, origin.source):
            raise ConfigError(f"{path} is the result of {known.source}: give another --out, or --overwrite it")
        return True

    def begin(self, files: Mapping[Path, Origin]) -> list[Path]:
        """Note what makes some files, just before they are written.

        Returns:
            Other results of the same inputs that were removed, because the input or the model has changed since.
        """
        outdated = [self.folder / file for origin in files.values() for file in self._outdated(origin)]
        removed = [path for path in dict.fromkeys(outdated) if path not in files and self._is_own_file(path)]
        for path in (*files, *removed):
            path.unlink(missing_ok=True)
        lines = []
        for path, origin in files.items():
            file = path.relative_to(self.folder).as_posix()
            if self._origins.get(file) != origin:  # else listed by a process that was killed before it wrote the file
                lines.append(json.dumps({"file": file, **asdict(origin)}) + "\n")
            self._add(file, origin)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as log:
            if log.tell():
                log.seek(-1, SEEK_END)
                # Half a line of a process that was killed would spoil the next one.
                lines.insert(0, "" if log.read(1) == b"\n" else "\n")
            log.write("".join(lines).encode())
        return removed

    def _is_own_file(self, path: Path) -> bool:
        """Whether a path leads to a file, and no folder on the way is a link to another place."""
        return path.is_file() and path.parent.resolve().is_relative_to(self.folder.resolve())

    def _outdated(self, origin: Origin) -> list[str]:
        """Files of the same input, as it was before or by another model."""
        known = ((file, self._origins[file]) for file in self._by_stem[origin.stem])
        return sorted(
            file
            for file, other in known
            if (other.stem, other.source) == (origin.stem, origin.source)
            and (other.input, other.model) != (origin.input, origin.model)
        )
