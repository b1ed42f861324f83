"""Colours and matplotlib figures of depth, error and spectrograms. NumPy in, pictures out; no model, no data set.

Near is light and far is dark. A pixel without a depth is grey, a colour of neither scale. Figures are built without
pyplot: no window, no global state, no leak in a long run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, to_hex
from matplotlib.figure import Figure

from echodepth.core.atomic_io import atomic_write
from echodepth.report.grid import DPI, ColourBar, grid_figure

DEPTH_COLOURS = "magma_r"
ERROR_COLOURS = "YlOrRd"
SPECTROGRAM_COLOURS = "viridis"
INVALID_GREY = 0.62

Kind = Literal["image", "spectrogram", "depth", "error"]


@dataclass(frozen=True)
class Panel:
    """One cell of a picture grid.

    Attributes:
        caption: written above the cell, in the first row and wherever it differs from the cell above.
        values: [h, w, 3] in 0..1 for an image, [f, t] for a spectrogram (low frequencies first), [h, w] metres for
            depth and error.
        kind: selects the colours.
        valid: [h, w], pixels with a depth or error; all pixels when None.
        note: a short text in the corner, such as the image's RMSE.
        span: lower and upper limit of a spectrogram's colour scale; its own range when None.
    """

    caption: str
    values: np.ndarray
    kind: Kind
    valid: np.ndarray | None = None
    note: str = ""
    span: tuple[float, float] | None = None


def depth_to_rgb(
    depth: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], max_depth: float
) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of a depth map in metres, from 0 (light) to ``max_depth`` (dark); grey where not valid."""
    return _colours(depth, valid, max_depth, DEPTH_COLOURS)


def error_to_rgb(
    error: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], max_error: float
) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of an absolute error in metres, from 0 (pale) to ``max_error`` (red); grey where not valid."""
    return _colours(error, valid, max_error, ERROR_COLOURS)


def spectrogram_to_rgb(
    spectrogram: Float[np.ndarray, "f t"], span: tuple[float, float] | None = None
) -> UInt8[np.ndarray, "f t 3"]:
    """RGB of a spectrogram, the lowest frequency (the first row) drawn at the bottom.

    ``span`` limits the colour scale. Two ears must share one, or their level difference is invisible.
    """
    low, high = span or (float(spectrogram.min()), float(spectrogram.max()))
    # A constant spectrogram (silence) has no range to divide by.
    scaled = (spectrogram[::-1] - low) / (high - low) if high > low else np.zeros_like(spectrogram)
    return _colours(scaled, np.isfinite(scaled), 1.0, SPECTROGRAM_COLOURS)


def shared_span(spectrograms: Sequence[np.ndarray]) -> tuple[float, float]:
    """The range of several spectrograms, as the limits of one colour scale."""
    return min(float(x.min()) for x in spectrograms), max(float(x.max()) for x in spectrograms)


def panel_to_rgb(panel: Panel, depth_limit: float, error_limit: float) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of a panel's values; the limits are the ends of the depth and error scales in metres."""
    valid = np.ones(panel.values.shape[:2], dtype=bool) if panel.valid is None else panel.valid
    match panel.kind:
        case "image":
            rgb: np.ndarray = np.round(255 * np.clip(panel.values, 0, 1)).astype(np.uint8)
            return rgb
        case "spectrogram":
            return spectrogram_to_rgb(panel.values, panel.span)
        case "depth":
            return depth_to_rgb(panel.values, valid, depth_limit)
        case "error":
            return error_to_rgb(panel.values, valid, error_limit)


def colour_stops(kind: Literal["depth", "error"], count: int = 9) -> list[str]:
    """Evenly spaced colours of a scale from 0 to its limit, as #rrggbb."""
    colours = _colour_map(DEPTH_COLOURS if kind == "depth" else ERROR_COLOURS)
    return [to_hex(colours(position)) for position in np.linspace(0, 1, count)]


def _colours(
    values: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], limit: float, colours: str
) -> UInt8[np.ndarray, "h w 3"]:
    known = valid & np.isfinite(values)
    rgb = _colour_map(colours)(np.clip(np.where(known, values, 0) / limit, 0, 1))[..., :3]
    return np.round(np.where(known[..., None], rgb, INVALID_GREY) * 255).astype(np.uint8)


def _colour_map(name: str) -> Colormap:
    return matplotlib.colormaps[name]


def display_limit(values: np.ndarray, valid: np.ndarray, most: float = math.inf) -> float:
    """A round upper limit of a colour scale: at least the 98th percentile of the values, at most ``most``.

    A room of 6 m on a scale of 30 m would have a single colour.
    """
    known = values[valid & np.isfinite(values)]
    if known.size == 0:
        return most if math.isfinite(most) else 1.0
    top = max(float(np.percentile(known, 98)), 1e-3)
    step = 10.0 ** math.floor(math.log10(top)) / 2
    return min(math.ceil(top / step) * step, most)


def picture_grid(
    rows: Sequence[Sequence[Panel]],
    depth_limit: float,
    error_limit: float,
    title: str = "",
    error_label: str = "absolute error in m",
) -> Figure:
    """A grid of panels that share one depth scale and one error scale, each with a colour bar in metres.

    Args:
        rows: rows of equal length, at least one.
        depth_limit: upper end of the depth scale in metres.
        error_limit: upper end of the error scale in metres.
        title: of the figure.
        error_label: of the colour bar of the error scale.

    Raises:
        ValueError: there is no row, or the rows differ in length.
    """
    if not rows or len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError(f"rows must be of one length, at least 1, not {[len(row) for row in rows]}")
    captioned = [
        [not i or panel.caption != rows[i - 1][j].caption for j, panel in enumerate(row)] for i, row in enumerate(rows)
    ]
    kinds = {panel.kind for row in rows for panel in row}
    bars = []
    if "depth" in kinds:
        bars.append(depth_bar(depth_limit))
    if "error" in kinds:
        bars.append(_metre_bar("error", error_limit, error_label))
    columns = len(rows[0])
    heights = [max(_aspect(panel) for panel in row) for row in rows]
    figure, axes = grid_figure(2.3 * columns, columns, heights, [any(row) for row in captioned], bars, title)
    for axis, panel, with_caption in zip(axes.flat, chain(*rows), chain(*captioned), strict=True):
        _draw_panel(axis, panel, depth_limit, error_limit, with_caption)
    return figure


