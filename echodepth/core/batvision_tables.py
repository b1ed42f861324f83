"""CSV tables of BatVision V2 (arXiv 2303.07257): the column names and the one function that writes them."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from echodepth.core.atomic_io import atomic_write

INDEX = "index"
FILE_COLUMNS = {kind: (f"{kind} path", f"{kind} file name") for kind in ("audio", "camera", "depth")}
"""For each kind of file, the column of its folder, relative to the data set's root, and the column of its name."""

V2_COLUMNS = (
    *(INDEX, "time", "left audio time", "right audio time"),
    *FILE_COLUMNS["audio"],
    *("camera time", *FILE_COLUMNS["camera"]),
    *("depth time", *FILE_COLUMNS["depth"]),
)
"""All columns of an original table, in its order."""


def table_row(
    index: int, location: str, file_names: Mapping[str, str], times: Mapping[str, object]
) -> dict[str, object]:
    """Make the row of one recording.

    Args:
        index: number of the row.
        location: name of the folder that holds ``audio/``, ``camera/`` and ``depth/``.
        file_names: name of the file of each kind in ``FILE_COLUMNS``.
        times: value of each time column.
    """
    row: dict[str, object] = {INDEX: index, **times}
    for kind, name in file_names.items():
        path_column, name_column = FILE_COLUMNS[kind]
        row |= {path_column: f"{location}/{kind}/", name_column: name}
    return row


def write_table(path: Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str] = V2_COLUMNS) -> None:
    """Write one split's table of one location.

    Args:
        path: ``ROOT/<location>/<split>.csv``.
        rows: from `table_row`; missing values are left empty.
        columns: names in their order.

    Raises:
        ValueError: a row has a column that ``columns`` lacks.
    """
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)
