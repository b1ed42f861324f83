"""The average with the mirrored input: its symmetry, by hand, and wherever it can be asked for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from echodepth.core.errors import ConfigError
from echodepth.evaluation.compare import build_comparison
from echodepth.evaluation.config import ScoringConfig
from echodepth.evaluation.evaluate import evaluate
from echodepth.evaluation.scoring import score_model
from echodepth.inference.config import PredictConfig
from echodepth.inference.predict import predict
from echodepth.inference.predictor import Predictor, load_model
from echodepth.models.checkpoint import DepthModel, save_model
from echodepth.models.mirror_average import MirrorAveraged
from tests.configs import compare_config, evaluate_config
from tests.tiny import RATE, save_tiny, save_tiny_rgb

NETWORKS: dict[str, dict[str, Any]] = {
    "binaural_attention": {"uncertainty": True},
    "unet_baseline": {},
    "rgb": {"kind": "rgb"},
}


def distinct(model: DepthModel) -> DepthModel:
    """With weights by which every layer matters: the map of an untrained model is nearly flat."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gate"):
                parameter.fill_(0.7)
            elif parameter.ndim == 4:
                parameter.mul_(2.4)
    return model


def raw_input(model: DepthModel) -> torch.Tensor:
    if model.input_key == "image":
        return torch.rand(3, 3, 20, 44)
    return torch.randn(3, 2, 882) * torch.exp(-torch.arange(882) / 200) * torch.tensor([[1.0], [0.3]])


def mirrored(raw: torch.Tensor) -> torch.Tensor:
    """Exchanged ears [B,2,T], or images [B,3,H,W] flipped."""
    return raw[:, [1, 0]] if raw.ndim == 3 else raw[..., torch.arange(raw.shape[-1] - 1, -1, -1)]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_mirrored_input_has_the_mirrored_map(network: str, tmp_path: Path) -> None:
    model = distinct(save_tiny(tmp_path / "run", tmp_path, network=network, **NETWORKS[network]))
    averaged, raw = MirrorAveraged(model), raw_input(model)
    with torch.inference_mode():
        plain, found, opposite = model.predict(raw), averaged.predict(raw), averaged.predict(mirrored(raw))
        other = model.predict(mirrored(raw))
    assert (plain.depth - other.depth.flip(-1)).abs().max() > 1e-3  # the network alone has no such symmetry
    torch.testing.assert_close(opposite.depth.flip(-1), found.depth, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.depth, (plain.depth + other.depth.flip(-1)) / 2, atol=1e-5, rtol=0)
    assert (found.uncertainty is None) == (plain.uncertainty is None)
    if found.uncertainty is not None and plain.uncertainty is not None and other.uncertainty is not None:
        by_hand = (plain.uncertainty + other.uncertainty.flip(-1)) / 2
        torch.testing.assert_close(found.uncertainty, by_hand, atol=1e-5, rtol=0)


@pytest.fixture
def ears(tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> DepthModel:
    monkeypatch.chdir(tmp_path)
    model = distinct(save_tiny(Path("checkpoints/ears"), v2_root, uncertainty=True))
    save_model(model, Path("checkpoints/ears/best"))
    return model


@pytest.fixture
def recording(v2_root: Path) -> Path:
    return min((v2_root / "Attic" / "audio").iterdir())


def test_a_loaded_model_averages_and_keeps_what_can_be_published(ears: DepthModel, recording: Path) -> None:
    sound = soundfile.read(recording, dtype="float32")[0].T
    plain, left_right = (load_model("ears", "cpu").infer(each, RATE) for each in (sound, sound[::-1].copy()))
    for compile_mode in (None, "latency"):
        predictor = load_model("ears", "cpu", compile=compile_mode, mirror_average=True)
        found = predictor.infer(sound, RATE)
        np.testing.assert_allclose(found.depth, (plain.depth + left_right.depth[:, ::-1]) / 2, atol=1e-4)
        assert predictor.mirror_average
    assert isinstance(Predictor(ears, mirror_average=True).backend, DepthModel)
    ears.train()
    Predictor(ears, mirror_average=True).infer(sound, RATE)
    assert ears.training


def test_scores_are_those_of_the_average_and_say_so(ears: DepthModel, v2_root: Path) -> None:
    result = evaluate(evaluate_config("ears", mirror_average=True, device="cpu"))
    saved = json.loads(Path("results/ears/evaluate_test_valid_mirror_average.json").read_text())
    assert saved["model"]["mirror_average"] is True
    assert saved["metrics"]["rmse"] == result.metrics["rmse"]
    plain = score_model(ears, ScoringConfig())
    assert plain.model["mirror_average"] is False
    assert plain.metrics["rmse"] != result.metrics["rmse"]
    # The same numbers as of a model whose own prediction is the average.
    averaged = MirrorAveraged(ears)
    network = ears.predict
    averaged.model = type("Raw", (), {"input_key": "audio", "predict": staticmethod(network)})()
    ears.predict = averaged.predict  # type: ignore[method-assign]
    assert score_model(ears, ScoringConfig()).metrics == pytest.approx(result.metrics)
    assert score_model(ears, ScoringConfig(mirror_average=True), "mean_depth").model["mirror_average"] is False


def test_a_comparison_averages_its_numbers_and_its_pictures(ears: DepthModel) -> None:
    comparison = build_comparison(compare_config("ears", pictures=1, extremes=0, mirror_average=True, device="cpu"))
    assert any("averaged with those of the mirrored input" in note for note in comparison.notes)
    ((frame, predictions),) = comparison.predictions.items()
    (shown,) = predictions.values()
    row = next(row for row in comparison.rows[0].evaluation.rows if row["name"] == frame)
    error = (shown.prediction - shown.ground_truth)[shown.scored].astype(np.float64)
    assert np.sqrt(np.mean(error**2)) == pytest.approx(row["rmse"], rel=1e-5)
    assert list(shown.lags) == ["x5"]


def test_predicted_files_are_the_average_and_are_not_mixed(ears: DepthModel, recording: Path, tmp_path: Path) -> None:
    flags: dict[str, Any] = {"files": (recording,), "checkpoint": "ears", "save": ("npy",), "device": "cpu"}
    predict(PredictConfig(**flags, mirror_average=True, out=tmp_path / "out"))
    expected = load_model("ears", "cpu", mirror_average=True).infer(recording).depth
    np.testing.assert_allclose(np.load(tmp_path / "out" / f"{recording.stem}_depth.npy"), expected, atol=1e-5)
    with pytest.raises(
        ConfigError, match=r"another model \(ears with --mirror_average \w+; this is ears \w+\): give another --out, or"
    ):
        predict(PredictConfig(**flags, out=tmp_path / "out"))


def test_an_rgb_model_is_scored_on_flipped_images_too(tmp_path: Path, v2_root: Path) -> None:
    eyes = save_tiny_rgb(tmp_path / "eyes", v2_root)
    rmse = [score_model(eyes, ScoringConfig(mirror_average=flag)).metrics["rmse"] for flag in (False, True)]
    assert rmse[0] != rmse[1]