def result_picture(
    inputs: list[dict[str, np.ndarray]],
    prediction: Float[np.ndarray, "n h w"],
    depth: Float[np.ndarray, "n h w"],
    valid: Bool[np.ndarray, "n h w"],
    max_depth: float,
    title: str,
    uncertainty: Float[np.ndarray, "n h w"] | None = None,
) -> Figure:
    """Inputs, prediction, ground truth, error and, where given, predicted uncertainty: a row per frame.

    Args:
        inputs: for each frame a caption ("RGB", "left ear", "right ear") to an [h, w, 3] image in 0..1 or an [f, t]
            spectrogram.
        prediction: metres.
        depth: ground truth in metres.
        valid: pixels with ground truth.
        max_depth: upper bound of the depth scale in metres; a small room gets a shorter scale.
        title: of the figure, such as the experiment and epoch.
        uncertainty: predicted uncertainty in metres.

    Raises:
        ValueError: ``inputs`` has another number of frames than the maps.
    """
    if len(inputs) != len(depth):
        raise ValueError(f"inputs has {len(inputs)} frames, but the depth maps are {len(depth)}")
    error = np.abs(prediction - depth)
    rows = []
    for i, frame_inputs in enumerate(inputs):
        row = input_panels(frame_inputs)
        note = f"MAE {error[i][valid[i]].mean():.2f} m" if valid[i].any() else "no valid pixel"
        row.append(Panel("prediction", prediction[i], "depth"))
        row.append(Panel("ground truth", depth[i], "depth", valid[i]))
        row.append(Panel("error", error[i], "error", valid[i], note))
        if uncertainty is not None:
            row.append(Panel("predicted uncertainty", uncertainty[i], "error"))
        rows.append(row)
    depth_limit = display_limit(depth, valid, max_depth)
    return picture_grid(rows, depth_limit, display_limit(error, valid, depth_limit), title)


def input_panels(inputs: dict[str, np.ndarray]) -> list[Panel]:
    """Panels of one frame's inputs: images, and the spectrograms of both ears on one colour scale."""
    spectrograms = [x for x in inputs.values() if x.ndim == 2]
    span = shared_span(spectrograms) if spectrograms else None
    return [
        Panel(name, x, "image") if x.ndim == 3 else Panel(name, x, "spectrogram", span=span)
        for name, x in inputs.items()
    ]


def depth_picture(
    depth: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], max_depth: float, title: str = ""
) -> Figure:
    """One depth map with its colour bar in metres."""
    return _one_map(Panel(title, depth, "depth", valid), "depth", max_depth, "depth in m")


def uncertainty_picture(uncertainty: Float[np.ndarray, "h w"], title: str = "") -> Figure:
    """One map of predicted uncertainty with its colour bar in metres."""
    limit = display_limit(uncertainty, np.isfinite(uncertainty))
    return _one_map(Panel(title, uncertainty, "error"), "error", limit, "predicted uncertainty in m")


def _one_map(panel: Panel, kind: Literal["depth", "error"], limit: float, label: str) -> Figure:
    bars = [_metre_bar(kind, limit, label)]
    figure, axes = grid_figure(5.2, 1, [_aspect(panel)], [bool(panel.caption)], bars)
    _draw_panel(axes[0, 0], panel, limit, limit, with_caption=True)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure atomically, in the format of the path's suffix."""
    with atomic_write(path) as unfinished:
        figure.savefig(unfinished, format=path.suffix.lstrip(".") or "png", facecolor="white")
    return path


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure; ``size`` is its width and height in inches."""
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_panel(axis: Axes, panel: Panel, depth_limit: float, error_limit: float, with_caption: bool) -> None:
    rgb = np.clip(panel.values, 0, 1) if panel.kind == "image" else panel_to_rgb(panel, depth_limit, error_limit)
    # A spectrogram has no spatial aspect ratio and fills its cell; an image keeps its proportions.
    axis.imshow(rgb, aspect="auto" if panel.kind == "spectrogram" else "equal", interpolation="nearest")
    axis.set_axis_off()
    if with_caption:
        axis.set_title(panel.caption, fontsize=9)
    if panel.note:
        box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        axis.text(0.03, 0.04, panel.note, transform=axis.transAxes, fontsize=7.5, bbox=box)


def depth_bar(limit: float) -> ColourBar:
    """The colour bar of depth maps from 0 to ``limit`` metres."""
    return _metre_bar("depth", limit, "depth in m (grey: unknown)")


def _metre_bar(kind: Literal["depth", "error"], limit: float, label: str) -> ColourBar:
    return ColourBar(_colour_map(DEPTH_COLOURS if kind == "depth" else ERROR_COLOURS), limit, label)


def _aspect(panel: Panel) -> float:
    """Height over width of a panel as drawn: a spectrogram is square, whatever its number of bins."""
    height, width = panel.values.shape[:2]
    return 1.0 if panel.kind == "spectrogram" else min(max(height / width, 0.4), 1.6)
