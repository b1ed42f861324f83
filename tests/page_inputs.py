"""Models and files that a documentation page uses without creating them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from echodepth.core import packaged
from echodepth.core.errors import CheckpointError
from echodepth.core.packaged import DEFAULT_MODEL
from echodepth.inference.video import TimedFrame, write_video
from echodepth.models import hub
from echodepth.models.checkpoint import find_checkpoint
from tests.tiny import save_packaged, save_tiny, save_tiny_hf

KINDS = {
    "rgb": ("rgb", "rgb"),
    "teacher": ("rgb", "rgb"),
    "unet": ("binaural", "unet_baseline"),
    "distil": ("distill", "binaural_attention"),
    "taught": ("distill", "binaural_attention"),
}
"""Kind and network of an experiment that a page uses without training it, by a part of its name."""


class PageInputs:
    """Creates what a page uses without creating it, in the current folder, with BatVision in ``data``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def have_teacher(self, name: str) -> str:
        """The teacher of that name; a tiny model replaces one of Hugging Face."""
        if not name.startswith("hf:"):
            self.have_model(name)
            return name
        folder = Path("hugging_face")
        return f"hf:{folder if folder.exists() else save_tiny_hf(folder)}"

    def have_model(self, name: str | None, **data: Any) -> None:
        if name in (None, DEFAULT_MODEL):
            if not Path("packaged").exists():
                save_packaged(Path("packaged").absolute(), Path("data/batvisionv2"))
                self.monkeypatch.setattr(packaged, "PRETRAINED", Path("packaged").absolute())
            return
        assert name is not None
        if hub.is_hub_id(name):
            return
        try:
            find_checkpoint(name)
        except CheckpointError:
            experiment = name.removeprefix("checkpoints/").removesuffix("/best")
            matching = (kind for word, kind in KINDS.items() if word in experiment)
            kind, network = next(matching, ("binaural", "binaural_attention"))
            save_tiny(Path("checkpoints") / experiment, Path("data/batvisionv2"), kind, network, **data)

    def have_file(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return
        if not path.suffix:
            for ending in (".wav", ".jpg"):
                self.have_file(path / f"1{ending}")
        elif path.suffix == ".mp4":
            pixels = np.full((24, 40, 3), 90, np.uint8)
            write_video(path, (TimedFrame(number / 5, pixels) for number in range(12)))
        elif path.suffix == ".wav":
            shutil.copy(next(Path("data/batvisionv2").rglob("*.wav")), path)
        elif path.suffix == ".npy":
            np.save(path, np.full((24, 40), 2.0))
        else:
            Image.new("RGB", (40, 24), "teal").save(path)
