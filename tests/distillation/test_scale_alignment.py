"""Alignment of a teacher's depth to metres: known scales and shifts are recovered, with and without outliers."""

import warnings
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
from echodepth.distillation.scale_alignment import (
    DepthAlignment,
    _check_kind,
    align_teacher,
    chosen_kind,
    fit_alignment,
    sample_pixels,
)
from echodepth.distillation.teachers.frozen import DepthKind, Teacher
from echodepth.models.layers import Prediction

CPU = torch.device("cpu")


class Oracle(Teacher):
    """Predicts twice the true inverse depth minus 0.1, or three times the true depth."""

    def __init__(self, depth_kind: DepthKind) -> None:
        self.depth_kind = depth_kind
        self.names: list[str] = []

    def predict(self, batch: Sample) -> Prediction:
        self.names += batch["name"]
        depth = batch["depth"]
        inverse = self.depth_kind == "affine_inverse"
        predicted = 2 / depth.clamp(min=0.1) - 0.1 if inverse else 3 * depth
        return Prediction(predicted, torch.ones_like(depth), {})

    def feature_channels(self) -> dict[str, int]:
        return {}

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        return {}


def ground_truth(size: int = 2000) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 9, size).astype(np.float32)


def test_a_known_scale_and_shift_are_recovered() -> None:
    true = ground_truth()
    alignment = fit_alignment((1 / true - 0.05) / 0.004, true, "affine", "affine_inverse", 10.0)
    assert (alignment.scale, alignment.shift) == pytest.approx((0.004, 0.05), rel=1e-3)
    predicted = torch.tensor((1 / true - 0.05) / 0.004).reshape(1, 1, 40, 50)
    assert torch.allclose(alignment(predicted).flatten(), torch.tensor(true), rtol=1e-3)


def test_a_sixth_of_outliers_has_no_effect() -> None:
    true = ground_truth()
    predicted = (1 / true - 0.05) / 0.004
    predicted[::6] = 900.0
    alignment = fit_alignment(predicted, true, "affine", "affine_inverse", 10.0)
    assert (alignment.scale, alignment.shift) == pytest.approx((0.004, 0.05), rel=1e-3)
    wrong = 1.25 * true
    wrong[::3] = 0.6
    assert fit_alignment(wrong, true, "scale", "up_to_scale", 10.0).scale == pytest.approx(1.25, rel=1e-3)


def test_metric_depth_takes_a_factor_or_both() -> None:
    true = ground_truth()
    scaled = fit_alignment(true / 1.6, true, "scale", "up_to_scale", 10.0)
    assert scaled(torch.full((1, 1, 1, 1), 2.0)).item() == pytest.approx(3.2, rel=1e-5)
    both = fit_alignment(1 / (2 / true + 0.3), true, "affine", "up_to_scale", 10.0)
    assert (both.scale, both.shift) == pytest.approx((0.5, -0.15), rel=1e-3)


def test_clipped_ground_truth_is_left_out_and_large_depth_is_clipped() -> None:
    true = np.minimum(ground_truth(), 6.0)
    alignment = fit_alignment(ground_truth() / 2, true, "scale", "up_to_scale", 6.0)
    assert alignment.scale == pytest.approx(0.5, rel=1e-5)
    predicted = torch.tensor([1.0, 2.9, 3.1, 50.0]).reshape(1, 1, 2, 2)
    assert alignment(predicted).flatten().tolist() == pytest.approx([2.0, 5.8, 6.0, 6.0], rel=1e-5)


def test_any_inverse_depth_becomes_a_positive_depth() -> None:
    alignment = DepthAlignment("affine", True, 1.0, -0.5, 10.0)
    assert alignment(torch.tensor([0.0, 0.5, 1.5, 1e9]).reshape(1, 1, 2, 2)).flatten().tolist() == pytest.approx(
        [10.0, 10.0, 1.0, 0.001]
    )


