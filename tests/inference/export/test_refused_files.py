"""Files that are missing, damaged, of another maker, or could hold code."""

import importlib
import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.apps.demo.app import open_page
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.live.config import ListenConfig
from echodepth.apps.live.listen import listen
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.field_of_view import FieldOfView
from echodepth.inference.backends import ExportedModel, load_backend
from echodepth.inference.config import PredictConfig
from echodepth.inference.export_metadata import METADATA_KEY, ExportMetadata, import_extra
from echodepth.inference.predict import predict
from echodepth.inference.predictor import Predictor
from echodepth.models.checkpoint import DepthModel
from echodepth.models.run_record import RunRecord
from tests.inference.export.exported import have

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda raw: (_ for _ in ()).throw(RuntimeError("[ONNXRuntimeError] : 1 : a shape\nof others")), "of others"),
        (lambda raw: [], "its outputs are none, not maps"),
        (lambda raw: [raw], r"its outputs are \[2, 2, 882\], not maps"),
    ],
)
def test_a_graph_that_cannot_be_run_is_one_line(run: Any, message: str) -> None:
    """A graph of anyone's loads, and fails when it runs: that was a traceback."""
    metadata = ExportMetadata("1", "ears", "fp32", "audio", 32, 30.0, RunRecord(), 44100, 882)
    model = ExportedModel(metadata, run)
    model.files = (Path("a.onnx"),)
    with pytest.raises(CheckpointError, match=rf"^a\.onnx cannot be read \({message}\): make it again") as refused:
        model.predict(torch.zeros(2, 2, 882))
    assert "\n" not in str(refused.value)


def test_opening_a_file_reports_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO called www.google-analytics.com when an ``.xml`` was opened, and wrote ~/intel."""
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    found = import_extra("json" if find_spec("openvino") is None else "openvino")
    with pytest.raises(ImportError):
        importlib.import_module("openvino_telemetry")
    if found.__name__ == "openvino":
        utilities = importlib.import_module("openvino.tools.ovc.telemetry_utils")
        assert utilities.tm.__name__ == "openvino.tools.ovc.telemetry_stub"


@pytest.mark.parametrize(
    ("name", "backend", "message"),
    [
        ("best.onnx", "torch", r"best\.onnx is not for --backend torch: leave it out, or use --backend onnx"),
        ("best.xml", "onnx", r"best\.xml is not for --backend onnx: leave it out, or use --backend openvino"),
        ("ears", "onnx", r"echodepth export --checkpoint ears --format onnx"),
    ],
)
def test_a_file_for_another_backend_is_refused(name: str, backend: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_backend(name, backend)


@pytest.mark.parametrize(("suffix", "backend"), [(".onnx", "onnx"), (".xml", "openvino"), (".pt2", "torch")])
def test_a_missing_or_damaged_file_is_named(suffix: str, backend: Any, tmp_path: Path) -> None:
    if backend != "torch":
        have("onnxruntime", "openvino")
    path = tmp_path / f"model{suffix}"
    with pytest.raises(CheckpointError, match=rf"model\{suffix} does not exist: make it with echodepth export"):
        load_backend(path, backend, "cpu", trust_code=True)
    path.write_bytes(b"nothing")
    if suffix == ".xml":
        os.mkfifo(path.with_suffix(".bin"))
        with pytest.raises(CheckpointError, match=r"model\.bin does not exist"):  # it waited for the weights for ever
            load_backend(path, backend, "cpu")
        path.with_suffix(".bin").unlink()
        path.with_suffix(".bin").touch()
    with pytest.raises(CheckpointError, match=rf"model\{suffix} cannot be read .*make it again") as refused:
        load_backend(path, backend, "cpu", trust_code=True)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("open_file", ["python", "backend", "predict", "demo", "listen"])
def test_a_pt2_is_not_opened_unless_it_is_trusted(
    open_file: str, ears: tuple[DepthModel, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``torch.export.load`` unpickles what it finds: ``predict --checkpoint x.pt2`` ran a stranger's code."""
    path = str(tmp_path / "x.pt2")
    Path(path).touch()
    monkeypatch.setattr("torch.export.load", lambda *_, **__: pytest.fail("the file was opened"))
    refused: dict[str, Callable[[], object]] = {
        "python": lambda: Predictor.from_pretrained(path),
        "backend": lambda: load_backend(path),
        "predict": lambda: predict(PredictConfig((tmp_path / "a.wav",), path)),
        "demo": lambda: open_page(DemoConfig(path)),
        "listen": lambda: listen(ListenConfig(checkpoint=path, card="simulated")),
    }
    with pytest.raises(ConfigError, match=r"x\.pt2: a \.pt2 can hold code .* give an \.onnx .*trust_code"):
        refused[open_file]()


def test_an_onnx_file_reads_no_other_file(ears_onnx: Path, tmp_path: Path) -> None:
    """ONNX can keep weights in files that it names; ours are inside, and a path to elsewhere is an error."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(ears_onnx)
    weight = model.graph.initializer[0]
    (tmp_path / "secret").write_bytes(bytes(10**6))
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    (tmp_path / "in").mkdir()
    for location in ("../secret", str(tmp_path / "secret")):
        del weight.external_data[:]
        entry = weight.external_data.add()
        entry.key, entry.value = "location", location
        (tmp_path / "in/a.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(CheckpointError, match=r"a\.onnx cannot be read"):
            load_backend(tmp_path / "in/a.onnx", "onnx", "cpu")


def test_a_file_of_another_version_or_maker_is_refused(ears_onnx: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(ears_onnx)
    metadata = json.loads(model.metadata_props[0].value)
    properties: dict[str, str]
    for properties, message in (
        (
            {METADATA_KEY: json.dumps(metadata | {"format": 99, "version": "7.0"})},
            r"exported by echodepth '7\.0'.*format 99",
        ),
        (
            {METADATA_KEY: json.dumps(metadata | {"run": {"mood": "good"}})},
            r"other\.onnx: the record of its training cannot be read \(run\.mood is unknown: .*\); make it again",
        ),
        ({METADATA_KEY: "{"}, "its metadata is damaged"),
        ({"producer": "somebody"}, "was not made by echodepth export"),
    ):
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, properties)
        onnx.save(model, tmp_path / "other.onnx")
        with pytest.raises(CheckpointError, match=message):
            load_backend(tmp_path / "other.onnx", "onnx", "cpu")


def test_a_file_knows_its_camera_and_an_older_one_has_that_of_its_dataset(ears_onnx: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    assert Predictor(load_backend(ears_onnx, "onnx", "cpu")).field_of_view == FieldOfView(80.0, 50.5)
    model = onnx.load(ears_onnx)
    metadata = json.loads(model.metadata_props[0].value)
    assert metadata["run"].pop("field_of_view") == [80.0, 50.5]
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata)})
    onnx.save(model, tmp_path / "older.onnx")
    assert Predictor(load_backend(tmp_path / "older.onnx", "onnx", "cpu")).field_of_view == FieldOfView(86.0, 57.0)
