"""Scale alignment: convert a teacher's depth to metres by a scale and a shift, fitted once to ground truth.

Networks trained on images of many cameras predict inverse depth up to a scale and a shift (arXiv 1907.01341), or metres
up to the scale of an unknown camera. Both are fitted in inverse depth: 1 / metres = scale * inverse depth + shift.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import spearmanr, theilslopes
from torch import Tensor
from torch.utils.data import default_collate

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.sample import Sample
from echodepth.data.split_dataset import SplitDataset
from echodepth.distillation.losses.base import resize_like
from echodepth.distillation.teachers.frozen import DepthKind, Teacher
from echodepth.losses.base import MIN_DEPTH
from echodepth.models.layers import Prediction

log = logging.getLogger(__name__)
Fit = Literal["scale", "affine"]
TeacherDepth = Literal["auto", "metric", "inverse"]
_NAMES: dict[DepthKind, str] = {"metric": "metres", "up_to_scale": "metres", "affine_inverse": "inverse depth"}
Pixels = Float[np.ndarray, " n"]
FRAMES, PIXELS_PER_FRAME = 200, 300
"""Size of the sample that is fitted: 60,000 pixels for two parameters."""
CONTRADICTION = -0.3
"""Rank correlation below which a teacher's depth is not of the kind that it is taken for."""
OUTLIER_SHARE = 0.2
"""Share of the pixels that an affine fit leaves out as outliers, as in arXiv 1907.01341."""


