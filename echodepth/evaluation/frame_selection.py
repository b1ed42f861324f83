"""Selection of the frames that a comparison shows: the leading model's best, median and worst, and an even spread."""

import numpy as np

from echodepth.evaluation.comparison import ComparisonRow


def leading_row(rows: list[ComparisonRow]) -> ComparisonRow:
    """The audio model with the lowest RMSE, or without one the model with the lowest RMSE."""
    models = [row for row in rows if row.evaluation.control == "none"]
    return min([row for row in models if row.hears] or models, key=lambda row: row.means["rmse"])


def select_frames(row: ComparisonRow, frames: list[str], extremes: int, spread: int) -> dict[str, list[str]]:
    """The best, median and worst of a row's frames by RMSE, then evenly spread ones; no frame twice.

    Args:
        row: ranks the frames by its RMSE.
        frames: candidates, in the order of the split.
        extremes: number of best, of median and of worst frames; a third of all frames at most.
        spread: number of evenly spread frames, first and last included.

    Returns:
        Each frame's name with its reasons: one or more of "best", "median", "worst", "evenly spread".
    """
    rmse = {image["name"]: image["rmse"] for image in row.evaluation.rows}
    ordered = sorted((frame for frame in frames if np.isfinite(rmse[frame])), key=lambda frame: rmse[frame])
    count = min(extremes, len(ordered) // 3)
    middle = (len(ordered) - count) // 2
    groups = {
        "best": ordered[:count],
        "median": ordered[middle : middle + count],
        "worst": ordered[::-1][:count],
        "evenly spread": [frames[i] for i in np.linspace(0, len(frames) - 1, spread).round().astype(int)],
    }
    reasons: dict[str, list[str]] = {}
    for group, members in groups.items():
        for frame in dict.fromkeys(members):
            reasons.setdefault(frame, []).append(group)
    return reasons
