"""A teacher's depth made metres: one factor and one offset, fitted once, over the frames whose depth was measured.

Networks that saw many cameras know inverse depth up to a scale and a shift (arXiv 1907.01341), or metres up to the
scale of a camera that they were not told of. Both are fitted in inverse depth: 1 / metres = scale * inverse + shift.
"""

import logging
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import theilslopes
from torch import Tensor
from torch.utils.data import default_collate

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.sample import Sample
from echodepth.data.split_dataset import SplitDataset
from echodepth.distillation.losses.base import Prediction
from echodepth.distillation.losses.feature_matching import resized
from echodepth.distillation.teachers.frozen import DepthKind, Teacher

log = logging.getLogger(__name__)
Fit = Literal["scale", "affine"]
Pixels = Float[np.ndarray, " n"]
FRAMES, PIXELS = 200, 300
"""How many frames are looked at, and how many pixels of each: 60,000 pairs for two numbers."""
NEAREST = 1e-3
"""Metres: what is nearer is no answer."""
TRIMMED = 0.2
"""Share of the pairs that are left out of a fit as outliers, as in arXiv 1907.01341."""


@dataclass(frozen=True)
class DepthAlignment:
    """From what a teacher says to metres.

    Attributes:
        fit: ``scale`` (the shift is 0) or ``affine``.
        inverse: whether the teacher says inverse depth; otherwise its inverse is taken first.
        scale: of inverse depth.
        shift: of inverse depth, in 1/m.
        limit: metres; what is farther becomes this.
    """

    fit: Fit
    inverse: bool
    scale: float
    shift: float
    limit: float

    def __call__(self, said: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Metres, above 0 and up to the limit."""
        inverse = said if self.inverse else 1 / said.clamp(min=NEAREST)
        return 1 / (self.scale * inverse + self.shift).clamp(min=1 / self.limit, max=1 / NEAREST)

    def __str__(self) -> str:
        said = "d" if self.inverse else "1/d"
        return f"1/metres = {self.scale:.4g} {said}" + (f" {self.shift:+.4g}" if self.fit == "affine" else "")


class AlignedTeacher(Teacher):
    """A teacher whose depth is made metres; its features stay as they are.

    Args:
        teacher: says some depth.
        metres: what makes it metres.
    """

    def __init__(self, teacher: Teacher, metres: DepthAlignment) -> None:
        self.teacher = teacher
        self.metres = metres

    def predict(self, batch: Sample) -> Prediction:
        """What the teacher says, in metres."""
        view = self.teacher.predict(batch)
        # Its doubts would be in the units that it spoke in.
        return replace(view, depth=self.metres(view.depth), scale=None)

    def feature_channels(self) -> dict[str, int]:
        """The teacher's."""
        return self.teacher.feature_channels()

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """The teacher's."""
        return self.teacher.feature_sizes()


def fit_alignment(said: Pixels, measured: Pixels, fit: Fit, answer: DepthKind, limit: float) -> DepthAlignment:
    """The scale and shift that make what was said what was measured.

    ``scale`` is the median ratio. ``affine`` is least squares, refitted without the fifth of the pairs that lie
    farthest off until it stays as it is: a window or a mirror, which sight and measurement tell differently, has no
    say in it.

    Args:
        said: the teacher's depth at some pixels, in its own kind.
        measured: metres at the same pixels.
        fit: ``scale`` or ``affine``.
        answer: what the teacher's depth means.
        limit: metres; pairs measured there may have been clipped, and are left out.

    Raises:
        DataError: there are no pairs, or nothing makes what was said what was measured.
    """
    inverse = answer == "disparity"
    known = measured < limit
    asked = said[known].astype(np.float64)
    asked = asked if inverse else 1 / np.maximum(asked, NEAREST)
    target = 1 / np.maximum(measured[known].astype(np.float64), NEAREST)
    if not len(asked):
        raise DataError("the teacher's depth cannot be made metres: no depth was measured below --max_depth")
    if not np.ptp(asked) > 0:
        raise DataError("the teacher's depth cannot be made metres: it is the same everywhere; give another --teacher")
    if fit == "scale":
        with np.errstate(divide="ignore"):  # of a disparity of 0: infinitely far, and a median bears some of those
            scale, shift = float(np.median(target / asked)), 0.0
        if not np.isfinite(scale):
            raise DataError("the teacher's disparity is 0 at most places: give --teacher_align affine")
    else:
        scale, shift = _trimmed_line(asked, target)
        if not scale > 0:
            raise DataError(
                "the teacher holds for near what was measured as far, so no factor and offset make it metres: "
                "give --teacher_align scale, or another --teacher"
            )
    return DepthAlignment(fit, inverse, scale, shift, limit)


def _trimmed_line(x: Pixels, y: Pixels) -> tuple[float, float]:
    # Least squares alone is drawn to the outliers that it is to find, so that it must not begin the search.
    few = np.random.default_rng(0).choice(len(x), min(len(x), 1000), replace=False)
    scale, shift = theilslopes(y[few], x[few])[:2] if np.ptp(x[few]) else (0.0, 0.0)
    kept = np.zeros(len(x), dtype=bool)
    for _ in range(50):
        apart = np.abs(scale * x + shift - y)
        closest = apart <= np.quantile(apart, 1 - TRIMMED)
        if np.array_equal(closest, kept) or not np.ptp(x[closest]):
            break
        kept = closest
        scale, shift = np.polyfit(x[kept], y[kept], 1)
    return float(scale), float(shift)


def measured_pairs(teacher: Teacher, frames: SplitDataset, device: torch.device) -> tuple[Pixels, Pixels]:
    """What a teacher says, and what was measured, at pixels drawn from frames drawn from those that are labelled.

    Args:
        teacher: is looked at.
        frames: with images and depth; the same frames give the same pairs.
        device: where to look.

    Returns:
        Said and measured, one after the other.
    """
    rng = np.random.default_rng(0)
    said, measured = [], []
    for sample in frames.draw_labelled(FRAMES, rng):
        batch: Sample = default_collate([sample])
        batch["image"] = batch["image"].to(device)
        depth, valid = batch["depth"].flatten(), batch["valid"].flatten()
        places = np.flatnonzero(valid.numpy())
        places = rng.choice(places, min(PIXELS, len(places)), replace=False)
        said.append(resized(teacher.predict(batch).depth.cpu(), batch["depth"]).flatten().numpy()[places])
        measured.append(depth.numpy()[places])
    return np.concatenate(said), np.concatenate(measured)


def align_teacher(
    teacher: Teacher,
    answer: DepthKind,
    align: Literal["auto", "none", "scale", "affine"],
    frames: SplitDataset,
    limit: float,
    device: torch.device,
) -> tuple[Teacher, dict[str, Any]]:
    """Fit once what a teacher's depth lacks to be metres.

    Args:
        teacher: says depth of the kind ``answer``.
        answer: likewise.
        align: ``auto`` takes metres as they are, fits a scale to proportions, and scale and shift to disparity.
        frames: the training frames, of which those with known depth are used.
        limit: metres; see ``DepthAlignment``.
        device: where to look.

    Returns:
        The teacher in metres, and what was fitted as plain values.

    Raises:
        ConfigError: inverse depth would be taken for metres.
        DataError: no scale makes it metres.
    """
    fits: dict[DepthKind, Fit | None] = {"metres": None, "proportions": "scale", "disparity": "affine"}
    if align == "none" and answer == "disparity":
        raise ConfigError(
            "--teacher_align none: this teacher says inverse depth of no unit, which is not metres: "
            "give --teacher_align affine"
        )
    fit = fits[answer] if align == "auto" else None if align == "none" else align
    if fit is None:
        return teacher, {"fit": "none"}
    metres = fit_alignment(*measured_pairs(teacher, frames, device), fit, answer, limit)
    log.info("the teacher's depth d is made metres, once: %s", metres)
    return AlignedTeacher(teacher, metres), asdict(metres)
