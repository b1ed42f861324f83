"""The pictures of a comparison's page: frames as models see and answer them, and where in a picture they are wrong."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from echodepth.evaluation.comparison import Comparison, Row
from echodepth.evaluation.frame_predictions import FramePrediction
from echodepth.metrics.error_map import GRID
from echodepth.report.figures import depth_to_rgb, display_limit, error_to_rgb, input_panels, spectrogram_to_rgb
from echodepth.report.html import data_address
from echodepth.report.svg_chart import nice_ticks


@dataclass(frozen=True)
class Picture:
    """A captioned picture of the page, as a data address."""

    caption: str
    source: str


@dataclass(frozen=True)
class ModelResult:
    """What one model made of a frame: prediction, error, and the error that it expected where it says so."""

    name: str
    note: str
    pictures: list[Picture]


@dataclass(frozen=True)
class FrameCard:
    """One frame on the page: what is given and true, then each model's answer; scales in metres."""

    name: str
    why: list[str]
    given: list[Picture]
    answers: list[ModelResult]
    depth_limit: float
    error_limit: float

    @property
    def across(self) -> int:
        """The most pictures that an answer has; all answers are drawn as wide."""
        return max(len(answer.pictures) for answer in self.answers)


@dataclass(frozen=True)
class RegionMap:
    """One row's error by region: a picture of the grid, and the place of its worst region in per cent."""

    name: str
    source: str
    note: str
    left: float
    top: float


def frame_cards(comparison: Comparison) -> list[FrameCard]:
    """The pictured frames, in the order in which they were picked."""
    most = max(row.evaluation.model["max_depth"] for row in comparison.rows)
    return [_frame_card(name, why, comparison.views[name], most) for name, why in comparison.picks.items()]


def _frame_card(name: str, why: list[str], views: dict[str, FramePrediction], most: float) -> FrameCard:
    inputs: dict[str, np.ndarray] = {}
    for view in views.values():
        inputs = view.inputs | inputs
    truth = next(iter(views.values()))
    farthest = display_limit(truth.depth, truth.scored, most)
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
        pictures = [
            Picture("prediction", data_address(depth_to_rgb(view.prediction, everywhere, farthest))),
            Picture("error", data_address(error_to_rgb(errors[row], scored[row], worst))),
        ]
        if view.expected is not None:
            pictures.append(Picture("expected error", data_address(error_to_rgb(view.expected, everywhere, worst))))
        answers.append(ModelResult(row, note, pictures))
    return FrameCard(name, why, given, answers, farthest, worst)


def _input_colours(values: np.ndarray, span: tuple[float, float] | None) -> UInt8[np.ndarray, "h w 3"]:
    if values.ndim == 2:
        return spectrogram_to_rgb(values, span)
    rgb: np.ndarray = np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return rgb


def region_maps(rows: list[Row]) -> tuple[list[RegionMap], float]:
    """Each row's error by region, and the end in metres of the one scale that all are drawn on."""
    grids = {row.name: np.array(row.evaluation.regions.mae) for row in rows if row.evaluation.regions.worst}
    if not grids:
        return [], 1.0
    limit = nice_ticks(0.0, max(float(np.nanmax(grid)) for grid in grids.values()), 5)[-1]
    maps = []
    for row in rows:
        worst = row.evaluation.regions.worst
        if worst is not None:
            grid = grids[row.name]
            source = data_address(error_to_rgb(grid, np.isfinite(grid), limit))
            note = f"worst: {worst.where}, {worst.mae:.2f}\N{NO-BREAK SPACE}m"
            maps.append(RegionMap(row.name, source, note, 100 * worst.column / GRID, 100 * worst.row / GRID))
    return maps, limit
