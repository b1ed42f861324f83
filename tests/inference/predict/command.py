"""``echodepth predict`` in the current folder."""

from pathlib import Path
from typing import Any

from echodepth.inference.config import PredictConfig
from echodepth.inference.predict import predict


def run(*files: Path, checkpoint: str = "eyes", **flags: Any) -> list[Path]:
    flags = {"out": Path("out"), "device": "cpu", "save": ("npy",), **flags}
    return predict(PredictConfig(files, checkpoint, **flags))
