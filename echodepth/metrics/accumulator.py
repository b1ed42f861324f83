"""All metrics of a split, accumulated batch by batch; no depth map is kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.metrics.calibration import UncertaintyCalibration
from echodepth.metrics.depth import DepthMetrics, per_image_metrics
from echodepth.metrics.depth_bins import DepthBinAccumulator
from echodepth.metrics.direction import DIRECTIONS, correlation, direction_differences, undefined
from echodepth.metrics.error_map import ErrorMapAccumulator


class MetricAccumulator:
    """Metrics of a split: per image, overall, by depth range, by image region, and of the predicted uncertainty.

    Attributes:
        rows: one dict per image with its name, its room, its number of scored pixels, every metric (NaN without
            pixels), and its ``direction_differences`` (NaN without pixels in one half).
        total: metrics over all images.
        depth_bins: errors by ground-truth depth.
        error_map: errors by image region.
        calibration: calibration of the predicted uncertainty; empty for a model without uncertainty.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.total = DepthMetrics()
        self.depth_bins = DepthBinAccumulator()
        self.error_map = ErrorMapAccumulator()
        self.calibration = UncertaintyCalibration()

    def update(
        self,
        names: Sequence[str],
        rooms: Sequence[str],
        prediction: Float[Tensor, "b 1 h w"],
        uncertainty: Float[Tensor, "b 1 h w"] | None,
        depth: Float[Tensor, "b 1 h w"],
        scored: Bool[Tensor, "b 1 h w"],
    ) -> None:
        """Add a batch on the CPU, in metres; see ``per_image_metrics`` for errors."""
        for part in (self.total, self.depth_bins, self.error_map):
            part.update(prediction, depth, scored)
        if uncertainty is not None:
            self.calibration.update(prediction, uncertainty, depth, scored)
        values = per_image_metrics(prediction, depth, scored) | direction_differences(prediction, depth, scored)
        for i, (name, room) in enumerate(zip(names, rooms, strict=True)):
            row = {"name": name, "room": room, "pixels": int(scored[i].sum())}
            self.rows.append(row | {key: float(value[i]) for key, value in values.items()})

    def correlations(self) -> tuple[dict[str, float], dict[str, str]]:
        """The correlations of ``DIRECTIONS`` over images, and why those are undefined that are NaN."""
        values, reasons = {}, {}
        for direction in DIRECTIONS:
            pairs = np.array([[row[f"{direction}_{kind}"] for kind in ("predicted", "true")] for row in self.rows])
            predicted, true = pairs.reshape(-1, 2)[np.isfinite(pairs.reshape(-1, 2)).all(axis=1)].T
            values[direction] = float(correlation(predicted, true))
            if (reason := undefined(predicted, true)) is not None:
                reasons[direction] = reason
        return values, reasons
