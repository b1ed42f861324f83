"""Calibration of the predicted uncertainty: curves worked out by hand, and errors drawn from a known distribution."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from echodepth.evaluation.config import ScoringConfig
from echodepth.evaluation.evaluate import evaluate
from echodepth.evaluation.results import summary
from echodepth.evaluation.scoring import score_model
from echodepth.inference.config import PredictConfig
from echodepth.inference.predict import predict
from echodepth.inference.predictor import Predictor
from echodepth.metrics.calibration import (
    LEVELS,
    REMOVED,
    STEPS,
    UncertaintyCalibration,
    coverage,
    mean_height,
    reliability,
    sparsification,
)
from echodepth.models.checkpoint import DepthModel
from echodepth.report.calibration_figure import calibration_figure
from echodepth.report.figures import result_picture, uncertainty_picture
from tests.configs import evaluate_config
from tests.tiny import SIDE, save_tiny, save_tiny_rgb

ONE_TO_TWENTY = np.arange(1.0, 21.0)


def curve_of(values: np.ndarray, rank_by: np.ndarray) -> np.ndarray:
    curve: np.ndarray = sparsification(values[None], rank_by)[0]
    return curve


def calibrated(error: np.ndarray, uncertainty: np.ndarray) -> dict[str, Any]:
    """Calibration of images whose errors and uncertainties are the given rows."""
    target = torch.full((len(error), 1, 1, error.shape[1]), 5.0, dtype=torch.float64)
    calibration = UncertaintyCalibration()
    prediction = target + torch.from_numpy(error)[:, None, None]
    calibration.update(prediction, torch.from_numpy(uncertainty)[:, None, None], target, torch.ones_like(target).bool())
    return calibration.compute()


def test_a_curve_by_hand() -> None:
    """Of errors 1 to 20, one is removed at each step, the largest first: the mean of 1 to n is (n + 1) / 2."""
    right = curve_of(ONE_TO_TWENTY, ONE_TO_TWENTY**3)
    assert right.tolist() == [(n + 1) / 2 for n in range(20, 0, -1)]
    assert curve_of(ONE_TO_TWENTY, -ONE_TO_TWENTY).tolist() == [(20 + n) / 2 for n in range(1, 21)]
    # The two lie apart by 0, 1, ... 19 halves twice over: 0, 1, ... 19, which is 9.5 on average.
    assert mean_height(curve_of(ONE_TO_TWENTY, -ONE_TO_TWENTY) - right) == pytest.approx(9.5)


def test_a_perfect_ranking_has_no_area_above_the_oracle() -> None:
    error = np.random.default_rng(0).exponential(size=(3, 400))
    figures = calibrated(error, 0.1 * np.sqrt(error))
    assert figures["ause"] == pytest.approx(0)
    assert figures["ause_rmse"] == pytest.approx(0)
    assert figures["aurg"] > 0.5
    assert figures["spearman"] == pytest.approx(1)
    assert 0.9 < figures["pearson"] < 1


def test_a_constant_uncertainty_gains_nothing_wherever_the_errors_lie() -> None:
    """Ties were once broken by position, and ceilings lie in the first rows."""
    error = np.linspace(4, 0, 100)[None]
    figures = calibrated(error, np.ones_like(error))
    assert figures["aurg"] == pytest.approx(0)
    assert figures["aurg_rmse"] == pytest.approx(0)
    assert figures["ause"] > 0.5
    assert math.isnan(figures["pearson"])
    assert math.isnan(figures["spearman"])


def test_each_image_has_its_own_ranking() -> None:
    """Two rooms of constant uncertainty: that the large one is harder is no merit within either."""
    error = np.random.default_rng(0).exponential(size=(2, 200)) * np.array([[1.0], [5.0]])
    assert calibrated(error, np.array([[1.0], [5.0]]).repeat(200, axis=1))["aurg"] == pytest.approx(0)


def test_fewer_pixels_than_steps_leave_one_to_the_end() -> None:
    curve = curve_of(np.array([1.0, 3.0]), np.array([0.0, 1.0]))
    assert len(curve) == STEPS
    assert curve[0] == 2
    assert curve[-1] == 1


def test_correlations_are_scipys() -> None:
    rng = np.random.default_rng(1)
    scale = rng.integers(1, 20, 300) / 4  # with ties, in numbers that floats hold exactly
    error = rng.integers(1, 10, 300) * scale / 4
    figures = calibrated(error[None], scale[None])
    assert figures["pearson"] == pytest.approx(stats.pearsonr(scale, error).statistic)
    assert figures["spearman"] == pytest.approx(stats.spearmanr(scale, error).statistic)


def test_errors_of_a_true_laplace_are_covered_as_expected() -> None:
    """A share p has a standard error of sqrt(p (1 - p) / n), at most 0.0025 of 40,000."""
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.05, 2.0, 40_000)
    error = np.abs(rng.laplace(scale=scale))
    np.testing.assert_allclose(coverage(error, scale), LEVELS, atol=0.01)
    figures = calibrated(error[None], scale[None])
    assert [figures[f"coverage_{p}"] for p in (50, 80, 95)] == pytest.approx([0.5, 0.8, 0.95], abs=0.01)
    # Half the true scale: within ln 2 times it lie only 1 - exp(-ln 2 / 2) = 29 % of the errors instead of 50 %.
    assert calibrated(error[None], scale[None] / 2)["coverage_50"] == pytest.approx(1 - 2**-0.5, abs=0.01)


def test_the_interval_by_hand() -> None:
    """Half of a Laplace distribution lies within b ln 2 = 0.693 b."""
    observed = coverage(np.array([0.69, 0.70]), np.ones(2))
    assert observed[round(0.5 * STEPS) - 1] == 0.5


def test_an_invalid_depth_or_uncertainty_gains_nothing_and_unscored_pixels_are_ignored() -> None:
    target = torch.tensor([1.0, 2.0, 3.0, float("nan")]).reshape(1, 1, 2, 2)
    prediction = torch.tensor([1.5, float("nan"), 3.0, 9.0]).reshape(1, 1, 2, 2)
    scale = torch.tensor([0.5, 0.3, float("nan"), 4.0]).reshape(1, 1, 2, 2)
    calibration = UncertaintyCalibration()
    calibration.update(prediction, scale, target, torch.tensor([True, True, True, False]).reshape(1, 1, 2, 2))
    figures = calibration.compute()
    assert figures["sparsification"]["mae"][0] == pytest.approx((0.5 + 1.999 + 0) / 3)
    assert figures["coverage_95"] == pytest.approx(2 / 3)  # 0.5 m, and the one that claims to be exact, and is
    calibration.update(prediction, scale, target, torch.zeros_like(target).bool())
    assert len(calibration.images) == 1
    assert UncertaintyCalibration().compute() == {}


def test_reliability_by_hand() -> None:
    """Of uncertainties 1 to 20, two make a tenth: 1.5, 3.5 ... 19.5; errors are twice as large."""
    scale = np.random.default_rng(0).permutation(ONE_TO_TWENTY)
    uncertainty, error = reliability(np.stack([scale, 2 * scale]), scale)
    np.testing.assert_allclose(uncertainty, np.arange(1.5, 20, 2))
    np.testing.assert_allclose(error, 2 * uncertainty)


def test_a_tenth_of_few_pixels_is_a_part_of_one() -> None:
    """Of 4 pixels a tenth is 0.4: the third tenth ends the first pixel (0.2) and begins the second (0.2)."""
    (observed,) = reliability(np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(observed, [1, 1, 1.5, 2, 2, 3, 3, 3.5, 4, 4])


def test_equal_uncertainties_share_one_error_and_the_mean_is_kept() -> None:
    rng = np.random.default_rng(2)
    error = rng.exponential(size=37)
    (same,) = reliability(error[None], np.ones(37))
    np.testing.assert_allclose(same, error.mean())
    (some,) = reliability(error[None], rng.integers(1, 4, 37) / 2)
    assert some.mean() == pytest.approx(error.mean())
    bins = calibrated(error[None], error[None])["reliability"]
    assert bins["uncertainty"] == pytest.approx(bins["error"])


# ---- evaluate and predict ----


@pytest.fixture
def uncertain(tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> DepthModel:
    """An audio model with uncertainty, saved as the experiment "ears" of the working directory."""
    monkeypatch.chdir(tmp_path)
    return save_tiny(tmp_path / "checkpoints" / "ears", v2_root, uncertainty=True)


def test_evaluate_writes_the_calibration(uncertain: DepthModel) -> None:
    result = evaluate(evaluate_config("ears"))
    folder = Path("results/ears")
    names = ["evaluate_test_valid.csv", "evaluate_test_valid.json", "evaluate_test_valid_calibration.png"]
    assert sorted(path.name for path in folder.iterdir()) == names
    calibration = json.loads((folder / names[1]).read_text())["calibration"]
    assert calibration["sparsification"]["mae"][0] == pytest.approx(result.metrics["mae"], rel=1e-5)
    assert calibration["sparsification"]["rmse"][0] == pytest.approx(result.metrics["rmse"], rel=1e-5)
    assert calibration["ause"] > 0
    assert calibration["coverage"]["nominal"] == LEVELS.tolist()
    assert calibration["coverage_80"] == calibration["coverage"]["observed"][15]
    assert f"ause {calibration['ause']:.4f}" in summary(result)
    with Image.open(folder / names[2]) as picture:
        assert picture.width > 600


def test_the_mean_depth_baseline_has_no_uncertainty(uncertain: DepthModel) -> None:
    assert score_model(uncertain, ScoringConfig(), "mean_depth").calibration is None
    assert score_model(uncertain, ScoringConfig(), "shuffled_audio").calibration is not None


def test_predict_writes_the_uncertainty_beside_the_depth(uncertain: DepthModel, v2_root: Path) -> None:
    (recording, *_) = sorted((v2_root / "Attic" / "audio").iterdir())
    written = predict(PredictConfig((recording,), "ears"))
    assert [path.name for path in written] == [
        f"{recording.stem}_{what}{end}" for what in ("uncertainty", "depth") for end in (".npy", ".png", "_color.png")
    ]
    estimate = Predictor(uncertain).infer(recording)
    assert estimate.uncertainty is not None
    np.testing.assert_array_equal(np.load(written[0]), estimate.uncertainty)
    np.testing.assert_array_equal(np.load(written[3]), estimate.depth)
    with Image.open(written[1]) as png:
        np.testing.assert_allclose(np.asarray(png) / 1000, estimate.uncertainty, atol=0.00051)


def test_the_uncertainty_of_an_image_has_its_size(tmp_path: Path, v2_root: Path) -> None:
    picture = next((v2_root / "Attic" / "camera").iterdir())
    estimate = Predictor(save_tiny_rgb(tmp_path / "eyes", v2_root, uncertainty=True)).infer(picture)
    assert estimate.uncertainty is not None
    assert estimate.uncertainty.shape == (24, 40)
    assert Predictor(save_tiny_rgb(tmp_path / "sure", v2_root)).infer(picture).uncertainty is None


# ---- pictures ----


def test_the_figure_shows_the_values_and_both_curves() -> None:
    error = np.random.default_rng(0).exponential(size=(1, 200))
    calibration = calibrated(error, error)
    figure = calibration_figure(calibration, "ears, audio")
    labels = [text.get_text() for axis in figure.axes for text in axis.get_legend().get_texts()]  # type: ignore[union-attr]
    assert f"by uncertainty, AURG {calibration['aurg']:.3f} m" in labels
    assert "between the two, AUSE 0.000 m" in labels
    _, model, oracle = figure.axes[0].lines
    np.testing.assert_array_equal(model.get_xdata(), 100 * REMOVED)
    np.testing.assert_array_equal(model.get_ydata(), oracle.get_ydata())
    assert figure.get_suptitle() == "ears, audio"


def test_uncertainty_is_drawn_on_the_scale_of_errors() -> None:
    depth = np.full((1, SIDE, SIDE), 2.0)
    inputs, valid = [{"RGB": np.zeros((SIDE, SIDE, 3))}], np.ones_like(depth, dtype=bool)
    figure = result_picture(inputs, depth, depth + 1, valid, 30.0, "", uncertainty=np.ones_like(depth))
    *_, error, uncertainty = (axis for axis in figure.axes if axis.get_title())
    assert (error.get_title(), uncertainty.get_title()) == ("error", "predicted uncertainty")
    np.testing.assert_array_equal(error.images[0].get_array(), uncertainty.images[0].get_array())
    assert [a.get_ylabel() for a in uncertainty_picture(depth[0]).axes if a.get_ylabel()] == [
        "predicted uncertainty in m"
    ]
