"""A study's table: mean and standard deviation over seeds, and the share of the gap to the teacher that KD closes."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from echodepth.core.atomic_io import atomic_write
from echodepth.experiments.config import BenchmarkConfig, Scale
from echodepth.experiments.grid import METHODS, scale_of
from echodepth.metrics.depth import METRIC_TABLE

Rows = list[dict[str, Any]]
_COLUMNS = {name: METRIC_TABLE[name].heading for name in ("rmse", "abs_rel", "delta1")}


def write_tables(config: BenchmarkConfig, rows: Rows, text: str, folder: Path) -> Path:
    """Print the table, and write it with all runs beside it, but not their frames.

    Args:
        config: of the study.
        rows: one for each run.
        text: the table.
        folder: where to.

    Returns:
        The folder.
    """
    runs = [{name: value for name, value in row.items() if name != "frames"} for row in rows]
    with atomic_write(folder / f"{config.split}.md") as path:
        path.write_text(text, encoding="utf-8")
    with atomic_write(folder / f"{config.split}.json") as path:
        path.write_text(json.dumps(runs, indent=2) + "\n")
    print(text)
    return folder


def markdown(config: BenchmarkConfig, rows: Rows) -> str:
    """The table; a row is a method in one setting."""
    scale = scale_of(METHODS[config.study][-1], config.preset)
    lines = [
        f"# {config.study}, {config.preset}",
        "",
        setting(scale, config, rows),
        "",
        f"| labels | teacher trained on | method | {' | '.join(_COLUMNS.values())} | gap closed |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[float, str, str], Rows] = defaultdict(list)
    for row in rows:
        groups[row["label_fraction"], row["teacher_data"], row["method"]].append(row)
    for (fraction, source, method), members in sorted(groups.items(), key=lambda item: (-item[0][0], item[0][1])):
        closed = gap_closed(rows, fraction, source, members)
        cells = [spread([row[figure] for row in members]) for figure in _COLUMNS]
        share = "" if closed is None else f"{100 * closed:.0f} %"
        lines.append(f"| {fraction:g} | {source} | {method} | {' | '.join(cells)} | {share} |")
    return "\n".join(lines) + "\n"


def setting(scale: Scale, config: BenchmarkConfig, rows: Rows) -> str:
    """What a table's rows have in common, as a sentence."""
    seeds = len({row["seed"] for row in rows})
    elsewhere = f" ({scale.elsewhere.rooms} x {scale.elsewhere.poses} elsewhere)" if config.study != "ear" else ""
    return (
        f"{scale.rooms.rooms} simulated rooms x {scale.rooms.poses}{elsewhere}, {scale.image_size} pixels, "
        f"{scale.base_channels} base channels, {scale.epochs} epochs, {seeds} seed{'s' if seeds > 1 else ''} "
        f"(mean ± sd), {config.split} rooms, protocol valid."
    )


def gap_closed(rows: Rows, fraction: float, source: str, members: Rows) -> float | None:
    """(none - student) / (none - teacher) in mean RMSE: 0 is a student alone, 1 is its teacher.

    Args:
        rows: of the whole study.
        fraction: of labels.
        source: what the teacher trained on.
        members: the student's runs.

    Returns:
        None without runs of the teacher and of the student without it.
    """
    teacher_fraction = 1.0 if source == "elsewhere" else fraction
    without_teacher = [
        float(row["rmse"]) for row in rows if (row["method"], row["label_fraction"]) == ("none", fraction)
    ]
    teacher = [
        float(row["rmse"])
        for row in rows
        if (row["method"], row["label_fraction"], row["teacher_data"]) == ("teacher", teacher_fraction, source)
    ]
    if source == "none" or not without_teacher or not teacher:
        return None
    student = mean(float(row["rmse"]) for row in members)
    return (mean(without_teacher) - student) / (mean(without_teacher) - mean(teacher))


def spread(values: list[float | None]) -> str:
    """Mean and standard deviation of one figure of several seeds; nothing where it is undefined."""
    defined = [value for value in values if value is not None]
    if len(defined) < len(values):
        return ""
    return f"{mean(defined):.3f}" + (f" ± {stdev(defined):.3f}" if len(defined) > 1 else "")
