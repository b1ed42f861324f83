"""A teacher's depth made metres: planted scales and shifts are found again, and outliers have no say."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.config import DataConfig
from echodepth.data.dataset import open_dataset
from echodepth.data.label_subset import LabelSubset
from echodepth.data.sample import Sample
from echodepth.distillation.losses.base import Prediction
from echodepth.distillation.scale_alignment import DepthAlignment, align_teacher, fit_alignment, measured_pairs
from echodepth.distillation.teachers.frozen import DepthKind, Teacher

CPU = torch.device("cpu")


class Oracle(Teacher):
    """Says inverse depth, twice the true one and 0.1 less, or three times the metres."""

    def __init__(self, answer: DepthKind) -> None:
        self.answer = answer
        self.names: list[str] = []

    def predict(self, batch: Sample) -> Prediction:
        self.names += batch["name"]
        depth = batch["depth"]
        return Prediction(2 / depth.clamp(min=0.1) - 0.1 if self.answer == "disparity" else 3 * depth, {})

    def feature_channels(self) -> dict[str, int]:
        return {}

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        return {}


def measured(size: int = 2000) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 9, size).astype(np.float32)


def test_a_planted_scale_and_shift_are_found() -> None:
    true = measured()
    metres = fit_alignment((1 / true - 0.05) / 0.004, true, "affine", "disparity", 10.0)
    assert (metres.scale, metres.shift) == pytest.approx((0.004, 0.05), rel=1e-3)
    said = torch.tensor((1 / true - 0.05) / 0.004).reshape(1, 1, 40, 50)
    assert torch.allclose(metres(said).flatten(), torch.tensor(true), rtol=1e-3)


def test_a_fifth_of_outliers_changes_nothing() -> None:
    true = measured()
    said = (1 / true - 0.05) / 0.004
    said[::6] = 900.0
    metres = fit_alignment(said, true, "affine", "disparity", 10.0)
    assert (metres.scale, metres.shift) == pytest.approx((0.004, 0.05), rel=1e-3)
    wrong = 1.25 * true
    wrong[::3] = 0.6
    assert fit_alignment(wrong, true, "scale", "proportions", 10.0).scale == pytest.approx(1.25, rel=1e-3)


def test_metric_depth_takes_a_factor_or_both() -> None:
    true = measured()
    scaled = fit_alignment(true / 1.6, true, "scale", "proportions", 10.0)
    assert scaled(torch.full((1, 1, 1, 1), 2.0)).item() == pytest.approx(3.2, rel=1e-5)
    both = fit_alignment(1 / (2 / true + 0.3), true, "affine", "proportions", 10.0)
    assert (both.scale, both.shift) == pytest.approx((0.5, -0.15), rel=1e-3)


def test_what_was_clipped_is_left_out_and_what_is_farther_is_clipped() -> None:
    true = np.minimum(measured(), 6.0)
    metres = fit_alignment(measured() / 2, true, "scale", "proportions", 6.0)
    assert metres.scale == pytest.approx(0.5, rel=1e-5)
    said = torch.tensor([1.0, 2.9, 3.1, 50.0]).reshape(1, 1, 2, 2)
    assert metres(said).flatten().tolist() == pytest.approx([2.0, 5.8, 6.0, 6.0], rel=1e-5)


def test_any_answer_becomes_a_depth_above_zero() -> None:
    metres = DepthAlignment("affine", True, 1.0, -0.5, 10.0)
    assert metres(torch.tensor([0.0, 0.5, 1.5, 1e9]).reshape(1, 1, 2, 2)).flatten().tolist() == pytest.approx(
        [10.0, 10.0, 1.0, 0.001]
    )


def test_what_no_scale_makes_metres_is_refused() -> None:
    true = measured()
    with pytest.raises(DataError, match=r"holds for near what was measured as far.*--teacher_align scale"):
        fit_alignment(true, true, "affine", "disparity", 10.0)
    with pytest.raises(DataError, match="it is the same everywhere"):
        fit_alignment(np.ones_like(true), true, "affine", "disparity", 10.0)
    said = np.zeros_like(true)
    said[:900] = 1.0
    with pytest.raises(DataError, match="disparity is 0 at most places: give --teacher_align affine"):
        fit_alignment(said, true, "scale", "disparity", 10.0)
    with pytest.raises(DataError, match="no depth was measured below --max_depth"):
        fit_alignment(true, true, "scale", "proportions", 0.1)


@pytest.mark.parametrize(
    ("answer", "align", "scale", "shift"),
    [
        ("disparity", "auto", 0.5, 0.05),
        ("proportions", "auto", 3.0, 0.0),
        ("metres", "scale", 3.0, 0.0),
    ],
)
def test_a_teacher_is_made_to_say_what_was_measured(
    v2_root: Path, answer: DepthKind, align: Literal["auto", "scale"], scale: float, shift: float
) -> None:
    frames = open_dataset(DataConfig(data_dir=v2_root, image_size=32), "train", ("image", "depth"))
    teacher, facts = align_teacher(Oracle(answer), answer, align, frames, 30.0, CPU)
    assert (facts["scale"], facts["shift"]) == pytest.approx((scale, shift), rel=1e-4, abs=1e-6)
    batch: Any = torch.utils.data.default_collate([frames[0]])
    said = teacher.predict(batch).depth
    assert torch.allclose(said[batch["valid"]], batch["depth"][batch["valid"]], rtol=1e-4)


def test_only_labelled_frames_are_fitted_and_always_the_same(v2_root: Path) -> None:
    labels = LabelSubset(0.5, keep_rest=True)
    frames = open_dataset(DataConfig(data_dir=v2_root, image_size=32), "train", ("image", "depth"), labels=labels)
    first, second = Oracle("metres"), Oracle("metres")
    pairs = [measured_pairs(teacher, frames, CPU) for teacher in (first, second)]
    assert all(np.array_equal(one, other) for one, other in zip(*pairs, strict=True))
    assert sorted(first.names) == [r.name for r in frames.records if r.room in (frames.labelled_rooms or ())]
    assert len(first.names) == 3
    assert len(pairs[0][0]) == 3 * 300


def test_metres_are_taken_as_they_are_and_disparity_is_not(v2_root: Path) -> None:
    frames = open_dataset(DataConfig(data_dir=v2_root, image_size=32), "train", ("image", "depth"))
    teacher = Oracle("metres")
    assert align_teacher(teacher, "metres", "auto", frames, 30.0, CPU) == (teacher, {"fit": "none"})
    assert align_teacher(teacher, "proportions", "none", frames, 30.0, CPU) == (teacher, {"fit": "none"})
    with pytest.raises(ConfigError, match="--teacher_align none: this teacher says inverse depth"):
        align_teacher(teacher, "disparity", "none", frames, 30.0, CPU)
