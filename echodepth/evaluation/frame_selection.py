"""Which frames a comparison shows: where its best model is at its best, as it mostly is, at its worst, and any."""

import numpy as np

from echodepth.evaluation.comparison import Row


def leading_row(rows: list[Row]) -> Row:
    """The row whose frames are shown: the best audio model, or without one the model with the lowest RMSE."""
    models = [row for row in rows if row.evaluation.control == "none"]
    return next((row for row in models if row.is_best), min(models, key=lambda row: row.figures["rmse"]))


def pick_frames(row: Row, frames: list[str], extremes: int, spread: int) -> dict[str, list[str]]:
    """The best, the median and the worst of a row's frames, then some that are spread evenly; each of them once.

    Args:
        row: whose RMSE decides.
        frames: to choose from, in the order of the split.
        extremes: how many of the best, of the median and of the worst; fewer where there are not three times as many.
        spread: how many are spread evenly, first and last included.

    Returns:
        Each frame's name, with what it is an example of: "best", "median", "worst", "evenly spread", at times several.
    """
    rmse = {each["name"]: each["rmse"] for each in row.evaluation.rows}
    ordered = sorted((frame for frame in frames if np.isfinite(rmse[frame])), key=lambda frame: rmse[frame])
    count = min(extremes, len(ordered) // 3)
    middle = (len(ordered) - count) // 2
    groups = {
        "best": ordered[:count],
        "median": ordered[middle : middle + count],
        "worst": ordered[::-1][:count],
        "evenly spread": [frames[i] for i in np.linspace(0, len(frames) - 1, spread).round().astype(int)],
    }
    why: dict[str, list[str]] = {}
    for group, members in groups.items():
        for frame in dict.fromkeys(members):
            why.setdefault(frame, []).append(group)
    return why
