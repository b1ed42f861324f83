"""Figure of the calibration of a predicted uncertainty: sparsification and coverage curves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from echodepth.report.figures import new_figure


def calibration_figure(calibration: Mapping[str, Any], title: str = "") -> Figure:
    """Sparsification beside that of the oracle and of random removal, and observed against nominal coverage.

    Args:
        calibration: values and curves of ``UncertaintyCalibration.compute``.
        title: of the figure.
    """
    figure = new_figure((8.4, 4.6))
    axes = figure.subplots(1, 2)
    curves, limits = calibration["sparsification"], (0, 100)
    percent = 100 * np.asarray(curves["removed"])
    axes[0].axhline(curves["mae"][0], color="0.6", linestyle=":", label="removed at random")
    axes[0].plot(percent, curves["mae"], color="C0", label=f"by uncertainty, AURG {calibration['aurg']:.3f} m")
    axes[0].plot(percent, curves["oracle_mae"], color="C1", linestyle="--", label="by error (oracle)")
    label = f"between the two, AUSE {calibration['ause']:.3f} m"
    axes[0].fill_between(percent, curves["oracle_mae"], curves["mae"], color="C0", alpha=0.15, label=label)
    axes[0].set(xlabel="most uncertain pixels removed, %", ylabel="MAE of the rest, m", xlim=(0, 95), ylim=(0, None))
    coverage = [100 * np.asarray(calibration["coverage"][key]) for key in ("nominal", "observed")]
    axes[1].plot(limits, limits, color="0.6", linestyle=":", label="perfect calibration")
    axes[1].plot(*coverage, color="C0", marker=".", label="model (below: overconfident)")
    axes[1].set(xlabel="nominal coverage, %", ylabel="observed coverage, %", xlim=limits, ylim=limits)
    for axis in axes:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=8, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    return figure
