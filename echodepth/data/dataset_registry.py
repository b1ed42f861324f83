"""The registry of datasets and the interface of their readers. Nothing heavy is imported: it feeds ``--help``."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from echodepth.core.errors import DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.core.registry import Registry
from echodepth.data.camera_file import CAMERA_FILE, read_camera
from echodepth.data.provenance import SIMULATION_FILE, folder_provenance
from echodepth.data.records import ALL_MODALITIES, File, Modality, Record, Split

if TYPE_CHECKING:
    from echodepth.data.images import DepthMap

Config = TypeVar("Config")
MILLIMETRES = 1000.0
"""Depth units per metre of a depth map in millimetres."""


class DatasetReader(ABC, Generic[Config]):
    """Lists the instances of a dataset and reads its depth maps. The class itself is the registry entry.

    Attributes:
        name: value of ``--dataset``.
        title: name in messages.
        config: ``DataConfig``, or a subclass with the dataset's own flags.
        modalities: contents of an instance.
        max_depth: default of ``--max_depth`` in metres.
        layout: the directory layout, for messages.
        licence: name and terms of the data, for model cards.
        limits: what a model trained on the data is not known to do, for model cards; empty for nothing special.
        has_rooms: whether ``Record.room`` tells rooms apart; otherwise confidence intervals resample single frames.
        has_locations: whether ``--locations`` and ``--leave_out`` apply.
        splits_share_rooms: whether the official splits contain the same rooms; otherwise a shared room is a leak.
        field_of_view: of the dataset's camera, for point clouds; None if it is not known.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    config: ClassVar[type[Any]]
    modalities: ClassVar[tuple[Modality, ...]] = ALL_MODALITIES
    max_depth: ClassVar[float]
    layout: ClassVar[str]
    licence: ClassVar[str]
    limits: ClassVar[str] = ""
    has_rooms: ClassVar[bool] = True
    has_locations: ClassVar[bool] = True
    splits_share_rooms: ClassVar[bool] = True
    field_of_view: ClassVar[FieldOfView | None] = None

    @classmethod
    @abstractmethod
    def list_records(cls, config: Config, split: Split, modalities: tuple[Modality, ...]) -> list[Record]:
        """List the instances of a split without opening the recordings.

        Args:
            config: dataset root and locations.
            split: train, val or test.
            modalities: the files that a record names; a subset of ``cls.modalities``.

        Raises:
            ConfigError: a flag does not apply to this dataset.
            DataError: the root, a list, a column or a location is missing.
        """

    @classmethod
    def list_unchecked(cls, config: Config, split: Split, modalities: tuple[Modality, ...]) -> list[Record]:
        """As ``list_records``, of a dataset whose files may differ from their digests."""
        return cls.list_records(config, split, modalities)

    @classmethod
    def damaged_files(cls, config: Config, records: Sequence[Record]) -> list[str]:
        """Paths below the root of the files that differ from their digests; none where a dataset has no digests.

        Args:
            config: dataset root.
            records: instances whose files must have a digest where the dataset has any.
        """
        return []

    @classmethod
    @abstractmethod
    def has_split(cls, root: Path, split: Split) -> bool:
        """Whether a list of the split exists in a root."""

    @classmethod
    @abstractmethod
    def recognise(cls, root: Path) -> bool:
        """Whether a folder has the layout of this dataset."""

    @classmethod
    @abstractmethod
    def read_depth(cls, file: File, units: int | float) -> "DepthMap":
        """Read a depth map.

        Args:
            file: in the dataset's own format.
            units: stored units per metre, from ``depth_units`` or from an index of shards.

        Raises:
            DataError: the file is unreadable or has another format.
        """

    @classmethod
    def depth_units(cls, config: Config) -> float:
        """Stored units per metre.

        Raises:
            ConfigError: the flag that sets them is out of range.
        """
        return MILLIMETRES

    @classmethod
    def camera(cls, root: Path) -> FieldOfView | None:
        """The field of view in the root's ``camera.json``, or that of its simulation, otherwise that of the dataset.

        Raises:
            DataError: the file holds no camera.
        """
        described = read_camera(root / CAMERA_FILE) or read_camera(root / SIMULATION_FILE, "conventions")
        return described or cls.field_of_view

    @classmethod
    def provenance(cls, root: Path) -> str | None:
        """Whether the data in a root are simulated, see ``folder_provenance``; None for recorded data."""
        return folder_provenance(root)

    @classmethod
    def default_root(cls) -> Path:
        """The dataset's root when ``--data_dir`` is not given."""
        return Path("data") / cls.name

    @classmethod
    def create_default(cls, root: Path) -> None:
        """Create the dataset in its default root, if it can be created. Called when a split is opened there."""
        return None


DATASETS: Registry[type[DatasetReader[Any]]] = Registry("dataset", "echodepth.data.datasets", "dataset")


def recognise_dataset(root: Path) -> str:
    """The name of the dataset whose layout a folder has; a reader that refines another one's layout takes precedence.

    Raises:
        DataError: no reader recognises the folder.
    """
    matching = [reader for reader in DATASETS if reader.recognise(root)]
    if matching:
        return max(matching, key=lambda reader: len(reader.__mro__)).name
    layouts = "; ".join(f"{reader.name}: {reader.layout}" for reader in DATASETS)
    raise DataError(f"{root} has the layout of no known dataset ({layouts}): choose one with --dataset")
