"""Pictures of a comparison's page: inputs and predictions of frames, and error maps by image region."""

from dataclasses import dataclass

import numpy as np

from echodepth.evaluation.comparison import Comparison, ComparisonRow
from echodepth.evaluation.frame_predictions import FramePrediction
from echodepth.metrics.error_map import GRID
from echodepth.report.figures import Panel, display_limit, error_to_rgb, input_panels, panel_to_rgb
from echodepth.report.html import ReportImage, data_uri
from echodepth.report.svg_chart import nice_ticks


@dataclass(frozen=True)
class ModelResult:
    """One model's prediction and error for a frame, and its predicted uncertainty if it has one."""

    name: str
    note: str
    pictures: list[ReportImage]


@dataclass(frozen=True)
class FrameCard:
    """One frame: inputs and ground truth, each model's result, and the limits of the colour scales in metres."""

    name: str
    reasons: list[str]
    inputs: list[ReportImage]
    results: list[ModelResult]
    depth_limit: float
    error_limit: float

    @property
    def columns(self) -> int:
        """The largest number of pictures of a result; all results get the same width."""
        return max(len(result.pictures) for result in self.results)


@dataclass(frozen=True)
class ErrorMapImage:
    """One row's error by image region, and the position of its worst region in per cent of the picture."""

    name: str
    source: str
    note: str
    left: float
    top: float


def frame_cards(comparison: Comparison) -> list[FrameCard]:
    """The selected frames in the order of their selection."""
    max_depth = max(row.evaluation.model["max_depth"] for row in comparison.rows)
    return [
        _frame_card(name, reasons, comparison.predictions[name], max_depth)
        for name, reasons in comparison.selected.items()
    ]


def _frame_card(name: str, reasons: list[str], predictions: dict[str, FramePrediction], max_depth: float) -> FrameCard:
    inputs: dict[str, np.ndarray] = {}
    for prediction in predictions.values():
        inputs = prediction.inputs | inputs
    first = next(iter(predictions.values()))
    depth_limit = display_limit(first.ground_truth, first.scored, max_depth)
    errors = {row: np.abs(each.prediction - each.ground_truth) for row, each in predictions.items()}
    scored = {row: each.scored & np.isfinite(errors[row]) for row, each in predictions.items()}
    error_limit = max(display_limit(errors[row], scored[row], depth_limit) for row in predictions)

    def image(panel: Panel) -> ReportImage:
        return ReportImage(panel.caption, data_uri(panel_to_rgb(panel, depth_limit, error_limit)))

    results = []
    for row, each in predictions.items():
        error = errors[row][scored[row]]
        note = f"RMSE {np.sqrt(np.mean(error**2)):.2f} m" if error.size else "no scored pixel"
        panels = [Panel("prediction", each.prediction, "depth"), Panel("error", errors[row], "error", scored[row])]
        if each.uncertainty is not None:
            panels.append(Panel("predicted uncertainty", each.uncertainty, "error"))
        results.append(ModelResult(row, note, [image(panel) for panel in panels]))
    panels = [*input_panels(inputs), Panel("ground truth", first.ground_truth, "depth", first.scored)]
    return FrameCard(name, reasons, [image(panel) for panel in panels], results, depth_limit, error_limit)


def error_map_images(rows: list[ComparisonRow]) -> tuple[list[ErrorMapImage], float]:
    """Each row's error by image region, and the upper limit in metres of the colour scale that all of them share."""
    worst = {row.name: row.evaluation.error_map.worst for row in rows}
    grids = {row.name: np.array(row.evaluation.error_map.mae) for row in rows if worst[row.name]}
    if not grids:
        return [], 1.0
    limit = nice_ticks(0.0, max(float(np.nanmax(grid)) for grid in grids.values()), 5)[-1]
    images = []
    for name, grid in grids.items():
        region = worst[name]
        assert region is not None
        source = data_uri(error_to_rgb(grid, np.isfinite(grid), limit))
        note = f"worst: {region.position}, {region.mae:.2f}\N{NO-BREAK SPACE}m"
        images.append(ErrorMapImage(name, source, note, 100 * region.column / GRID, 100 * region.row / GRID))
    return images, limit
