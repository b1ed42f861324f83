"""HTML of the demo page: maps with depth under the pointer, spectrograms and a summary."""

import base64
import html
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from jaxtyping import Float
from PIL import Image

from echodepth.apps.demo.backend import DemoResult, depth_image
from echodepth.core.constants import SPEED_OF_SOUND
from echodepth.inference.outputs import to_millimetres
from echodepth.report.figures import (
    colour_stops,
    depth_to_rgb,
    display_limit,
    error_to_rgb,
    shared_span,
    spectrogram_to_rgb,
)
from echodepth.report.html import data_uri, template

ASSETS = Path(__file__).parent
MAX_DISPLAY_DEPTH = 100.0
"""Metres: largest upper end of the depth scale."""


def depth_limit(results: list[DemoResult]) -> float:
    """Upper end of the depth scale that all maps on the page share, in metres."""
    maps = [each for one in results for each in (one.estimate.depth, one.ground_truth) if each is not None]
    return _limit(maps, MAX_DISPLAY_DEPTH)


def maps_html(results: list[DemoResult], image: Image.Image | None, shape: tuple[int, int]) -> str:
    """HTML of all maps, one row per model; ground truth and RGB image end the first row.

    Args:
        results: at least one result.
        image: RGB image of the same view, upright.
        shape: height and width in which the maps are drawn.
    """
    max_depth = depth_limit(results)
    error_maps = [each for one in results for each in (one.error, one.estimate.uncertainty) if each is not None]
    max_error = _limit(error_maps, max_depth)
    rows = [_result_row(one, shape, max_depth, max_error) for one in results]
    if (ground_truth := results[0].ground_truth) is not None:
        colours = depth_to_rgb(ground_truth, np.isfinite(ground_truth), max_depth)
        rows[0].append(_map("ground truth", colours, ground_truth))
    if image is not None:
        rows[0].append({"title": "image", "source": data_uri(image, "JPEG"), "metres": ""})
    scales = [{"quantity": "depth", "colours": colour_stops("depth"), "limit": max_depth}]
    if error_maps:
        scales.append({"quantity": "error", "colours": colour_stops("error"), "limit": max_error})
    # The page's title names a single model; each of two models names its row.
    names = [one.name for one in results] if len(results) > 1 else [""]
    return _template().render(
        rows=list(zip(names, rows, strict=True)),
        scales=scales,
        aspect=f"{shape[1]} / {shape[0]}",
        columns=max(map(len, rows)),
    )


def _limit(maps: list[np.ndarray], maximum: float) -> float:
    values = np.concatenate([each.ravel() for each in maps]) if maps else np.zeros(0)
    return display_limit(values, np.isfinite(values), maximum)


def _result_row(one: DemoResult, shape: tuple[int, int], max_depth: float, max_error: float) -> list[dict[str, Any]]:
    depth, error, uncertainty = one.estimate.depth, one.error, one.estimate.uncertainty
    row = [_map("depth", np.asarray(depth_image(depth, shape, max_depth)), depth)]
    if error is not None:
        row.append(_map("error", error_to_rgb(error, np.isfinite(error), max_error), error))
    if uncertainty is not None:
        colours = error_to_rgb(uncertainty, np.isfinite(uncertainty), max_error)
        row.append(_map("predicted uncertainty", colours, uncertainty))
    return row


def _map(title: str, colours: np.ndarray, metres: Float[np.ndarray, "h w"]) -> dict[str, Any]:
    little_endian = to_millimetres(metres).astype("<u2").tobytes()
    return {
        "title": title,
        "source": data_uri(colours),
        "metres": base64.b64encode(little_endian).decode(),
        "height": metres.shape[0],
        "width": metres.shape[1],
    }


@cache
def _template() -> jinja2.Template:
    return template(ASSETS / "demo_maps.html.jinja")


def spectrograms_html(spectrograms: list[Float[np.ndarray, "f t"]], seconds: float) -> str:
    """HTML of both ears' spectrograms on one colour scale, with the time axis labelled by distance.

    Args:
        spectrograms: left ear and right ear, low frequencies first.
        seconds: their length, from the direct sound on.
    """
    span = shared_span(spectrograms)
    max_distance = f"{seconds * SPEED_OF_SOUND / 2:.0f} m"
    elements = [
        f'<figure><img src="{data_uri(spectrogram_to_rgb(spectrogram, span))}" alt="{name} ear">'
        f"<figcaption><span>0 m</span><b>{name} ear</b><span>{max_distance}</span></figcaption></figure>"
        for name, spectrogram in zip(("left", "right"), spectrograms, strict=True)
    ]
    return f'<div class="ears">{"".join(elements)}</div>'


def summary(results: list[DemoResult]) -> str:
    """Markdown with one paragraph per model: depth range, predicted uncertainty, metrics and time."""
    return "\n\n".join(map(_summary, results))


def _summary(one: DemoResult) -> str:
    depth = one.estimate.depth
    parts = [f"{depth.min():.2f} to {depth.max():.2f} m, median {np.median(depth):.2f} m"]
    if one.estimate.uncertainty is not None:
        parts.append(f"median predicted uncertainty {np.median(one.estimate.uncertainty):.2f} m")
    if one.metrics is not None:
        mae, rmse, delta1 = (one.metrics[name] for name in ("mae", "rmse", "delta1"))
        parts.append(f"MAE {mae:.2f} m, RMSE {rmse:.2f} m, δ₁ {100 * delta1:.0f} %")
    parts.append(f"{1000 * one.seconds:.0f} ms")
    return f"**{html.escape(one.name)}**: {' · '.join(parts)}"


def empty_html(inputs: str) -> str:
    """HTML that is shown before the first prediction; ``inputs`` names the files that the models take."""
    return f'<div class="empty">Drop {html.escape(inputs)} on the left, or choose an example.</div>'


def error_html(message: str) -> str:
    """Why there are no maps."""
    return f'<div class="empty error" role="alert"><b>This cannot be used.</b> {html.escape(message)}</div>'
