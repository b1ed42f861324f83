"""The table of the study of ears: each student against the original one, paired over rooms."""

from collections import defaultdict
from statistics import mean
from typing import Any

import numpy as np

from echodepth.evaluation.intervals import Bounds, metric_table
from echodepth.experiments.config import ExperimentConfig
from echodepth.experiments.grid import METHODS, MIRRORED
from echodepth.experiments.paired import paired_by_seed
from echodepth.experiments.table import Rows, setting, spread
from echodepth.metrics.direction import SCORE_TABLE

COLUMNS = ("rmse", "abs_rel", "delta1", "left_right", "up_down")
REFERENCE = "original"
FrameRows = list[dict[str, Any]]


def ear_markdown(config: ExperimentConfig, rows: Rows) -> str:
    """The table, a row per method.

    The last columns compare its RMSE with that of ``original``: the difference of the means over seeds, its confidence
    interval over rooms, and the range of the relative differences of the single seeds.

    Args:
        config: of the study.
        rows: one for each run, with its frames.
    """
    methods: dict[str, Rows] = defaultdict(list)
    for row in rows:
        methods[row["method"]].append(row)
    heads = [SCORE_TABLE[name].heading for name in COLUMNS]
    lines = [
        f"# ear, {config.preset}",
        "",
        setting(config, rows),
        "",
        f"| student | {' | '.join(heads)} | RMSE against {REFERENCE} | single seeds |",
        "|---" * (len(heads) + 3) + "|",
    ]
    order = [name + end for name in METHODS["ear"] for end in ("", MIRRORED)]
    for method in sorted(methods, key=lambda name: order.index(name) if name in order else len(order)):
        cells = [spread([row[figure] for row in methods[method]]) for figure in COLUMNS]
        comparison = against(methods[method], methods.get(REFERENCE, []))
        lines.append(f"| {method} | {' | '.join([*cells, *comparison])} |")
    return "\n".join(lines) + "\n"


def against(members: Rows, reference: Rows) -> tuple[str, str]:
    """RMSE of a method against another one, in words: the mean over seeds with its interval, and the single seeds.

    Args:
        members: runs of the method.
        reference: runs of the other method; only seeds of both count.
    """
    pairs = paired_by_seed(members, reference)
    if not pairs or members is reference:
        return "", ""
    first, second = (mean(row["rmse"] for row in side) for side in zip(*pairs, strict=True))
    bounds = rmse_difference(pairs)
    interval = f" [{bounds[0]:+.3f}, {bounds[1]:+.3f}]" if bounds else ""
    shares = [one["rmse"] / other["rmse"] - 1 for one, other in pairs]
    return f"{first - second:+.3f} m ({first / second - 1:+.1%}){interval}", f"{min(shares):+.1%} to {max(shares):+.1%}"


def rmse_difference(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> Bounds | None:
    """Confidence interval over rooms of a difference in RMSE, of each frame's mean over the seeds."""
    contenders = [mean_over_seeds([row["frames"] for row in side]) for side in zip(*pairs, strict=True)]
    images = [row["name"] for row in contenders[0]]
    return metric_table(contenders, images, "simulated", seed=0).intervals(0, 1)["rmse"]


def mean_over_seeds(runs: list[FrameRows]) -> FrameRows:
    """For each frame the mean of every figure over several runs; text is that of the first."""
    averaged = []
    for frames in zip(*runs, strict=True):
        numbers = {
            name: float(np.mean([np.nan if frame[name] is None else frame[name] for frame in frames]))
            for name, value in frames[0].items()
            if not isinstance(value, str)
        }
        averaged.append(frames[0] | numbers)
    return averaged
