"""Lower precisions: calibration, and the accuracy that the file states."""

import logging
from pathlib import Path

import pytest

from echodepth.core.errors import DataError
from echodepth.data.dataset import open_dataset
from echodepth.data.recorded import trained_data
from echodepth.evaluation.config import ScoringConfig
from echodepth.inference import export as exporting
from echodepth.inference.backends import ExportedModel, load_backend
from echodepth.inference.config import ExportConfig
from echodepth.inference.export import evenly_spaced, export, trial_inputs
from echodepth.models.checkpoint import DepthModel
from tests.inference.export.exported import SAMPLES, have

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("traced_once")]


def test_int8_is_calibrated_and_its_accuracy_is_logged(
    ears: tuple[DepthModel, str], v2_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    have("onnxscript", "onnxruntime")
    with caplog.at_level(logging.INFO, logger="echodepth"):
        path = export(ExportConfig(ears[1], "onnx", "int8", tmp_path, 3, 4, data_dir=v2_root))
    backend = load_backend(path, "onnx")
    assert isinstance(backend, ExportedModel)
    accuracy = backend.metadata.accuracy
    assert accuracy is not None
    assert (accuracy["images"], accuracy["split"], accuracy["protocol"]) == (4, "test", "valid")
    assert backend.metadata.difference is not None
    assert backend.metadata.difference > 0
    assert f"{accuracy['before']:.4f} m before, {accuracy['after']:.4f} m after" in caplog.text
    assert abs(accuracy["after"] - accuracy["before"]) < 0.5
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(path).graph
    producers = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    floating = [node for node in convolutions if producers.get(node.input[0], node).op_type != "DequantizeLinear"]
    # The Fourier transform, and three in both heads. Attention's 1x1 convolutions are matrix products, in float.
    assert len(convolutions) > 20
    assert len(floating) == 1 + 3
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    assert len(products) >= 6
    assert not [node for node in products for name in node.input if name.endswith("_DequantizeLinear_Output")]
    assert [path.name for path in tmp_path.iterdir()] == ["ears_int8.onnx"]


def test_the_rmse_before_export_equals_evaluations(eyes: tuple[DepthModel, str], v2_root: Path, tmp_path: Path) -> None:
    from echodepth.evaluation.scoring import score_model

    have("onnxscript", "onnxruntime")
    path = export(ExportConfig(eyes[1], precision="fp16", out=tmp_path, data_dir=v2_root))
    backend = load_backend(path, "onnx")
    assert isinstance(backend, ExportedModel)
    assert backend.metadata.accuracy is not None
    expected = score_model(eyes[0], ScoringConfig()).metrics["rmse"]
    assert backend.metadata.accuracy["before"] == pytest.approx(expected, abs=1e-6)
    assert backend.metadata.accuracy["after"] == pytest.approx(expected, abs=0.02)
    assert 0 < (backend.metadata.difference or 0) < 0.2


def test_openvino_int8_is_the_quantised_onnx_graph(eyes: tuple[DepthModel, str], v2_root: Path, tmp_path: Path) -> None:
    have("onnxscript", "onnxruntime", "openvino")
    path = export(ExportConfig(eyes[1], "openvino", "int8", tmp_path, 2, 2, data_dir=v2_root))
    assert "FakeQuantize" in path.read_text()
    backend = load_backend(path, "openvino")
    assert isinstance(backend, ExportedModel)
    assert backend.metadata.accuracy is not None


def test_frames_are_evenly_spaced() -> None:
    assert evenly_spaced(10, 4) == [0, 3, 6, 9]
    assert evenly_spaced(3, 64) == [0, 1, 2]
    assert evenly_spaced(5, 1) == [0]


def test_a_difference_of_nan_is_infinite(eyes: tuple[DepthModel, str]) -> None:
    model, _ = eyes
    raw = trial_inputs(model)[0]
    assert exporting.difference(model, model, [raw]) == 0
    assert exporting.difference(model, model, [raw * float("nan")]) == float("inf")


def test_lower_precision_without_its_data_is_refused(ears: tuple[DepthModel, str], tmp_path: Path) -> None:
    have("onnxscript", "onnxruntime")
    with pytest.raises(DataError, match="nowhere"):
        export(ExportConfig(ears[1], precision="int8", out=tmp_path / "out", data_dir=Path("nowhere")))
    assert not (tmp_path / "out").exists()


def test_frames_for_calibration_are_the_models_own(ears: tuple[DepthModel, str]) -> None:
    dataset = open_dataset(trained_data(ears[0]), "train", ("audio",))
    assert dataset[0]["audio"].shape == (2, SAMPLES)
