"""Everything that is counted of a split, added up batch by batch: no map is kept."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.metrics.calibration import Calibration
from echodepth.metrics.depth import METRICS, DepthMetrics, per_image_metrics
from echodepth.metrics.depth_bins import DepthBins
from echodepth.metrics.error_map import ErrorMapAccumulator


class MetricAccumulator:
    """The figures of a split: over images, over pixels, by depth, by region, and of the model's own doubt.

    Attributes:
        rows: per image its name, its scored pixels, and every figure (NaN where it has none).
        total: the figures of all images.
        ranges: by true depth.
        regions: by place in the picture.
        calibration: of a model that says how far off it expects to be; otherwise without an image.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.total = DepthMetrics()
        self.ranges = DepthBins()
        self.regions = ErrorMapAccumulator()
        self.calibration = Calibration()

    def update(
        self,
        names: Sequence[str],
        prediction: Float[Tensor, "b 1 h w"],
        scale: Float[Tensor, "b 1 h w"] | None,
        depth: Float[Tensor, "b 1 h w"],
        scored: Bool[Tensor, "b 1 h w"],
    ) -> None:
        """Add a batch, all of it in metres and on the CPU; see ``per_image_metrics`` for errors."""
        for part in (self.total, self.ranges, self.regions):
            part.update(prediction, depth, scored)
        if scale is not None:
            self.calibration.update(prediction, scale, depth, scored)
        figures = per_image_metrics(prediction, depth, scored)
        for i, name in enumerate(names):
            row = {"name": name, "pixels": int(scored[i].sum())}
            self.rows.append(row | {metric: float(figures[metric][i]) for metric in METRICS})
