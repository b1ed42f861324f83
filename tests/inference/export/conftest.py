"""An audio and an RGB model, and a file of each."""

from pathlib import Path

import pytest

from echodepth.inference.config import ExportConfig
from echodepth.inference.export import export
from echodepth.models.checkpoint import DepthModel
from tests.conftest import tracing_once
from tests.inference.export.exported import have, with_distinct_outputs
from tests.tiny import save_tiny, save_tiny_rgb


@pytest.fixture(scope="session")
def ears(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> tuple[DepthModel, str]:
    folder = tmp_path_factory.mktemp("export") / "ears"
    return with_distinct_outputs(save_tiny(folder, v2_root, uncertainty=True), folder), str(folder)


@pytest.fixture(scope="session")
def eyes(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> tuple[DepthModel, str]:
    folder = tmp_path_factory.mktemp("export") / "eyes"
    return with_distinct_outputs(save_tiny_rgb(folder, v2_root), folder), str(folder)


@pytest.fixture(scope="session")
def ears_onnx(ears: tuple[DepthModel, str], shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    have("onnxscript", "onnxruntime")
    with tracing_once(shared_folder):
        return export(ExportConfig(ears[1], "onnx", out=tmp_path_factory.mktemp("onnx")))


@pytest.fixture(scope="session")
def eyes_xml(eyes: tuple[DepthModel, str], shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    have("onnxscript", "openvino")
    with tracing_once(shared_folder):
        return export(ExportConfig(eyes[1], "openvino", out=tmp_path_factory.mktemp("openvino")))