def test_depth_that_no_scale_converts_is_refused() -> None:
    true = ground_truth()
    with pytest.raises(DataError, match=r"read as inverse depth, it decreases where .*; give --teacher_depth metric"):
        fit_alignment(true, true, "affine", "affine_inverse", 10.0)
    with pytest.raises(DataError, match=r"read as metres, it decreases where .*; give --teacher_depth inverse"):
        fit_alignment(1 / true, true, "affine", "up_to_scale", 10.0)
    with pytest.raises(DataError, match="it is the same at every pixel; give another --teacher"):
        fit_alignment(np.ones_like(true), true, "affine", "affine_inverse", 10.0)
    predicted = np.zeros_like(true)
    predicted[:900] = 1.0
    with pytest.raises(DataError, match="its inverse depth is 0 at most pixels; give --teacher_align affine"):
        fit_alignment(predicted, true, "scale", "affine_inverse", 10.0)
    with pytest.raises(DataError, match="no frame has ground truth below --max_depth"):
        fit_alignment(true, true, "scale", "up_to_scale", 0.1)


@pytest.mark.parametrize(
    ("depth_kind", "align", "scale", "shift"),
    [
        ("affine_inverse", "auto", 0.5, 0.05),
        ("up_to_scale", "auto", 3.0, 0.0),
        ("metric", "scale", 3.0, 0.0),
    ],
)
def test_an_aligned_teacher_predicts_the_ground_truth(
    v2_root: Path, depth_kind: DepthKind, align: Literal["auto", "scale"], scale: float, shift: float
) -> None:
    frames = open_dataset(DataConfig(data_dir=v2_root, image_size=32), "train", ("image", "depth"))
    teacher, facts = align_teacher(Oracle(depth_kind), depth_kind, align, frames, 30.0, CPU)
    assert (facts["scale"], facts["shift"]) == pytest.approx((scale, shift), rel=1e-4, abs=1e-6)
    batch: Any = torch.utils.data.default_collate([frames[0]])
    predicted = teacher.predict(batch).depth
    assert teacher.predict(batch).uncertainty is None  # it would be in the teacher's unit
    assert torch.allclose(predicted[batch["valid"]], batch["depth"][batch["valid"]], rtol=1e-4)


@pytest.mark.parametrize("align", ["auto", "scale", "affine", "none"])
@pytest.mark.parametrize("predicted", ["metric", "affine_inverse"])
def test_a_teacher_of_another_kind_than_it_is_taken_for_is_refused(
    v2_root: Path, predicted: DepthKind, align: Literal["auto", "scale", "affine", "none"]
) -> None:
    """Metres taken for inverse depth ended in the advice --teacher_align scale, which trained on nonsense."""
    frames = open_dataset(DataConfig(data_dir=v2_root, image_size=32), "train", ("image", "depth"))
    taken: DepthKind = "affine_inverse" if predicted == "metric" else "up_to_scale"
    if align == "none" and taken == "affine_inverse":
        return  # refused by itself
    flag = "metric" if predicted == "metric" else "inverse"
    with pytest.raises(DataError, match=rf"taken for .* ground truth is [+-]1\.00: give --teacher_depth {flag}, or"):
        align_teacher(Oracle(predicted), taken, align, frames, 30.0, CPU)
    right = chosen_kind(taken, flag)  # type: ignore[arg-type]
    teacher, _ = align_teacher(Oracle(predicted), right, "auto", frames, 30.0, CPU, is_certain=True)
    batch: Any = torch.utils.data.default_collate([frames[0]])
    depth, valid = teacher.predict(batch).depth, batch["valid"]
    assert torch.allclose(depth[valid], batch["depth"][valid], rtol=1e-4)


def test_the_flag_decides_what_a_foreign_teacher_predicts() -> None:
    assert chosen_kind("up_to_scale", "auto") == "up_to_scale"
    assert chosen_kind("up_to_scale", "inverse") == "affine_inverse"
    assert chosen_kind("affine_inverse", "metric") == "up_to_scale"
    assert chosen_kind("metric", "metric") == "metric"
    with pytest.raises(ConfigError, match="--teacher_depth inverse: this --teacher is a model of ours"):
        chosen_kind("metric", "inverse")


