"""What a dataset gives: one recorded instance, in the units that the whole project uses."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal, TypedDict

from jaxtyping import Bool, Float
from torch import Tensor

Modality = Literal["image", "audio", "depth"]
ALL_MODALITIES: tuple[Modality, ...] = ("image", "audio", "depth")


class Sample(TypedDict, total=False):
    """One instance, or a batch of them with a leading axis. Parts that were not asked for are absent.

    Attributes:
        image: RGB in 0..1.
        audio: waveforms of the left and right ear, full scale 1, cut from the direct sound's onset.
        spectrogram: in the place of ``audio`` where it was prepared: what the front end makes of it, the left ear's
            channels, then the right's.
        depth: metres along the optical axis; 0 where not valid.
        valid: where depth was measured.
        name: the instance's place in its dataset, for messages and per-image tables.
        mirrored: whether augmentation has exchanged left and right; absent where it has not been drawn.
    """

    image: Float[Tensor, "*batch 3 h w"]
    audio: Float[Tensor, "*batch 2 t"]
    spectrogram: Float[Tensor, "*batch c s s"]
    depth: Float[Tensor, "*batch 1 h w"]
    valid: Bool[Tensor, "*batch 1 h w"]
    name: str
    mirrored: Bool[Tensor, "*batch"]


@dataclass(frozen=True)
class Record:
    """Where one instance lies on disk: one stereo file or one file per ear as ``audio``.

    Paths of parts that were not asked for are absent. ``source`` is the list and line that name the instance.
    ``room`` is the smallest place that is known to hold several instances: a simulated room, else the location.
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
    """A file's bytes, taken out of a shard.

    Attributes:
        name: where they were, for messages.
        data: the bytes.
    """

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


File = Path | StoredFile
"""What the readers read: both are named by ``str``, and decoded alike."""


def as_file(file: File) -> Path | BytesIO:
    """What libraries that read files are handed: the path, or the bytes as a file object."""
    return file if isinstance(file, Path) else BytesIO(file.data)


@dataclass(frozen=True)
class StoredRecord:
    """One instance out of a shard: a ``Record`` whose files are at hand."""

    name: str
    location: str
    room: str
    image: StoredFile | None
    audio: tuple[StoredFile, ...]
    depth: StoredFile | None
    source: str
