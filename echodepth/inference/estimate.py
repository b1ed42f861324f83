"""The answer of a model, and its picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from echodepth.core.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """Prediction for one input, or for a batch in one array.

    Attributes:
        depth: float32 metres along the optical axis. Its height and width are those of the upright input image, of
            which no more than 4096x4096 pixels, or, for a recording, the model's own.
        uncertainty: predicted uncertainty (Laplace scale, metres); None if the model was trained without
            ``--uncertainty``.
    """

    depth: Float[np.ndarray, "*batch h w"]
    uncertainty: Float[np.ndarray, "*batch h w"] | None = None

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.depth.shape))
        depth = f"{self.depth.min():.2f} to {self.depth.max():.2f} m, median {np.median(self.depth):.2f} m"
        spread = "" if self.uncertainty is None else f", median uncertainty {np.median(self.uncertainty):.2f} m"
        return f"Estimate({shape}, {depth}{spread})"

    def plot(self, ground_truth: Float[np.ndarray, "*batch h2 w2"] | None = None, title: str = "") -> "Figure":
        """Draw depth and, where known, ground truth and uncertainty, with colour bars in metres.

        Args:
            ground_truth: metres; unknown where it is 0, negative or not finite. It may be of another size.
            title: of the figure.

        Returns:
            A figure with a row per frame: ``plot().savefig("depth.png")`` writes it, a notebook shows it.

        Raises:
            DataError: ``ground_truth`` is not one map for each of depth.
        """
        from echodepth.report.figures import Panel, display_limit, picture_grid

        height, width = self.depth.shape[-2:]
        depth = self.depth.reshape(-1, height, width)
        rows = [[Panel("depth", each, "depth")] for each in depth]
        limit = display_limit(depth, np.isfinite(depth))
        if ground_truth is not None:
            truth = np.asarray(ground_truth)
            if truth.ndim != self.depth.ndim or truth.shape[:-2] != self.depth.shape[:-2]:
                raise DataError(
                    f"ground_truth must be one map for each of depth, which is {list(self.depth.shape)}, "
                    f"not {list(truth.shape)}"
                )
            truth = truth.reshape(-1, *truth.shape[-2:])
            known = np.isfinite(truth) & (truth > 0)
            limit = max(limit, display_limit(truth, known)) if known.any() else limit
            for row, one, valid in zip(rows, truth, known, strict=True):
                row.append(Panel("ground truth", one, "depth", valid))
        error_limit = limit
        if self.uncertainty is not None:
            uncertainty = self.uncertainty.reshape(-1, height, width)
            error_limit = display_limit(uncertainty, np.isfinite(uncertainty))
            for row, one in zip(rows, uncertainty, strict=True):
                row.append(Panel("predicted uncertainty", one, "error"))
        return picture_grid(rows, limit, error_limit, title, "predicted uncertainty in m")
