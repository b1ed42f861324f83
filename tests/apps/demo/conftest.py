"""An audio model, an RGB model, and one scene for the demo page."""

import shutil
from pathlib import Path

import pytest

from echodepth.apps.demo.backend import (
    DemoInput,
)
from echodepth.inference.predictor import Predictor
from tests.tiny import save_tiny, save_tiny_rgb


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Path:
    """An audio model and an RGB model, and one scene: a recording, an image and a depth map."""
    folder = tmp_path_factory.mktemp("page")
    save_tiny(folder / "ears", v2_root, uncertainty=True)
    save_tiny_rgb(folder / "eyes", v2_root)
    for kind, ending in (("audio", ".wav"), ("camera", ".png"), ("depth", ".npy")):
        shutil.copy(v2_root / "Attic" / kind / f"{kind}_1{ending}", folder / f"kitchen{ending}")
    return folder


@pytest.fixture
def ears_model(folder: Path) -> Predictor:
    return Predictor.from_pretrained(folder / "ears" / "best", "cpu")


@pytest.fixture
def scene(folder: Path) -> DemoInput:
    return DemoInput(folder / "kitchen.wav", folder / "kitchen.png", folder / "kitchen.npy")
