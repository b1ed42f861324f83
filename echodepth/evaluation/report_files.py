"""The files of a comparison: Markdown tables, CSV and JSON, and an HTML page with pictures."""

import csv
import io
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from echodepth.core.atomic_io import atomic_write
from echodepth.core.strict_json import to_json
from echodepth.evaluation.comparison import Comparison
from echodepth.evaluation.formatting import (
    BINS_SENTENCE,
    DIRECTION_SENTENCE,
    describe,
    difference_sentence,
    headline,
    interval,
    signed_interval,
)
from echodepth.evaluation.html_report import html
from echodepth.evaluation.report_charts import filled_bins
from echodepth.evaluation.results import plain_facts
from echodepth.metrics.depth import METRIC_TABLE, METRICS
from echodepth.metrics.direction import SCORE_TABLE, SCORES
from echodepth.report.formatting import markdown_table, number, signed


def write_report(comparison: Comparison, folder: Path) -> None:
    """Write comparison.md, .csv, .json, .html and comparison_differences.csv."""
    texts = {
        "comparison.md": markdown(comparison),
        "comparison.csv": _csv(comparison),
        "comparison_differences.csv": _difference_csv(comparison),
        "comparison.json": to_json(_plain(comparison)),
        "comparison.html": html(comparison),
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as path:
            path.write_text(text, encoding="utf-8")


def markdown(comparison: Comparison) -> str:
    """The tables as Markdown."""
    rows = []
    for row in comparison.rows:
        cells = [row.label, row.run] + [f"{number(row.means[m])} {interval(row, m)}".strip() for m in SCORES]
        rows.append([f"**{cell}**" for cell in cells] if row.is_best else cells)
    for group in comparison.seed_means:
        spread = [f"{number(group.mean[metric])} ± {number(group.deviation[metric])}" for metric in SCORES]
        rows.append([f"{group.label}, mean ± sd", f"{len(group.runs)} seeds", *spread])
    pooled = [
        [row.label, row.run, str(row.evaluation.counts["images"]), str(row.evaluation.counts["pixels"])]
        + [number(row.evaluation.metrics[f"pooled_{metric}"]) for metric in METRICS]
        for row in comparison.rows
    ]
    titles = [score.heading for score in SCORE_TABLE.values()]
    pooled_titles = [metric.heading for metric in METRIC_TABLE.values()]
    first = comparison.rows[0].evaluation
    parts = [
        f"# {comparison.name}",
        f"**{headline(comparison)}**",
        describe(comparison),
        markdown_table(["model", "run", *titles], rows),
        f"{comparison.resampling.sentence} {DIRECTION_SENTENCE} Bold: the audio model with the lowest RMSE.",
        *comparison.notes,
        *(f"**Warning:** {warning}" for warning in comparison.warnings),
        *_difference_parts(comparison),
        "## Pooled over pixels",
        markdown_table(["model", "run", "images", "pixels", *pooled_titles], pooled),
        "## By depth range",
        BINS_SENTENCE,
        _bin_table(comparison),
        f"echodepth {first.version}, commit {first.commit}.",
    ]
    return "\n\n".join(parts) + "\n"


def _difference_parts(comparison: Comparison) -> list[str]:
    """The section on differences; nothing for a single model without controls."""
    if not comparison.differences:
        return []
    rows = [
        [each.model, each.other, each.verdict()]
        + [f"{signed(each.means[metric])} {signed_interval(each, metric)}".strip() for metric in SCORES]
        for each in comparison.differences
    ]
    header = ["model", "against", "verdict", *(score.heading for score in SCORE_TABLE.values())]
    sentence = f"{difference_sentence(comparison.resampling)} The verdict is that of the RMSE."
    return ["## Differences", markdown_table(header, rows), sentence]


def _bin_table(comparison: Comparison) -> str:
    """A row for each model and depth range."""
    lines = []
    for row in comparison.rows:
        for i in filled_bins(comparison.rows):
            each = row.evaluation.depth_bins[i]
            cells = [number(each.rmse), number(each.abs_rel), signed(each.bias)]
            lines.append([row.label, row.run, each.label, f"{100 * each.share:.1f} %", *cells])
    return markdown_table(["model", "run", "depth (m)", "pixels", "RMSE (m)", "ABS REL", "bias (m)"], lines)


def _csv(comparison: Comparison) -> str:
    text = io.StringIO()
    columns = [*SCORES, *(f"{m}_{end}" for m in SCORES for end in ("low", "high")), *(f"pooled_{m}" for m in METRICS)]
    provenance = ["label", "run", "control", "protocol", "split", "dataset", "provenance", "seed", "images", "pixels"]
    table = csv.DictWriter(text, [*provenance, *columns], restval="", lineterminator="\n")
    table.writeheader()
    for row in comparison.rows:
        evaluation = row.evaluation
        cells: dict[str, Any] = {
            "label": row.label,
            "run": row.run,
            "control": evaluation.control,
            "protocol": evaluation.protocol,
            "split": evaluation.split,
            "dataset": evaluation.dataset,
            "provenance": evaluation.provenance or "recorded",
            "seed": evaluation.model["seed"],
            "images": evaluation.counts["images"],
            "pixels": evaluation.counts["pixels"],
        }
        values = row.means | {f"pooled_{metric}": evaluation.metrics[f"pooled_{metric}"] for metric in METRICS}
        for metric, bounds in row.intervals.items():
            if bounds is not None:
                values |= {f"{metric}_low": bounds[0], f"{metric}_high": bounds[1]}
        table.writerow(cells | {name: value for name, value in values.items() if math.isfinite(value)})
    return text.getvalue()


def _difference_csv(comparison: Comparison) -> str:
    """A row for each pair and metric."""
    text = io.StringIO()
    columns = ("model", "against", "control", "metric", "difference", "low", "high", "verdict")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for each in comparison.differences:
        for metric in SCORES:
            mean, (low, high) = each.means[metric], each.intervals[metric] or ("", "")
            value = mean if math.isfinite(mean) else ""
            table.writerow([each.model, each.other, each.control, metric, value, low, high, each.verdict(metric)])
    return text.getvalue()


def _plain(comparison: Comparison) -> dict[str, Any]:
    rows = []
    for row in comparison.rows:
        summary = {"run": row.run, "means": row.means, "intervals": row.intervals, "best": row.is_best}
        rows.append(summary | plain_facts(row.evaluation))
    return {
        "name": comparison.name,
        "protocol": asdict(comparison.protocol),
        "split": comparison.split,
        "frames": comparison.frames,
        "notes": comparison.notes,
        "warnings": comparison.warnings,
        "resampling": comparison.resampling.facts(),
        "differences": [each.facts() for each in comparison.differences],
        "rows": rows,
        "leader": comparison.leader.name,
        "selected": comparison.selected,
        "seed_means": [asdict(group) for group in comparison.seed_means],
    }
