"""CSV lists of the BatVision format: the base class of the readers of V1 (arXiv 1912.07011) and V2 (2303.07257)."""

import csv
import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import ClassVar

from echodepth.core.errors import DataError
from echodepth.core.input_files import read_text
from echodepth.core.integrity import SUMS, find_damaged, read_sums
from echodepth.core.safe_paths import DataRoot, relative_path
from echodepth.data.config import DataConfig
from echodepth.data.dataset_registry import DatasetReader
from echodepth.data.images import DepthMap, read_depth_array
from echodepth.data.provenance import SIMULATION_FILE
from echodepth.data.records import ALL_MODALITIES, SPLITS, File, Modality, Record, Split
from echodepth.data.row_names import row_name

log = logging.getLogger(__name__)
BATVISION_LICENCE = "CC BY-SA 4.0 (Brunetto, Hornauer, Yu, Moutarde, arXiv 2303.07257)"
DOWNLOAD = "download it from https://doi.org/10.57745/HYLZNL"
Columns = dict[Modality, tuple[tuple[str, ...], ...]]
"""For each modality, the columns whose values joined make the path of each of its files."""
_NAMING_ORDER: tuple[Modality, ...] = ("depth", "audio", "image")


class BatVisionReader(DatasetReader[DataConfig]):
    """Reader of CSV lists with one row per instance and depth maps in millimetres.

    Attributes:
        columns: columns of the lists.
        list_pattern: glob pattern of the lists below the root, with a field for the split.
    """

    config = DataConfig
    columns: ClassVar[Columns]
    list_pattern: ClassVar[str]

    @classmethod
    def list_records(cls, config: DataConfig, split: Split, modalities: tuple[Modality, ...]) -> list[Record]:
        """List a split's instances from the CSV files.

        With ``config.leave_out``, train and val contain the split's rows of all other locations, and test contains
        the rows of the left-out location from every list, because none of them was trained on.

        A root with a list of digests, which the simulator writes, is compared with it.

        Returns:
            Records sorted by location, in the order of the CSV within each.

        Raises:
            DataError: the root, a CSV file, a column, a cell or a location is missing, or a file differs from its
                digest.
        """
        digests = cls._read_digests(config)
        if digests:
            cls._require_whole(config, digests, cls._unlisted_files(config, digests))
        records = cls.list_unchecked(config, split, modalities)
        if digests:
            cls._require_whole(config, digests, cls._files(config, records))
        return records

    @classmethod
    def list_unchecked(cls, config: DataConfig, split: Split, modalities: tuple[Modality, ...]) -> list[Record]:
        """As ``list_records``, without a look at the digests."""
        if not config.root.is_dir():
            raise DataError(
                f"{cls.title} not found in {config.root}: {cls.remedy(config.root)}; --data_dir selects another root"
            )
        left_out_test = config.leave_out is not None and split == "test"
        tables = [table for name in (SPLITS if left_out_test else (split,)) for table in cls._tables(config.root, name)]
        if not tables:
            raise DataError(
                f"no {split}.csv in {config.root}: {cls.title} is laid out as {cls.layout}; "
                "check --data_dir (the root, not a location) and --dataset"
            )
        root = DataRoot(config.root)
        records = [record for table in tables for record in cls._read_table(root, table, modalities)]
        if config.locations or config.leave_out is not None:
            selected = cls._selected_locations(config, left_out_test)
            records = [record for record in records if record.location in selected]
        if not records:
            raise DataError(f"the {split} split of {config.root} is empty: its CSV files list no row of the selection")
        return sorted(records, key=lambda record: record.location)

    @classmethod
    def damaged_files(cls, config: DataConfig, records: Sequence[Record]) -> list[str]:
        """Paths below the root of files, listed with a digest or by a record, that are missing or differ from one."""
        digests = cls._read_digests(config)
        if not digests:
            return []
        paths = {*cls._unlisted_files(config, digests), *cls._files(config, records), *digests}
        return find_damaged(config.root, {path: digests.get(path, "") for path in sorted(paths)}, verify=True)

    @classmethod
    def _unlisted_files(cls, config: DataConfig, digests: Mapping[str, str]) -> list[str]:
        """The lists, and the files in the root itself: what no record names. Each has a digest, or lost its line."""
        own = [path for each in SPLITS for path in cls._tables(config.root, each)]
        own += [path for path in [config.root / SIMULATION_FILE] if path.exists()]
        known = {path for path in digests if "/" not in path or path.endswith(".csv")}
        return sorted(known | {path.relative_to(config.root).as_posix() for path in own})

    @classmethod
    def _files(cls, config: DataConfig, records: Sequence[Record]) -> list[str]:
        files = [path for each in records for path in (each.image, *each.audio, each.depth) if path is not None]
        return [path.relative_to(config.root).as_posix() for path in files]

    @classmethod
    def _read_digests(cls, config: DataConfig) -> dict[str, str]:
        """Digests of the files below the root by path; empty if there is no list, or one that is being written."""
        digests = read_sums(config.root) or {}
        listed = any(path.endswith(".csv") for path in digests)
        if digests and not listed:
            log.warning("%s lists no table: the files are not compared with it", config.root / SUMS)
        for path in digests if listed else ():
            relative_path(path, str(config.root / SUMS))
        return digests if listed else {}

    @classmethod
    def _require_whole(cls, config: DataConfig, digests: Mapping[str, str], paths: list[str]) -> None:
        damaged = find_damaged(config.root, {path: digests.get(path, "") for path in paths}, config.verify)
        if damaged:
            more = f" and {len(damaged) - 1} more files are" if len(damaged) > 1 else " is"
            raise DataError(
                f"{config.root / damaged[0]}{more} damaged or changed, by the sha256 in {SUMS}: "
                f"{cls.remedy(config.root)}, which writes what is damaged again, and nothing else"
            )

    @classmethod
    def has_split(cls, root: Path, split: Split) -> bool:
        """Whether a CSV list of the split exists."""
        return bool(cls._tables(root, split))

    @classmethod
    def recognise(cls, root: Path) -> bool:
        """Whether the folder has a CSV list of any split."""
        return any(cls.has_split(root, split) for split in SPLITS)

    @classmethod
    def read_depth(cls, file: File, units: int | float) -> DepthMap:
        """Read a ``.npy`` in millimetres, the only unit of this format; see ``read_depth_array``."""
        return read_depth_array(file)

    @classmethod
    def remedy(cls, root: Path) -> str:
        """How to obtain a missing dataset, for messages."""
        return DOWNLOAD

    @classmethod
    @abstractmethod
    def identify(cls, table: Path, modality: Modality, path: str) -> tuple[str, str]:
        """Name and location of an instance, as far as its first file tells.

        Args:
            table: the CSV list.
            modality: of the first file: depth, or another one where the row has no depth map.
            path: of that file relative to the root.
        """

    @classmethod
    def room(cls, name: str, location: str) -> str:
        """The room of an instance, by its name as ``identify`` gives it; the location where the format has no rooms."""
        return location

    @classmethod
    def _tables(cls, root: Path, split: Split) -> list[Path]:
        # A folder with a dot is an unfinished or hidden one.
        tables = root.glob(cls.list_pattern.format(split=split))
        return sorted(table for table in tables if not str(table.relative_to(root)).startswith("."))

    @classmethod
    def _selected_locations(cls, config: DataConfig, left_out_test: bool) -> set[str]:
        tables = [table for split in SPLITS for table in cls._tables(config.root, split)]
        root = DataRoot(config.root)
        known = {location for table in tables for location in cls._locations(root, table)}
        left_out = set() if config.leave_out is None else {config.leave_out}
        chosen = {*config.locations}
        if unknown := sorted((chosen | left_out) - known):
            raise DataError(f"no location {', '.join(unknown)} in {config.root}; known: {', '.join(sorted(known))}")
        return left_out if left_out_test else (chosen or known) - left_out

    @classmethod
    def _locations(cls, root: DataRoot, table: Path) -> set[str]:
        """All locations of a list."""
        return {record.location for record in cls._read_table(root, table, ("depth",))}

    @classmethod
    def _read_table(cls, root: DataRoot, table: Path, modalities: tuple[Modality, ...]) -> list[Record]:
        table = root.join(str(root.folder), str(table.relative_to(root.folder)))
        try:
            reader = csv.reader(StringIO(read_text(table), newline=""))
            header = [name.strip() for name in next(reader, [])]
            cls._require_columns(table, header, modalities)
            # A row's cells are many objects, so they are not kept.
            return [
                cls._record(
                    root, table, reader.line_num, dict(zip(header, map(str.strip, row), strict=False)), modalities
                )
                for row in reader
                if row
            ]
        except (OSError, csv.Error) as error:
            raise DataError(f"{table} cannot be read as CSV: {error}") from error

    @classmethod
    def _require_columns(cls, table: Path, header: list[str], modalities: tuple[Modality, ...]) -> None:
        required = {column for modality in modalities for path in cls.columns[modality] for column in path}
        if missing := sorted(required - {*header}):
            raise DataError(
                f"{table} has no column {', '.join(map(repr, missing))}; it has: {', '.join(filter(None, header))}"
            )

    @classmethod
    def _record(
        cls, root: DataRoot, table: Path, line: int, row: dict[str, str], modalities: tuple[Modality, ...]
    ) -> Record:
        source = f"{table}, line {line}"
        for column in (column for modality in modalities for path in cls.columns[modality] for column in path):
            if not row.get(column):
                raise DataError(f"{source}: column {column!r} is empty; complete the row or delete it")
        cells = {modality: cls._cells(row, modality) for modality in ALL_MODALITIES}
        files = {modality: tuple([root.join(source, *path) for path in cells[modality]]) for modality in modalities}
        # All files of the row name it, so that its name does not depend on the requested modalities.
        paths = [(kind, "/".join(path)) for kind in _NAMING_ORDER for path in cells[kind] if path]
        modality, first = paths[0]
        if modality not in modalities:
            first = relative_path(first, source).as_posix()
        base, location = cls.identify(table, modality, first)
        return Record(
            name=row_name(base, paths, location),
            location=location,
            room=cls.room(base, location),
            image=files["image"][0] if "image" in files else None,
            audio=files.get("audio", ()),
            depth=files["depth"][0] if "depth" in files else None,
            source=source,
        )

    @classmethod
    def _cells(cls, row: dict[str, str], modality: Modality) -> list[list[str]]:
        """For each of a modality's files, the cells that joined make its path; none that are empty."""
        return [[cell for column in path if (cell := row.get(column, ""))] for path in cls.columns[modality]]