def test_only_labelled_frames_are_fitted_and_always_the_same(v2_root: Path) -> None:
    labels = LabelSubset(0.5, keep_rest=True)
    frames = open_dataset(DataConfig(data_dir=v2_root, image_size=32), "train", ("image", "depth"), labels=labels)
    first, second = Oracle("metric"), Oracle("metric")
    pairs = [sample_pixels(teacher, frames, CPU) for teacher in (first, second)]
    assert all(np.array_equal(one, other) for one, other in zip(*pairs, strict=True))
    assert sorted(first.names) == [r.name for r in frames.records if frames.depth_is_known(r)]
    assert len(first.names) == 3
    assert len(pairs[0][0]) == 3 * 300


def test_of_a_small_frame_every_pixel_is_fitted_once(v2_root: Path) -> None:
    frames = open_dataset(DataConfig(data_dir=v2_root, image_size=16), "train", ("image", "depth"))
    _, ground_truth = sample_pixels(Oracle("metric"), frames, CPU)
    known = torch.cat([sample["depth"][sample["valid"]] for sample in (frames[i] for i in range(len(frames)))])
    assert np.array_equal(np.sort(ground_truth), np.sort(known.numpy()))


def test_metric_depth_needs_no_fit_and_inverse_depth_does(v2_root: Path) -> None:
    frames = open_dataset(DataConfig(data_dir=v2_root, image_size=32), "train", ("image", "depth"))
    teacher = Oracle("metric")
    assert align_teacher(teacher, "metric", "auto", frames, 30.0, CPU) == (teacher, {"fit": "none"})
    assert align_teacher(teacher, "up_to_scale", "none", frames, 30.0, CPU) == (teacher, {"fit": "none"})
    with pytest.raises(ConfigError, match="--teacher_align none: this --teacher predicts inverse depth"):
        align_teacher(teacher, "affine_inverse", "none", frames, 30.0, CPU)


def test_a_fifth_of_the_pixels_is_left_out_and_no_more() -> None:
    true = ground_truth(1000)
    inverse = 1 / true.astype(np.float64)
    predicted = inverse.copy()
    predicted[:190] += 5.0  # nearly a fifth, far from the line
    exact = fit_alignment(predicted, true, "affine", "affine_inverse", 10.0)
    assert (exact.scale, exact.shift) == pytest.approx((1.0, 0.0), abs=1e-5)
    predicted[:300] = inverse[:300] + 5.0  # three tenths: a tenth of the pixels stays in the fit
    assert fit_alignment(predicted, true, "affine", "affine_inverse", 10.0).scale < 0.99


def test_a_nearest_depth_is_a_millimetre_and_the_limit_is_left_out() -> None:
    """Depth of 0 would be infinitely near, and ground truth of the limit may have been farther."""
    alignment = DepthAlignment("scale", False, 2.0, 0.0, 10.0)
    assert alignment(torch.tensor([0.0, 1e-4]).reshape(1, 1, 1, 2)).flatten().tolist() == pytest.approx([0.001] * 2)
    teacher, true = np.array([1.0, 2.0, 4.0, 4.0, 4.0]), np.array([2.0, 4.0, 10.0, 10.0, 10.0])
    assert fit_alignment(teacher, true, "scale", "up_to_scale", 10.0).scale == pytest.approx(0.5)
    tiny = fit_alignment(np.array([1e-5, 2e-3]), np.array([1e-5, 2e-3]), "affine", "up_to_scale", 10.0)
    assert (tiny.scale, tiny.shift) == pytest.approx((1.0, 0.0), abs=1e-6)


def test_the_conversion_is_written_as_a_formula() -> None:
    assert str(DepthAlignment("affine", True, 2.0, -0.5, 10.0)) == "1/metres = 2 d -0.5"
    assert str(DepthAlignment("scale", False, 2.0, 0.0, 10.0)) == "1/metres = 2 1/d"


@pytest.mark.parametrize(("teacher_depth", "true"), [(np.ones(9), np.arange(9.0)), (np.arange(9.0), np.ones(9))])
def test_a_constant_depth_contradicts_nothing(teacher_depth: np.ndarray, true: np.ndarray) -> None:
    """It has no rank correlation with anything, and scipy warned of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _check_kind(teacher_depth.astype(np.float32), true.astype(np.float32), "up_to_scale")
