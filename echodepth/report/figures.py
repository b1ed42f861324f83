"""Drawing: depth, error and spectrograms, as arrays and as figures. NumPy in, pictures out; no model, no data.

Near is light and far is dark, as a torch in a dark room would show it; a pixel without a depth is grey, so that it
cannot be mistaken for either. Figures are built without pyplot: no window, no global state, no leak in a long run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize, to_hex
from matplotlib.figure import Figure

from echodepth.core.atomic_io import atomic_write

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
        kind: how it is coloured.
        valid: [h, w], where a depth or error is known; everywhere when None.
        note: a short text in the corner, such as this image's own RMSE.
        span: least and greatest value of a spectrogram's colours; its own when None.
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
    """Colours of a depth map in metres, from 0 (light) to ``max_depth`` (dark); grey where not valid."""
    return _colours(depth, valid, max_depth, DEPTH_COLOURS)


def error_to_rgb(
    error: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], max_error: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Colours of an absolute error in metres, from 0 (pale) to ``max_error`` (red); grey where not valid."""
    return _colours(error, valid, max_error, ERROR_COLOURS)


def spectrogram_to_rgb(
    spectrogram: Float[np.ndarray, "f t"], span: tuple[float, float] | None = None
) -> UInt8[np.ndarray, "f t 3"]:
    """Colours of a spectrogram whose first row is the lowest frequency, which is drawn at the bottom.

    ``span`` gives the least and greatest value; two ears must share one, or the louder ear cannot be seen.
    """
    low, high = span or (float(spectrogram.min()), float(spectrogram.max()))
    # Silence has no range; it is drawn as silence rather than divided by zero.
    scaled = (spectrogram[::-1] - low) / (high - low) if high > low else np.zeros_like(spectrogram)
    return _colours(scaled, np.isfinite(scaled), 1.0, SPECTROGRAM_COLOURS)


def colour_stops(kind: Literal["depth", "error"], count: int = 9) -> list[str]:
    """Evenly spaced colours of a scale from 0 to its limit, as #rrggbb, for a scale drawn elsewhere."""
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
    """A round end for a colour bar that shows these metres well: 98 % of them lie below it, and ``most`` caps it.

    A room of 6 m drawn on a scale of 30 m would be one colour.
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
    row_names: Sequence[str] = (),
) -> Figure:
    """A grid of panels that share one depth scale and one error scale, each with a colour bar in metres.

    Args:
        rows: rows of equal length, at least one.
        depth_limit: metres at the far end of the depth scale.
        error_limit: metres at the far end of the error scale.
        title: above everything.
        row_names: written at the left of each row; none when empty.

    Raises:
        ValueError: there is no row, or the rows differ in length.
    """
    if not rows or len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError(f"rows must be of one length, at least 1, not {[len(row) for row in rows]}")
    columns = len(rows[0])
    figure = new_figure((2.3 * columns, 2.2 * len(rows) + 1.0))
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            above = rows[i - 1][j].caption if i else ""
            _draw_panel(axes[i, j], panel, depth_limit, error_limit, with_caption=panel.caption != above)
        if row_names:
            axes[i, 0].set_ylabel(row_names[i], fontsize=9)
    kinds = {panel.kind for row in rows for panel in row}
    every_axis = list(axes.flat)
    if "depth" in kinds:
        _metre_bar(figure, every_axis, DEPTH_COLOURS, depth_limit, "depth in m (grey: not known)")
    if "error" in kinds:
        _metre_bar(figure, every_axis, ERROR_COLOURS, error_limit, "absolute error in m")
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def result_picture(
    inputs: list[dict[str, np.ndarray]],
    prediction: Float[np.ndarray, "n h w"],
    depth: Float[np.ndarray, "n h w"],
    valid: Bool[np.ndarray, "n h w"],
    max_depth: float,
    title: str,
    expected: Float[np.ndarray, "n h w"] | None = None,
) -> Figure:
    """What a network was given, what it said, what is true, and the difference: a row per frame.

    Args:
        inputs: for each frame a caption ("RGB", "left ear", "right ear") to an [h, w, 3] image in 0..1 or an [f, t]
            spectrogram.
        prediction: metres.
        depth: true metres.
        valid: where the truth is known.
        max_depth: metres; the depth scale ends here at the latest, and earlier for a small room.
        title: above everything, such as the experiment and epoch.
        expected: metres that the network expected to be off.

    Raises:
        ValueError: ``inputs`` has another number of frames than the maps.
    """
    if len(inputs) != len(depth):
        raise ValueError(f"inputs has {len(inputs)} frames, but the depth maps are {len(depth)}")
    error = np.abs(prediction - depth)
    rows = []
    for i, given in enumerate(inputs):
        row = input_panels(given)
        note = f"MAE {error[i][valid[i]].mean():.2f} m" if valid[i].any() else "no valid pixel"
        row.append(Panel("prediction", prediction[i], "depth"))
        row.append(Panel("truth", depth[i], "depth", valid[i]))
        row.append(Panel("error", error[i], "error", valid[i], note))
        if expected is not None:
            row.append(Panel("expected error", expected[i], "error"))
        rows.append(row)
    depth_limit = display_limit(depth, valid, max_depth)
    return picture_grid(rows, depth_limit, display_limit(error, valid, depth_limit), title)


def input_panels(given: dict[str, np.ndarray]) -> list[Panel]:
    """Panels of one frame's inputs: images as they are, the spectrograms of both ears on one scale."""
    spectrograms = [x for x in given.values() if x.ndim == 2]
    if spectrograms:
        span = (min(float(x.min()) for x in spectrograms), max(float(x.max()) for x in spectrograms))
    return [
        Panel(name, x, "image") if x.ndim == 3 else Panel(name, x, "spectrogram", span=span)
        for name, x in given.items()
    ]


