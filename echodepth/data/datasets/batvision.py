"""BatVision V1 (arXiv 1912.07011) and V2 (arXiv 2303.07257): which files belong together, and depth in metres."""

import csv
import re
from pathlib import Path

import numpy as np

from echodepth.core.errors import DataError
from echodepth.data.config import DataConfig, Split
from echodepth.data.images import DepthMap
from echodepth.data.sample import File, Modality, Record, as_file

SPLITS: tuple[Split, ...] = ("train", "val", "test")

# Per part, the columns that make up each of its files' paths.
_V2_FILES: dict[Modality, tuple[tuple[str, ...], ...]] = {
    "image": (("camera path", "camera file name"),),
    "audio": (("audio path", "audio file name"),),
    "depth": (("depth path", "depth file name"),),
}
_V1_FILES: dict[Modality, tuple[tuple[str, ...], ...]] = {
    "image": (("camera path left",),),
    "audio": (("audio path left",), ("audio path right",)),
    "depth": (("depth path",),),
}
_HOME = {
    "batvisionv1": ("BatVision V1", "ROOT/train.csv beside dated folders"),
    "batvisionv2": ("BatVision V2", "ROOT/<location>/train.csv"),
    "simulated": ("A simulated set", "ROOT/<location>/train.csv"),
}


def list_records(config: DataConfig, split: Split, modalities: tuple[Modality, ...]) -> list[Record]:
    """List a split's instances from the CSV files; opens none of the recordings.

    With ``config.leave_out``, train and val hold the other locations' rows of that split, and test holds **all**
    rows of the location left out, whichever CSV names them: none of them was trained on.

    Args:
        config: dataset, root, and which locations.
        split: train, val or test.
        modalities: the parts whose columns must be there.

    Returns:
        Records sorted by location, in the CSV's order within each; paths of unwanted parts are absent.

    Raises:
        DataError: the root, a CSV file, a column, a cell or a location is missing.
    """
    _check_root(config)
    held_out_test = config.leave_out is not None and split == "test"
    tables = [table for name in (SPLITS if held_out_test else (split,)) for table in _tables(config, name)]
    if not tables:
        title, layout = _HOME[config.dataset]
        raise DataError(
            f"no {split}.csv in {config.root}: {title} is laid out as {layout}; "
            "check --data_dir (the root, not a location) and --dataset"
        )
    records = [record for table in tables for record in _read_table(config, table, modalities)]
    if config.locations or config.leave_out is not None:
        wanted = _wanted_locations(config, held_out_test)
        records = [record for record in records if record.location in wanted]
    if not records:
        raise DataError(f"the {split} split of {config.root} is empty: its CSV files list no row that was asked for")
    return sorted(records, key=lambda record: record.location)


def read_depth(path: File) -> DepthMap:
    """Read a depth map in millimetres; 0, NaN, infinite and negative values are invalid.

    Args:
        path: a two-dimensional ``.npy`` of integers or floats.

    Returns:
        The map in metres.

    Raises:
        DataError: the file is unreadable, of another shape or type, or evidently not in millimetres.
    """
    try:
        raw = np.load(as_file(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a NumPy array: {error}") from error
    if raw.ndim != 2 or raw.dtype.kind not in "iuf":
        raise DataError(f"{path} holds {raw.dtype} of shape {raw.shape}: a depth map is a 2-D array of millimetres")
    # In place: a V2 map has 0.9 M pixels, and this is the costliest step of reading a sample.
    metres = raw.astype(np.float32)
    metres /= np.float32(1000)
    valid = (metres > 0) & (metres < np.inf)
    np.copyto(metres, 0, where=~valid)
    if valid.any() and metres.max() < 0.05:
        raise DataError(f"{path} reaches only {1000 * metres.max():.3g} mm: is it in metres? Millimetres are expected")
    return DepthMap(metres, valid)


def _check_root(config: DataConfig) -> None:
    if config.root.is_dir():
        return
    title, _ = _HOME[config.dataset]
    download, simulate = "download it from https://doi.org/10.57745/HYLZNL", "make a simulated set with"
    command = f"`echodepth simulate --out {config.root}`"
    ways = {
        "batvisionv1": download,
        "batvisionv2": f"{download}, or {simulate} {command}",
        "simulated": f"make it with {command}",
    }
    raise DataError(f"{title} not found in {config.root}: {ways[config.dataset]}; --data_dir says where it lies")


def _tables(config: DataConfig, split: Split) -> list[Path]:
    """The CSV files of a split: one of the whole set in V1, one per location in V2."""
    return sorted(config.root.glob(f"{split}.csv" if config.dataset == "batvisionv1" else f"*/{split}.csv"))


def _wanted_locations(config: DataConfig, held_out_test: bool) -> set[str]:
    known = _known_locations(config)
    left_out = set() if config.leave_out is None else {config.leave_out}
    chosen = {*config.locations}
    if unknown := sorted((chosen | left_out) - known):
        raise DataError(f"no location {', '.join(unknown)} in {config.root}; there are: {', '.join(sorted(known))}")
    return left_out if held_out_test else (chosen or known) - left_out


def _known_locations(config: DataConfig) -> set[str]:
    tables = [table for split in SPLITS for table in _tables(config, split)]
    if config.dataset != "batvisionv1":
        return {table.parent.name for table in tables}
    return {record.location for table in tables for record in _read_table(config, table, ("depth",))}


def _read_table(config: DataConfig, table: Path, modalities: tuple[Modality, ...]) -> list[Record]:
    columns = _V1_FILES if config.dataset == "batvisionv1" else _V2_FILES
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, dict(zip(header, map(str.strip, row), strict=False))) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read as CSV: {error}") from error
    wanted = {column for part in modalities for path in columns[part] for column in path}
    if missing := sorted(wanted - {*header}):
        raise DataError(
            f"{table} has no column {', '.join(map(repr, missing))}; it has: {', '.join(filter(None, header))}"
        )
    return [_record(config, table, line, row, modalities) for line, row in rows]


def _record(
    config: DataConfig, table: Path, line: int, row: dict[str, str], modalities: tuple[Modality, ...]
) -> Record:
    columns = _V1_FILES if config.dataset == "batvisionv1" else _V2_FILES
    source = f"{table}, line {line}"
    for column in (column for part in modalities for path in columns[part] for column in path):
        if not row.get(column):
            raise DataError(f"{source}: column {column!r} is empty; complete the row or delete it")
    # Every part's path is put together, wanted or not, so that an instance has the same name whatever is read of it.
    files = {part: tuple(Path(*(row.get(name, "") for name in path)) for path in columns[part]) for part in columns}
    first = next(path for part in ("depth", *modalities) for path in files[part] if path.name)
    if config.dataset == "batvisionv1":
        location, name = first.parts[0], first.as_posix()
    else:
        location = table.parent.name
        name = f"{location}/{re.sub(r'^(audio|camera|depth)_', '', first.stem)}"
    return Record(
        name=name,
        location=location,
        # A simulated file is numbered by its room and by the pose in it.
        room=name.rpartition("_")[0] if config.dataset == "simulated" else location,
        image=config.root / files["image"][0] if "image" in modalities else None,
        audio=tuple(config.root / path for path in files["audio"]) if "audio" in modalities else (),
        depth=config.root / files["depth"][0] if "depth" in modalities else None,
        source=source,
    )
