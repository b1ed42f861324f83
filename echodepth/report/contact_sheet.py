"""Contact sheet: many predicted depth maps in one figure, each beside its image where there is one."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from echodepth.report.figures import INVALID_GREY, Panel, display_limit, picture_grid, save_figure

MAX_FRAMES = 24
COLUMNS = 6
_MAX_NAME = 24


class ContactSheet:
    """Collects up to ``MAX_FRAMES`` evenly spaced frames and draws them on one depth scale.

    Args:
        path: of the figure.
        count: number of frames to choose from.

    Attributes:
        chosen: indices of the frames to add.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.chosen = {round(index) for index in np.linspace(0, count - 1, min(count, MAX_FRAMES))}
        self._frames: list[tuple[str, np.ndarray | None, np.ndarray]] = []

    def add(
        self, name: str, depth: Float[np.ndarray, "h w"], image: Float[np.ndarray, "h2 w2 3"] | None = None
    ) -> None:
        """Add a frame.

        Args:
            name: caption; a long one is shortened at its beginning.
            depth: metres, NaN where unknown.
            image: RGB in 0..1.
        """
        self._frames.append((name, image, depth))

    def write(self, title: str, max_depth: float) -> list[Path]:
        """Draw the sheet; without a frame nothing is written.

        Args:
            title: of the figure.
            max_depth: upper bound of the depth scale in metres.

        Returns:
            The file written, if any.
        """
        if not self._frames:
            return []
        has_images = any(image is not None for _, image, _ in self._frames)
        frames = [_panels(*frame, has_images) for frame in self._frames]
        columns = COLUMNS // 2 if has_images else COLUMNS
        blank = [Panel("", np.ones((1, 1, 3)), "image")] * len(frames[0])
        lines = [frames[start : start + columns] for start in range(0, len(frames), columns)]
        if len(lines) > 1:
            lines[-1] += [blank] * (columns - len(lines[-1]))
        values = np.concatenate([depth.ravel() for _, _, depth in self._frames])
        limit = display_limit(values, np.isfinite(values), max_depth)
        rows = [[panel for frame in line for panel in frame] for line in lines]
        return [save_figure(picture_grid(rows, limit, limit, title), self.path)]


def _panels(name: str, image: np.ndarray | None, depth: np.ndarray, has_images: bool) -> list[Panel]:
    caption = name if len(name) <= _MAX_NAME else f"…{name[1 - _MAX_NAME :]}"
    if not has_images:
        return [Panel(caption, depth, "depth", np.isfinite(depth))]
    grey = np.full((1, 1, 3), INVALID_GREY)
    return [
        Panel(caption, grey if image is None else image, "image"),
        Panel("depth", depth, "depth", np.isfinite(depth)),
    ]
