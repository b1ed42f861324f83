"""Prediction with an exported file in a checkpoint's place, and inputs that it does not take."""

from pathlib import Path

import numpy as np
import pytest
import torch

from echodepth.core.errors import ConfigError
from echodepth.inference.backends import load_backend
from echodepth.inference.config import PredictConfig
from echodepth.inference.predict import predict
from echodepth.models.checkpoint import DepthModel

pytestmark = pytest.mark.slow


def test_predict_takes_an_exported_file_as_checkpoint(
    ears: tuple[DepthModel, str], ears_onnx: Path, v2_root: Path, tmp_path: Path
) -> None:
    recording = next((v2_root / "Attic" / "audio").iterdir())
    by_torch = predict(PredictConfig((recording,), ears[1], out=tmp_path / "torch", device="cpu"))
    by_onnx = predict(PredictConfig((recording,), str(ears_onnx), "onnx", out=tmp_path / "onnx"))
    assert [path.name for path in by_onnx] == [path.name for path in by_torch]
    for one, other in zip(by_torch, by_onnx, strict=True):
        if one.suffix == ".npy":
            np.testing.assert_allclose(np.load(other), np.load(one), atol=1e-4)


def test_predict_gives_depth_at_the_size_of_the_image(eyes_xml: Path, v2_root: Path, tmp_path: Path) -> None:
    picture = next((v2_root / "Attic" / "camera").iterdir())
    depth, *_ = predict(PredictConfig((picture,), str(eyes_xml), "openvino", out=tmp_path))
    assert np.load(depth).shape == (24, 40)


def test_other_inputs_and_devices_are_refused(ears_onnx: Path, eyes_xml: Path) -> None:
    with pytest.raises(ConfigError, match=r"takes \[B, 2, 882\], not \[1, 2, 900\]"):
        load_backend(ears_onnx, "onnx", "cpu").predict(torch.zeros(1, 2, 900))
    with pytest.raises(ConfigError, match="--device mps cannot be used by the onnxruntime that is installed"):
        load_backend(ears_onnx, "onnx", "mps")
    with pytest.raises(ConfigError, match=r"--device cuda cannot be used by OpenVINO here, which finds .*CPU"):
        load_backend(eyes_xml, "openvino", "cuda")
