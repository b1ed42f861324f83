"""A comparison as files: a table for papers, rows for programs, and a page with pictures for people."""

import csv
import io
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from echodepth.core.atomic_io import atomic_write
from echodepth.evaluation.comparison import Comparison
from echodepth.evaluation.evaluate import to_json
from echodepth.evaluation.formatting import (
    INTERVAL_SENTENCE,
    RANGES_SENTENCE,
    heading,
    interval,
    number,
    sentence,
    signed,
)
from echodepth.evaluation.html_report import html
from echodepth.evaluation.report_charts import filled_ranges
from echodepth.metrics.depth import METRICS


def write_report(comparison: Comparison, folder: Path) -> None:
    """Write comparison.md, .csv, .json and .html."""
    texts = {
        "md": markdown(comparison),
        "csv": _csv(comparison),
        "json": to_json(_facts(comparison)),
        "html": html(comparison),
    }
    for ending, text in texts.items():
        with atomic_write(folder / f"comparison.{ending}") as path:
            path.write_text(text, encoding="utf-8")


def markdown(comparison: Comparison) -> str:
    """The tables, for a README or a paper's appendix."""
    rows = []
    for row in comparison.rows:
        cells = [row.label, row.run] + [f"{number(row.figures[m])} {interval(row, m)}".strip() for m in METRICS]
        rows.append([f"**{cell}**" for cell in cells] if row.is_best else cells)
    for group in comparison.seed_means:
        spread = [f"{number(group.mean[metric])} ± {number(group.deviation[metric])}" for metric in METRICS]
        rows.append([f"{group.label}, mean ± sd", f"{len(group.runs)} seeds", *spread])
    pooled = [
        [row.label, row.run, str(row.evaluation.counts["images"]), str(row.evaluation.counts["pixels"])]
        + [number(row.evaluation.metrics[f"pooled_{metric}"]) for metric in METRICS]
        for row in comparison.rows
    ]
    titles = [heading(metric) for metric in METRICS]
    first = comparison.rows[0].evaluation
    parts = [
        f"# {comparison.name}",
        sentence(comparison),
        _table(["model", "run", *titles], rows),
        f"{INTERVAL_SENTENCE} Bold: the audio model with the lowest RMSE.",
        *comparison.notes,
        "## Pooled over pixels",
        _table(["model", "run", "images", "pixels", *titles], pooled),
        "## By true depth",
        RANGES_SENTENCE,
        _by_depth(comparison),
        f"echodepth {first.version}, commit {first.commit}.",
    ]
    return "\n\n".join(parts) + "\n"


def _by_depth(comparison: Comparison) -> str:
    """A row for each model and range."""
    lines = []
    for row in comparison.rows:
        for i in filled_ranges(comparison.rows):
            each = row.evaluation.depth_ranges[i]
            figures = [number(each.rmse), number(each.abs_rel), signed(each.bias)]
            lines.append([row.label, row.run, each.label, f"{100 * each.share:.1f} %", *figures])
    return _table(["model", "run", "depth (m)", "pixels", "RMSE (m)", "ABS REL", "bias (m)"], lines)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _csv(comparison: Comparison) -> str:
    text = io.StringIO()
    columns = [*METRICS, *(f"{m}_{end}" for m in METRICS for end in ("low", "high")), *(f"pooled_{m}" for m in METRICS)]
    facts = ["label", "run", "control", "protocol", "split", "dataset", "seed", "images", "pixels"]
    table = csv.DictWriter(text, [*facts, *columns], restval="", lineterminator="\n")
    table.writeheader()
    for row in comparison.rows:
        told = row.evaluation
        cells: dict[str, Any] = {
            "label": row.label,
            "run": row.run,
            "control": told.control,
            "protocol": told.protocol,
            "split": told.split,
            "dataset": told.dataset,
            "seed": told.model["seed"],
            "images": told.counts["images"],
            "pixels": told.counts["pixels"],
        }
        figures = row.figures | {f"pooled_{metric}": told.metrics[f"pooled_{metric}"] for metric in METRICS}
        for metric, bounds in row.intervals.items():
            if bounds is not None:
                figures |= {f"{metric}_low": bounds[0], f"{metric}_high": bounds[1]}
        table.writerow(cells | {name: value for name, value in figures.items() if math.isfinite(value)})
    return text.getvalue()


def _facts(comparison: Comparison) -> dict[str, Any]:
    rows = []
    for row in comparison.rows:
        told = {name: value for name, value in asdict(row.evaluation).items() if name != "rows"}
        rows.append({"run": row.run, "figures": row.figures, "intervals": row.intervals, "best": row.is_best, **told})
    return {
        "name": comparison.name,
        "protocol": asdict(comparison.protocol),
        "split": comparison.split,
        "frames": comparison.frames,
        "notes": comparison.notes,
        "rows": rows,
        "leader": comparison.leader.name,
        "pictured": comparison.picks,
        "seed_means": [asdict(group) for group in comparison.seed_means],
    }
