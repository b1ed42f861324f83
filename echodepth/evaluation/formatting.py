"""Texts about a comparison that its files share."""

from echodepth.core.errors import listed
from echodepth.evaluation.comparison import Comparison, ComparisonRow
from echodepth.evaluation.differences import Difference
from echodepth.evaluation.intervals import Bounds, Resampling
from echodepth.report.formatting import number, signed

BINS_SENTENCE = (
    "Pooled over the scored pixels whose ground-truth depth lies in each range, lower bound included. Bias: mean of "
    "prediction minus ground truth, negative where the model predicts too near."
)

DIRECTION_SENTENCE = (
    "Left-right and up-down corr.: correlation over images of the predicted and the true difference of mean log depth "
    "between the halves of the image."
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


def headline(comparison: Comparison) -> str:
    """The result in one sentence: the leading model, its error, and whether another one may be as good."""
    leader = comparison.leader
    others = [row for row in comparison.rows if row.hears and row.name != leader.name] if leader.hears else []
    error = " ".join(filter(None, [f"{number(leader.means['rmse'])} m", interval(leader, "rmse")]))
    if not others:
        return f"{leader.name} has an RMSE of {error}."
    equals = [
        row.name
        for row in others
        for each in comparison.leading_differences
        if row.name in (each.model, each.other)
        and (bounds := each.intervals["rmse"]) is not None
        and bounds[0] <= 0 <= bounds[1]
    ]
    among = f"the lowest RMSE of the {len(others) + 1} audio models, {error}"
    if comparison.resampling.problem:
        return f"{leader.name} has {among}; whether it is better is open, without intervals."
    if not equals:
        return f"{leader.name} is the best audio model: it has {among}."
    return (
        f"No audio model is certainly the best. {leader.name} has {among}, not distinguishable from {listed(equals)}."
    )


def interval(row: ComparisonRow, metric: str) -> str:
    """The confidence interval of a mean in brackets; empty where there is none."""
    return brackets(row.intervals[metric])


def brackets(bounds: Bounds | None) -> str:
    """A confidence interval in brackets; empty where there is none."""
    return "" if bounds is None else f"[{number(bounds[0])}, {number(bounds[1])}]"


def signed_interval(difference: Difference, metric: str) -> str:
    """The confidence interval of a difference in brackets; empty where there is none."""
    bounds = difference.intervals[metric]
    return "" if bounds is None else f"[{signed(bounds[0])}, {signed(bounds[1])}]"


def difference_sentence(resampling: Resampling) -> str:
    """What the table of differences shows, or why it has no verdicts."""
    start = "The first model's mean minus the second one's"
    if resampling.problem:
        return f"{start}. No verdicts: {resampling.problem}."
    return (
        f"{start}, with the 95 % confidence interval of the difference, paired over "
        f"{resampling.unit}. A difference is not distinguishable where its interval contains 0. Of twenty equal pairs, "
        "one is expected to look different."
    )
