"""Texts about a comparison that its files share."""

from echodepth.evaluation.comparison import Comparison, ComparisonRow
from echodepth.report.formatting import number

INTERVAL_SENTENCE = (
    "In brackets: 95 % bootstrap confidence interval of the mean over images. Frames of one room are correlated, so "
    "the interval holds for these rooms, not for other ones."
)
BINS_SENTENCE = (
    "Pooled over the scored pixels whose ground-truth depth lies in each range, lower bound included. Bias: mean of "
    "prediction minus ground truth, negative where the model predicts too near."
)


def describe(comparison: Comparison) -> str:
    """One sentence: how many frames of which data were scored under which protocol."""
    first = comparison.rows[0].evaluation
    scope = f"the left-out location {first.left_out}" if first.left_out else f"the {comparison.split} split"
    frames = len(comparison.frames)
    return (
        f"{frames} frame{'s' if frames != 1 else ''} of {scope} of {first.dataset} under protocol "
        f"{comparison.protocol.name} ({comparison.protocol.description}); mean over images."
    )


def interval(row: ComparisonRow, metric: str) -> str:
    """The confidence interval of a mean in brackets; empty with fewer than two images."""
    bounds = row.intervals[metric]
    return "" if bounds is None else f"[{number(bounds[0])}, {number(bounds[1])}]"
