"""What the tables of all studies share: the setting, means over seeds, files."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from echodepth.core.atomic_io import atomic_write
from echodepth.experiments.config import ExperimentConfig
from echodepth.metrics.depth import METRIC_TABLE

Rows = list[dict[str, Any]]
COLUMNS = {name: METRIC_TABLE[name].heading for name in ("rmse", "abs_rel", "delta1")}


def write_tables(config: ExperimentConfig, rows: Rows, text: str, folder: Path) -> Path:
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


def plain_markdown(config: ExperimentConfig, rows: Rows) -> str:
    """A table of means and standard deviations over seeds; a row is a method."""
    lines = [f"# {config.study}, {config.preset}", "", setting(config, rows), ""]
    lines += [f"| method | {' | '.join(COLUMNS.values())} |", "|---|---|---|---|"]
    groups: dict[str, Rows] = defaultdict(list)
    for row in rows:
        groups[row["method"]].append(row)
    for method, members in groups.items():
        lines.append(f"| {method} | {' | '.join(spread([row[figure] for row in members]) for figure in COLUMNS)} |")
    return "\n".join(lines) + "\n"


def setting(config: ExperimentConfig, rows: Rows) -> str:
    """What a table's rows have in common, as a sentence."""
    scale, seeds = config.scale, len({row["seed"] for row in rows})
    length = f"{scale.epochs} epochs"
    if scale.patience is not None:
        length = (
            f"{scale.min_epochs} to {scale.epochs} epochs, until {scale.patience:.0%} of them brought no improvement"
        )
    return (
        f"{' or '.join(map(str, scale.rooms))} simulated rooms x {scale.poses}, {scale.image_size} pixels, "
        f"{scale.base_channels} base channels, {length}, {seeds} seed{'s' if seeds > 1 else ''} "
        f"(mean ± sd), {config.split} rooms, protocol valid."
    )


def gap_closed(rows: Rows, source: str, members: Rows) -> float | None:
    """(none - student) / (none - teacher) in mean RMSE over the seeds that all three have.

    0 is a student alone, 1 is its teacher.

    Args:
        rows: of one number of rooms and label fraction.
        source: what the teacher trained on.
        members: the student's runs.

    Returns:
        None without a common seed, and where the teacher is no better: there is no gap then.
    """
    student = _errors(members)
    alone = _errors([row for row in rows if row["method"] == "none"])
    teacher = _errors([row for row in rows if (row["method"], row["teacher_data"]) == ("teacher", source)])
    seeds = student.keys() & alone.keys() & teacher.keys()
    gap = sum(alone[seed] - teacher[seed] for seed in seeds)
    if gap <= 0:
        return None
    return sum(alone[seed] - student[seed] for seed in seeds) / gap


def _errors(rows: Rows) -> dict[int, float]:
    """RMSE by seed."""
    return {row["seed"]: float(row["rmse"]) for row in rows}


def spread(values: list[float | None]) -> str:
    """Mean and standard deviation of one figure of several seeds; nothing where it is undefined."""
    defined = [value for value in values if value is not None]
    if len(defined) < len(values):
        return ""
    return f"{mean(defined):.3f}" + (f" ± {stdev(defined):.3f}" if len(defined) > 1 else "")
