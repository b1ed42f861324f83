"""Records and files of a dataset. Nothing heavy is imported: it feeds ``--help``."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

from echodepth.core.input_files import regular_file

Modality = Literal["image", "audio", "depth"]
ALL_MODALITIES: tuple[Modality, ...] = ("image", "audio", "depth")
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Record:
    """Paths of one instance's files. Paths of modalities that were not requested are absent.

    Attributes:
        name: identifies the instance within its dataset.
        location: the recording location.
        room: the smallest known group of instances from one place: a simulated room, otherwise the location.
        image: the RGB image.
        audio: one stereo file, or one file per ear, left first.
        depth: the depth map.
        source: the list and line that define the instance, for messages.
    """

    name: str
    location: str
    room: str
    image: Path | None
    audio: tuple[Path, ...]
    depth: Path | None
    source: str


@dataclass(frozen=True)
class StoredFile:
    """The bytes of a file that was read from a shard.

    Attributes:
        name: the file's name in the shard, for messages.
        data: the bytes.
    """

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


File = Path | StoredFile
"""Input of the file readers. ``str`` names either kind in messages."""


def as_file(file: File) -> Path | BytesIO:
    """The argument for libraries that read files: the path, or the bytes as a file object.

    Raises:
        DataError: the path leads to a folder, pipe, socket or device.
    """
    return regular_file(file) if isinstance(file, Path) else BytesIO(file.data)


@dataclass(frozen=True)
class StoredRecord:
    """One instance from a shard: a ``Record`` with the files' bytes in place of their paths."""

    name: str
    location: str
    room: str
    image: StoredFile | None
    audio: tuple[StoredFile, ...]
    depth: StoredFile | None
    source: str