def depth_picture(
    depth: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], max_depth: float, title: str = ""
) -> Figure:
    """One depth map with its colour bar in metres."""
    return _one_map(Panel(title, depth, "depth", valid), DEPTH_COLOURS, max_depth, "depth in m")


def error_picture(error: Float[np.ndarray, "h w"], title: str = "") -> Figure:
    """One map of expected errors with its colour bar in metres."""
    limit = display_limit(error, np.isfinite(error))
    return _one_map(Panel(title, error, "error"), ERROR_COLOURS, limit, "expected error in m")


def _one_map(panel: Panel, colours: str, limit: float, label: str) -> Figure:
    height, width = panel.values.shape
    figure = new_figure((5.2, 4.2 * min(max(height / width, 0.4), 1.6) + 0.4))
    axis = figure.subplots()
    _draw_panel(axis, panel, limit, limit, with_caption=True)
    _metre_bar(figure, [axis], colours, limit, label)
    return figure


def calibration_picture(calibration: Mapping[str, Any], title: str = "") -> Figure:
    """How well a model knows where it is wrong: its sparsification beside the best and none, and its coverage.

    Args:
        calibration: figures and curves as the evaluation makes them.
        title: above everything.
    """
    figure = new_figure((8.4, 4.6))
    axes = figure.subplots(1, 2)
    curves, share = calibration["sparsification"], (0, 100)
    percent = 100 * np.asarray(curves["removed"])
    axes[0].axhline(curves["mae"][0], color="0.6", linestyle=":", label="removed at random")
    axes[0].plot(percent, curves["mae"], color="C0", label=f"by the model, AURG {calibration['aurg']:.3f} m")
    axes[0].plot(percent, curves["oracle_mae"], color="C1", linestyle="--", label="by the error itself (oracle)")
    label = f"between the two, AUSE {calibration['ause']:.3f} m"
    axes[0].fill_between(percent, curves["oracle_mae"], curves["mae"], color="C0", alpha=0.15, label=label)
    axes[0].set(xlabel="least sure pixels removed, %", ylabel="MAE of the rest, m", xlim=(0, 95), ylim=(0, None))
    coverage = [100 * np.asarray(calibration["coverage"][key]) for key in ("expected", "observed")]
    axes[1].plot(share, share, color="0.6", linestyle=":", label="as it should be")
    axes[1].plot(*coverage, color="C0", marker=".", label="the model (below: too sure)")
    axes[1].set(xlabel="expected coverage, %", ylabel="observed coverage, %", xlim=share, ylim=share)
    for axis in axes:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=8, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of the path's ending. The file is there whole or not at all."""
    with atomic_write(path) as unfinished:
        figure.savefig(unfinished, format=path.suffix.lstrip(".") or "png", facecolor="white")
    return path


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of so many inches."""
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_panel(axis: Axes, panel: Panel, depth_limit: float, error_limit: float, with_caption: bool) -> None:
    valid = np.ones(panel.values.shape[:2], dtype=bool) if panel.valid is None else panel.valid
    match panel.kind:
        case "image":
            rgb = np.clip(panel.values, 0, 1)
        case "spectrogram":
            rgb = spectrogram_to_rgb(panel.values, panel.span)
        case "depth":
            rgb = depth_to_rgb(panel.values, valid, depth_limit)
        case "error":
            rgb = error_to_rgb(panel.values, valid, error_limit)
    # A spectrogram has no shape in space: its cell is filled. A view keeps its proportions.
    axis.imshow(rgb, aspect="auto" if panel.kind == "spectrogram" else "equal", interpolation="nearest")
    if panel.kind == "spectrogram":
        axis.set_box_aspect(1)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    if with_caption:
        axis.set_title(panel.caption, fontsize=9)
    if panel.note:
        box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        axis.text(0.03, 0.04, panel.note, transform=axis.transAxes, fontsize=7.5, bbox=box)


def _metre_bar(figure: Figure, axes: list[Axes], colours: str, limit: float, label: str) -> None:
    scale = ScalarMappable(Normalize(0, limit), _colour_map(colours))
    bar = figure.colorbar(scale, ax=axes, shrink=0.85, aspect=30, pad=0.015, extend="max")
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
