"""A study's table: mean and spread over seeds, and how much of the way to the teacher a student went."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from echodepth.core.atomic_io import atomic_write
from echodepth.experiments.config import BenchmarkConfig
from echodepth.experiments.grid import METHODS, scale_of
from echodepth.metrics.depth import METRIC_TABLE

Rows = list[dict[str, Any]]
_COLUMNS = {name: METRIC_TABLE[name].heading for name in ("rmse", "abs_rel", "delta1")}


def write_tables(config: BenchmarkConfig, rows: Rows, folder: Path) -> Path:
    """Print the table, and write it with all runs beside it.

    Args:
        config: of the study.
        rows: one for each run.
        folder: where to.

    Returns:
        The folder.
    """
    text = markdown(config, rows)
    with atomic_write(folder / f"{config.split}.md") as path:
        path.write_text(text, encoding="utf-8")
    with atomic_write(folder / f"{config.split}.json") as path:
        path.write_text(json.dumps(rows, indent=2) + "\n")
    print(text)
    return folder


def markdown(config: BenchmarkConfig, rows: Rows) -> str:
    """The table; a row is a method in one setting."""
    scale = scale_of(METHODS[config.study][-1], config.preset)
    seeds = len({row["seed"] for row in rows})
    said = (
        f"{scale.rooms.rooms} simulated rooms x {scale.rooms.poses} ({scale.elsewhere.rooms} x {scale.elsewhere.poses} "
        f"elsewhere), {scale.image_size} pixels, {scale.base_channels} base channels, {scale.epochs} epochs, "
        f"{seeds} seed{'s' if seeds > 1 else ''} (mean ± sd), {config.split} rooms, protocol valid."
    )
    lines = [
        f"# {config.study}, {config.preset}",
        "",
        said,
        "",
        f"| labels | teacher learnt from | method | {' | '.join(_COLUMNS.values())} | gap closed |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[float, str, str], Rows] = defaultdict(list)
    for row in rows:
        groups[row["label_fraction"], row["teacher_data"], row["method"]].append(row)
    for (fraction, source, method), members in sorted(groups.items(), key=lambda item: (-item[0][0], item[0][1])):
        closed = gap_closed(rows, fraction, source, members)
        cells = [_spread([row[figure] for row in members]) for figure in _COLUMNS]
        shown = "" if closed is None else f"{100 * closed:.0f} %"
        lines.append(f"| {fraction:g} | {source} | {method} | {' | '.join(cells)} | {shown} |")
    return "\n".join(lines) + "\n"


def gap_closed(rows: Rows, fraction: float, source: str, members: Rows) -> float | None:
    """(none - student) / (none - teacher) in mean RMSE: 0 is a student alone, 1 is its teacher.

    Args:
        rows: of the whole study.
        fraction: of labels.
        source: what the teacher learnt from.
        members: the student's runs.

    Returns:
        None where there is nothing to compare with.
    """
    teacher_fraction = 1.0 if source == "elsewhere" else fraction
    alone = [float(row["rmse"]) for row in rows if (row["method"], row["label_fraction"]) == ("none", fraction)]
    taught_by = [
        float(row["rmse"])
        for row in rows
        if (row["method"], row["label_fraction"], row["teacher_data"]) == ("teacher", teacher_fraction, source)
    ]
    if source == "none" or not alone or not taught_by:
        return None
    student = mean(float(row["rmse"]) for row in members)
    return (mean(alone) - student) / (mean(alone) - mean(taught_by))


def _spread(values: list[float]) -> str:
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
