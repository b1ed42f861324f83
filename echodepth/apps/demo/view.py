"""The parts of the page that are its own: maps with their metres under the pointer, what the ears heard, a summary."""

import base64
import html
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from jaxtyping import Float
from PIL import Image

from echodepth.apps.demo.backend import Answer, drawn_depth
from echodepth.core.constants import SPEED_OF_SOUND
from echodepth.inference.outputs import to_millimetres
from echodepth.report.figures import colour_stops, depth_to_rgb, display_limit, error_to_rgb, spectrogram_to_rgb
from echodepth.report.html import data_address, template

HERE = Path(__file__).parent
MOST_DEPTH = 100.0
"""Metres: a scale ends here at the latest."""


def depth_limit(answers: list[Answer]) -> float:
    """The end of the scale that all depth on the page shares, in metres."""
    maps = [each for one in answers for each in (one.estimate.depth, one.truth) if each is not None]
    return _limit(maps, MOST_DEPTH)


def maps_html(answers: list[Answer], picture: Image.Image | None, shape: tuple[int, int]) -> str:
    """Every map side by side, a row for each model; the truth and the picture end the first row.

    Args:
        answers: at least one.
        picture: shows the same, upright.
        shape: height and width in which the maps are drawn.
    """
    far = depth_limit(answers)
    faults = [each for one in answers for each in (one.error, one.estimate.uncertainty) if each is not None]
    off = _limit(faults, far)
    rows = [_row_of(one, shape, far, off) for one in answers]
    if (truth := answers[0].truth) is not None:
        rows[0].append(_map("truth", depth_to_rgb(truth, np.isfinite(truth), far), truth))
    if picture is not None:
        rows[0].append({"title": "picture", "source": data_address(picture, "JPEG"), "metres": ""})
    scales = [{"what": "depth", "colours": colour_stops("depth"), "limit": f"{far:g}"}]
    if faults:
        scales.append({"what": "error", "colours": colour_stops("error"), "limit": f"{off:g}"})
    # One model is named above; of two, each names its row.
    names = [one.name for one in answers] if len(answers) > 1 else [""]
    return _template().render(
        rows=list(zip(names, rows, strict=True)),
        scales=scales,
        aspect=f"{shape[1]} / {shape[0]}",
        columns=max(map(len, rows)),
    )


def _limit(maps: list[np.ndarray], most: float) -> float:
    values = np.concatenate([each.ravel() for each in maps]) if maps else np.zeros(0)
    return display_limit(values, np.isfinite(values), most)


def _row_of(one: Answer, shape: tuple[int, int], far: float, off: float) -> list[dict[str, Any]]:
    depth, error, doubt = one.estimate.depth, one.error, one.estimate.uncertainty
    row = [_map("depth", np.asarray(drawn_depth(depth, shape, far)), depth)]
    if error is not None:
        row.append(_map("error", error_to_rgb(error, np.isfinite(error), off), error))
    if doubt is not None:
        row.append(_map("expected error", error_to_rgb(doubt, np.isfinite(doubt), off), doubt))
    return row


def _map(title: str, colours: np.ndarray, metres: Float[np.ndarray, "h w"]) -> dict[str, Any]:
    little_endian = to_millimetres(metres).astype("<u2").tobytes()
    return {
        "title": title,
        "source": data_address(colours),
        "metres": base64.b64encode(little_endian).decode(),
        "height": metres.shape[0],
        "width": metres.shape[1],
    }


@cache
def _template() -> jinja2.Template:
    return template(HERE / "demo_maps.html.jinja")


def ears_html(levels: list[Float[np.ndarray, "f t"]], seconds: float) -> str:
    """Both ears' spectrograms on one scale; time is also how far away what is heard then would be.

    Args:
        levels: the left ear's and the right's, low frequencies first.
        seconds: their length, from the direct sound on.
    """
    span = (float(min(x.min() for x in levels)), float(max(x.max() for x in levels)))
    reach = f"{seconds * SPEED_OF_SOUND / 2:.0f} m"
    figures = [
        f'<figure><img src="{data_address(spectrogram_to_rgb(level, span))}" alt="{name} ear">'
        f"<figcaption><span>0 m</span><b>{name} ear</b><span>{reach}</span></figcaption></figure>"
        for name, level in zip(("left", "right"), levels, strict=True)
    ]
    return f'<div class="ears">{"".join(figures)}</div>'


def summary(answers: list[Answer]) -> str:
    """A line of Markdown for each model: what it says, how far off it is, and how long it took."""
    return "\n\n".join(map(_told, answers))


def _told(one: Answer) -> str:
    depth = one.estimate.depth
    said = [f"{depth.min():.2f} to {depth.max():.2f} m, median {np.median(depth):.2f} m"]
    if one.estimate.uncertainty is not None:
        said.append(f"expected to be off by {np.median(one.estimate.uncertainty):.2f} m")
    if one.metrics is not None:
        figures = one.metrics
        said.append(f"MAE {figures['mae']:.2f} m, RMSE {figures['rmse']:.2f} m, δ₁ {100 * figures['delta1']:.0f} %")
    said.append(f"{1000 * one.seconds:.0f} ms")
    return f"**{html.escape(one.name)}**: {' · '.join(said)}"


def empty_html(takes: str) -> str:
    """What stands in the place of the maps before anything is asked."""
    return f'<div class="empty">Drop {html.escape(takes)} on the left, or pick an example.</div>'