@dataclass(frozen=True)
class DepthAlignment:
    """Conversion of a teacher's depth to metres.

    Attributes:
        fit: ``scale`` (the shift is 0) or ``affine``.
        inverse: whether the teacher gives inverse depth; otherwise its depth is inverted first.
        scale: factor of inverse depth.
        shift: offset of inverse depth, in 1/m.
        limit: metres; larger depths are clipped to it.
    """

    fit: Fit
    inverse: bool
    scale: float
    shift: float
    limit: float

    def __call__(self, teacher_depth: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Metres, above 0 and at most the limit."""
        inverse = teacher_depth if self.inverse else 1 / teacher_depth.clamp(min=MIN_DEPTH)
        return 1 / (self.scale * inverse + self.shift).clamp(min=1 / self.limit, max=1 / MIN_DEPTH)

    def __str__(self) -> str:
        inverse = "d" if self.inverse else "1/d"
        return f"1/metres = {self.scale:.4g} {inverse}" + (f" {self.shift:+.4g}" if self.fit == "affine" else "")


def _other(depth_kind: DepthKind) -> str:
    return "metric" if depth_kind == "affine_inverse" else "inverse"


class AlignedTeacher(Teacher):
    """A teacher whose depth is converted to metres; its features stay unchanged.

    Args:
        teacher: gives depth of any kind.
        alignment: converts that depth to metres.
    """

    def __init__(self, teacher: Teacher, alignment: DepthAlignment) -> None:
        self.teacher = teacher
        self.alignment = alignment

    def predict(self, batch: Sample) -> Prediction:
        """The teacher's prediction with depth in metres, and without uncertainty, which is in the teacher's unit."""
        prediction = self.teacher.predict(batch)
        return prediction._replace(depth=self.alignment(prediction.depth), uncertainty=None)

    def feature_channels(self) -> dict[str, int]:
        """The teacher's."""
        return self.teacher.feature_channels()

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """The teacher's."""
        return self.teacher.feature_sizes()


def fit_alignment(
    teacher_depth: Pixels, ground_truth: Pixels, fit: Fit, depth_kind: DepthKind, limit: float
) -> DepthAlignment:
    """Fit the scale and shift that convert a teacher's depth to the ground truth.

    ``scale`` is the median ratio of inverse depths. ``affine`` is least squares, repeated without the fifth of the
    pixels with the largest residuals until these no longer change. Images and depth cameras disagree at windows and
    mirrors, and such pixels have no influence on the fit.

    Args:
        teacher_depth: the teacher's depth, of any kind.
        ground_truth: metres at the same pixels.
        fit: ``scale`` or ``affine``.
        depth_kind: what the teacher's depth means.
        limit: metres; ground truth of this or more may be clipped, and is left out.

    Raises:
        DataError: there are no pixels, or no positive scale fits.
    """
    inverse = depth_kind == "affine_inverse"
    unclipped = ground_truth < limit
    teacher_inverse = teacher_depth[unclipped].astype(np.float64)
    teacher_inverse = teacher_inverse if inverse else 1 / np.maximum(teacher_inverse, MIN_DEPTH)
    target = 1 / np.maximum(ground_truth[unclipped].astype(np.float64), MIN_DEPTH)
    failure = "the depth of --teacher cannot be converted to metres"
    if not len(teacher_inverse):
        raise DataError(f"{failure}: no frame has ground truth below --max_depth; give a larger --max_depth")
    if not np.ptp(teacher_inverse) > 0:
        raise DataError(f"{failure}: it is the same at every pixel; give another --teacher")
    if fit == "scale":
        # A teacher's inverse depth of 0 is infinitely far; the median tolerates a minority of infinite ratios.
        with np.errstate(divide="ignore"):
            scale, shift = float(np.median(target / teacher_inverse)), 0.0
        if not np.isfinite(scale):
            raise DataError(f"{failure}: its inverse depth is 0 at most pixels; give --teacher_align affine")
    else:
        scale, shift = _trimmed_least_squares(teacher_inverse, target)
        if not scale > 0:
            raise DataError(
                f"{failure}: read as {_NAMES[depth_kind]}, it decreases where the ground truth increases; "
                f"give --teacher_depth {_other(depth_kind)}, or another --teacher"
            )
    return DepthAlignment(fit, inverse, scale, shift, limit)


def _trimmed_least_squares(x: Pixels, y: Pixels) -> tuple[float, float]:
    """Slope and intercept of a least-squares line through the pixels with the smallest residuals."""
    # Starts from a robust line: least squares over all pixels follows the outliers that it should identify.
    start = np.random.default_rng(0).choice(len(x), min(len(x), 1000), replace=False)
    slope, intercept = theilslopes(y[start], x[start])[:2] if np.ptp(x[start]) else (0.0, 0.0)
    inliers = np.zeros(len(x), dtype=bool)
    for _ in range(50):
        residuals = np.abs(slope * x + intercept - y)
        smallest = residuals <= np.quantile(residuals, 1 - OUTLIER_SHARE)
        if np.array_equal(smallest, inliers) or not np.ptp(x[smallest]):
            break
        inliers = smallest
        slope, intercept = np.polyfit(x[inliers], y[inliers], 1)
    return float(slope), float(intercept)


def sample_pixels(teacher: Teacher, frames: SplitDataset, device: torch.device) -> tuple[Pixels, Pixels]:
    """A teacher's depth and the ground truth at random pixels of random labelled frames.

    Args:
        teacher: gives depth of any kind.
        frames: with images and depth; the same frames give the same pixels.
        device: device of the teacher.

    Returns:
        The teacher's depth and the ground truth in metres.
    """
    rng = np.random.default_rng(0)
    teacher_depths, ground_truths = [], []
    for sample in frames.draw_labelled(FRAMES, rng):
        batch: Sample = default_collate([sample])
        batch["image"] = batch["image"].to(device)
        ground_truth, valid = batch["depth"].flatten(), batch["valid"].flatten()
        pixels = np.flatnonzero(valid.numpy())
        pixels = rng.choice(pixels, min(PIXELS_PER_FRAME, len(pixels)), replace=False)
        teacher_depth = resize_like(teacher.predict(batch).depth.cpu(), batch["depth"]).flatten()
        teacher_depths.append(teacher_depth.numpy()[pixels])
        ground_truths.append(ground_truth.numpy()[pixels])
    return np.concatenate(teacher_depths), np.concatenate(ground_truths)


def chosen_kind(depth_kind: DepthKind, teacher_depth: TeacherDepth) -> DepthKind:
    """The kind of a teacher's depth by ``--teacher_depth``, or if that is ``auto``, the teacher's own.

    Raises:
        ConfigError: the teacher is a model of this project, which predicts metres.
    """
    if teacher_depth == "inverse" and depth_kind == "metric":
        raise ConfigError("--teacher_depth inverse: this --teacher is a model of ours, which predicts metres; omit it")
    if teacher_depth == "auto" or depth_kind == "metric":
        return depth_kind
    return "affine_inverse" if teacher_depth == "inverse" else "up_to_scale"


def _check_kind(teacher_depth: Pixels, ground_truth: Pixels, depth_kind: DepthKind) -> None:
    """Raise a DataError if a teacher's depth runs against the ground truth: metres taken for inverse depth, or so."""
    if not (np.ptp(teacher_depth) > 0 and np.ptp(ground_truth) > 0):
        return
    correlation = float(spearmanr(teacher_depth, ground_truth).statistic)
    if (-correlation if depth_kind == "affine_inverse" else correlation) < CONTRADICTION:
        raise DataError(
            f"the depth of --teacher is taken for {_NAMES[depth_kind]}, but its rank correlation with the ground truth "
            f"is {correlation:+.2f}: give --teacher_depth {_other(depth_kind)}, or "
            f"{'inverse' if depth_kind == 'affine_inverse' else 'metric'} to take it so all the same"
        )


def align_teacher(
    teacher: Teacher,
    depth_kind: DepthKind,
    align: Literal["auto", "none", "scale", "affine"],
    frames: SplitDataset,
    limit: float,
    device: torch.device,
    *,
    is_certain: bool = False,
) -> tuple[Teacher, dict[str, Any]]:
    """Fit the conversion of a teacher's depth to metres, if it needs one.

    Args:
        teacher: gives depth of the kind ``depth_kind``.
        depth_kind: what the teacher's depth means.
        align: the fit; ``auto`` is none for metric depth, ``scale`` for depth up to scale, ``affine`` for inverse
            depth.
        frames: the training frames; those with ground truth are used.
        limit: metres; see ``DepthAlignment``.
        device: device of the teacher.
        is_certain: whether the user has chosen ``depth_kind``; otherwise it is compared with the ground truth.

    Returns:
        The teacher in metres, and the fitted values as plain values.

    Raises:
        ConfigError: inverse depth would be used as metres.
        DataError: its depth is of another kind, or no scale converts it to metres.
    """
    fits: dict[DepthKind, Fit | None] = {"metric": None, "up_to_scale": "scale", "affine_inverse": "affine"}
    if align == "none" and depth_kind == "affine_inverse":
        raise ConfigError(
            "--teacher_align none: this --teacher predicts inverse depth without a unit, not metres: "
            "give --teacher_align affine"
        )
    fit = fits[depth_kind] if align == "auto" else None if align == "none" else align
    if fit is None and (is_certain or depth_kind == "metric"):
        return teacher, {"fit": "none"}
    pixels = sample_pixels(teacher, frames, device)
    if not is_certain:
        _check_kind(*pixels, depth_kind)
    if fit is None:
        return teacher, {"fit": "none"}
    alignment = fit_alignment(*pixels, fit, depth_kind, limit)
    log.info("the teacher's depth d is converted to metres by %s", alignment)
    return AlignedTeacher(teacher, alignment), asdict(alignment)
