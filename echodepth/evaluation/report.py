"""A comparison as files: a table for papers, rows for programs, and a page with pictures for people."""

import base64
import csv
import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from echodepth.evaluation.chart import HEIGHT, WIDTH, Chart, line_chart
from echodepth.evaluation.comparison import Comparison, Row
from echodepth.evaluation.evaluate import to_json
from echodepth.evaluation.metrics import HIGHER_IS_BETTER, METRICS
from echodepth.evaluation.views import View
from echodepth.files import written_whole
from echodepth.viz import colour_stops, depth_to_rgb, display_limit, error_to_rgb, input_panels, spectrogram_to_rgb

TITLES = {
    "rmse": "RMSE (m)",
    "abs_rel": "ABS REL",
    "log10": "log10",
    "delta1": "δ1",
    "delta2": "δ2",
    "delta3": "δ3",
    "mae": "MAE (m)",
    "silog": "SILog",
}
INTERVAL_SENTENCE = (
    "In brackets, the 95 % bootstrap interval over images. Frames of one room are alike, so it says how sure a figure "
    "is for these rooms, not for others."
)
CURVE_TITLES = {
    "train/loss": "Training loss",
    "val/rmse": "Validation RMSE in m",
}


def write_report(comparison: Comparison, folder: Path) -> None:
    """Write comparison.md, .csv, .json and .html."""
    texts = {
        "md": markdown(comparison),
        "csv": _csv(comparison),
        "json": to_json(_facts(comparison)),
        "html": html(comparison),
    }
    for ending, text in texts.items():
        with written_whole(folder / f"comparison.{ending}") as path:
            path.write_text(text, encoding="utf-8")


def sentence(comparison: Comparison) -> str:
    """What was scored, where and how: without it the figures mean nothing."""
    first = comparison.rows[0].evaluation
    where = f"the left-out location {first.left_out}" if first.left_out else f"the {comparison.split} split"
    frames = len(comparison.frames)
    return (
        f"{frames} frame{'s' if frames != 1 else ''} of {where} of {first.dataset} under protocol "
        f"{comparison.protocol.name} ({comparison.protocol.description}); mean over images."
    )


def heading(metric: str) -> str:
    """A column's title, with an arrow to its better end."""
    return f"{TITLES[metric]} {'↑' if metric in HIGHER_IS_BETTER else '↓'}"


def number(value: float) -> str:
    """Three decimals, two for figures above ten, a dash for none."""
    return "–" if not math.isfinite(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def interval(row: Row, metric: str) -> str:
    """A figure's interval in brackets; empty with too few images for one."""
    bounds = row.intervals[metric]
    return "" if bounds is None else f"[{number(bounds[0])}, {number(bounds[1])}]"


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
        f"echodepth {first.version}, commit {first.commit}.",
    ]
    return "\n\n".join(parts) + "\n"


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
        "seed_means": [asdict(group) for group in comparison.seed_means],
    }


@dataclass(frozen=True)
class Picture:
    """A captioned picture of the page, as a data address."""

    caption: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class FrameCard:
    """One frame on the page: what is given and true, then each model's answer and error; scales in metres."""

    name: str
    given: list[Picture]
    answers: list[tuple[str, Picture, Picture]]
    depth_limit: float
    error_limit: float


def html(comparison: Comparison) -> str:
    """The page, in one file: pictures and styles are inside it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "heading": heading, "interval": interval}
    models = [row for row in comparison.rows if row.evaluation.control == "none"]
    colours = {row.name: index % 8 for index, row in enumerate(models)}
    return environment.get_template("report.html.jinja").render(
        comparison=comparison,
        sentence=sentence(comparison),
        interval_sentence=INTERVAL_SENTENCE,
        metrics=METRICS,
        whiskers=_whiskers(comparison.rows),
        charts=_charts(comparison, colours),
        chart_size=(WIDTH, HEIGHT),
        colours=colours,
        frames=[_frame_card(name, views) for name, views in comparison.views.items() if views],
        depth_colours=colour_stops("depth"),
        error_colours=colour_stops("error"),
        first=comparison.rows[0].evaluation,
    )


def _whiskers(rows: list[Row]) -> list[tuple[Row, float, float, float]]:
    """Each row's RMSE and its interval's ends, in per cent of the widest."""
    ends = [(row.figures["rmse"], row.intervals["rmse"] or (row.figures["rmse"],) * 2) for row in rows]
    widest = 1.04 * max((high for _, (_, high) in ends if math.isfinite(high)), default=1.0) or 1.0
    return [
        (row, 100 * low / widest, 100 * value / widest, 100 * high / widest)
        for row, (value, (low, high)) in zip(rows, ends, strict=True)
        if math.isfinite(value)
    ]


def _charts(comparison: Comparison, colours: dict[str, int]) -> list[Chart]:
    charts = []
    for column, title in CURVE_TITLES.items():
        series = {name: curves[column] for name, curves in comparison.curves.items() if curves.get(column)}
        if series:
            charts.append(line_chart(title, series, colours))
    return charts


def _frame_card(name: str, views: dict[str, View]) -> FrameCard:
    inputs: dict[str, np.ndarray] = {}
    for view in views.values():
        inputs = view.inputs | inputs
    truth = next(iter(views.values()))
    farthest = display_limit(truth.depth, truth.scored)
    errors = {row: np.abs(view.prediction - view.depth) for row, view in views.items()}
    scored = {row: view.scored & np.isfinite(errors[row]) for row, view in views.items()}
    worst = max(display_limit(errors[row], scored[row], farthest) for row in views)
    given = [
        Picture(panel.caption, data_address(_input_colours(panel.values, panel.span))) for panel in input_panels(inputs)
    ]
    given.append(Picture("truth", data_address(depth_to_rgb(truth.depth, truth.scored, farthest))))
    answers = []
    for row, view in views.items():
        error = errors[row][scored[row]]
        note = f"RMSE {np.sqrt(np.mean(error**2)):.2f} m" if error.size else "no scored pixel"
        everywhere = np.ones_like(view.scored)
        prediction = Picture("prediction", data_address(depth_to_rgb(view.prediction, everywhere, farthest)))
        wrong = Picture("error", data_address(error_to_rgb(errors[row], scored[row], worst)), note)
        answers.append((row, prediction, wrong))
    return FrameCard(name, given, answers, farthest, worst)


def _input_colours(values: np.ndarray, span: tuple[float, float] | None) -> UInt8[np.ndarray, "h w 3"]:
    if values.ndim == 2:
        return spectrogram_to_rgb(values, span)
    rgb: np.ndarray = np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return rgb


def data_address(rgb: UInt8[np.ndarray, "h w 3"]) -> str:
    """A picture as PNG inside an address, so that the page needs no other file."""
    png = io.BytesIO()
    Image.fromarray(rgb).save(png, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")
