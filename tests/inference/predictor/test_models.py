"""Predictor.infer with models of every kind: fused norms, exported ones, and depth that is not finite."""

from pathlib import Path

import numpy as np
import pytest
import torch

from echodepth import Predictor
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.models.checkpoint import DepthModel, save_model
from tests.inference.predictor.brightness import Brightness
from tests.tiny import RATE, constant, save_tiny_rgb


def test_a_loaded_model_predicts_with_fused_norms_and_keeps_its_weights(
    ears: Predictor, sound: np.ndarray, tmp_path: Path
) -> None:
    assert isinstance(ears.backend, DepthModel)
    save_model(ears.backend, tmp_path / "best")
    loaded = Predictor.from_pretrained(tmp_path / "best", "cpu")
    assert isinstance(loaded.backend, DepthModel)
    torch.testing.assert_close(loaded.backend.state_dict(), ears.backend.state_dict(), rtol=0, atol=0)
    seen: list[bool] = []
    hook = torch.nn.modules.module.register_module_forward_hook(lambda m, *_: seen.append(is_norm(m)))
    found = loaded.infer(sound, sample_rate=RATE).depth
    hook.remove()
    assert seen
    assert not any(seen)
    np.testing.assert_allclose(found, ears.infer(sound, sample_rate=RATE).depth, atol=1e-5)


def is_norm(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.BatchNorm2d)


def test_a_sample_rate_is_for_arrays_of_audio_only(eyes: Predictor, photo: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="sample_rate is for arrays of audio only"):
        eyes.infer(photo, sample_rate=44100)


def test_an_exported_model_is_not_published() -> None:
    with pytest.raises(CheckpointError, match="brightness is an exported model"):
        Predictor(Brightness()).push_to_hub("org/brightness")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_prediction_that_is_not_finite_is_an_error(
    tmp_path: Path, v2_root: Path, photo: np.ndarray, value: float
) -> None:
    """It was written as "nan m", with exit status 0; an exported model's weights are seen in no other way."""
    model = constant(save_tiny_rgb(tmp_path / "eyes", v2_root), value)
    with pytest.raises(CheckpointError, match=r"eyes predicts depth that is not finite: .* use an earlier epoch"):
        Predictor(model).infer(photo)
