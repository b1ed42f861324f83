"""What a comparison's files say in words and figures, the same in each of them."""

import math

from echodepth.evaluation.comparison import Comparison, Row
from echodepth.metrics.depth import HIGHER_IS_BETTER

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
RANGES_SENTENCE = (
    "Pooled over the scored pixels whose true depth lies in each range, its lower end included. Bias: mean of "
    "prediction minus truth, negative where the model says too near."
)


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


def signed(value: float) -> str:
    """As ``number``, with a sign."""
    return number(value) if not math.isfinite(value) else f"{'−' if value < 0 else '+'}{number(abs(value))}"


def raw(value: float) -> str:
    """All digits, for a program that sorts; empty of none."""
    return repr(float(value)) if math.isfinite(value) else ""


def interval(row: Row, metric: str) -> str:
    """A figure's interval in brackets; empty with too few images for one."""
    bounds = row.intervals[metric]
    return "" if bounds is None else f"[{number(bounds[0])}, {number(bounds[1])}]"
