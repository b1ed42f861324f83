"""Predictors of an RGB and an audio model, and an input of each."""

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from echodepth import Predictor
from tests.tiny import save_tiny, save_tiny_rgb


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> tuple[Predictor, Predictor]:
    """An RGB model and an audio model."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return Predictor(save_tiny_rgb(folder / "eyes", v2_root)), Predictor(save_tiny(folder / "ears", v2_root))


@pytest.fixture
def eyes(models: tuple[Predictor, Predictor]) -> Predictor:
    return models[0]


@pytest.fixture
def ears(models: tuple[Predictor, Predictor]) -> Predictor:
    return models[1]


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)


@pytest.fixture
def sound() -> np.ndarray:
    """[2, t]: a chirp's click and its echo, at 44.1 kHz, with nothing above 8 kHz."""
    rough = 1e-4 * np.random.default_rng(0).standard_normal((2, 9000))
    rough[:, 200:260] += 0.5 * np.random.default_rng(1).standard_normal((2, 60))
    rough[:, 800:860] += 0.2 * np.random.default_rng(2).standard_normal((2, 60))
    smooth: np.ndarray = resample_poly(resample_poly(rough, 1, 3, axis=1), 3, 1, axis=1)
    return smooth.astype(np.float32)
