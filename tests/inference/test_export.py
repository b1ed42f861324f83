"""Exported models: equality with PyTorch, metadata, accuracy of lower precisions, and error messages."""

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from echodepth.apps.demo.app import open_page
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.live.config import ListenConfig
from echodepth.apps.live.listen import listen
from echodepth.core.atomic_io import move_into_place
from echodepth.core.errors import CheckpointError, ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.data.dataset import open_dataset
from echodepth.data.recorded import trained_data
from echodepth.evaluation.config import ScoringConfig
from echodepth.inference import export as exporting
from echodepth.inference.backends import ExportedModel, load_backend
from echodepth.inference.config import ExportConfig, PredictConfig
from echodepth.inference.export import evenly_spaced, export, trial_inputs
from echodepth.inference.export_metadata import METADATA_KEY, ExportMetadata
from echodepth.inference.predict import predict
from echodepth.inference.predictor import Predictor
from echodepth.models.checkpoint import DepthModel, ModelSpec, save_model
from echodepth.models.frontends.echo import EchoFrontEnd
from echodepth.models.mirror_average import MirrorAveraged
from echodepth.models.networks import NETWORKS
from echodepth.models.resampling import resize_matrix
from echodepth.models.run_record import RunRecord
from tests.tiny import SECONDS, SIDE, save_tiny, save_tiny_rgb

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("traced_once")]

SAMPLES = 882


def have(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is not installed: pip install 'echodepth[export]'")


# --- the front end in real numbers ---


def decaying_noise(samples: int) -> torch.Tensor:
    return 0.3 * torch.exp(-6 * torch.arange(samples) / samples) * torch.randn(2, 2, samples)


@pytest.mark.parametrize("samples", [SAMPLES, 881])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"spectrogram": "magnitude"},
        {"spectrogram": "magnitude", "spectrogram_antialias": False},
        {"win_length": 63, "hop_length": 17},
        {"n_fft": 64},
        {"n_fft": 32, "win_length": 128},
        {"audio_bins": 16, "audio_frames": 40, "audio_range": 2.0, "chirp": "linear"},
    ],
    ids=str,
)
def test_the_graphs_spectrogram_is_the_front_ends(settings: dict[str, Any], samples: int) -> None:
    front_end = EchoFrontEnd(SIDE, **settings)
    audio = decaying_noise(samples)
    torch.testing.assert_close(front_end.exportable(samples)(audio), front_end(audio), atol=2e-5, rtol=0)


def test_the_graphs_cues_are_the_front_ends() -> None:
    """With silence at the end, where the phase is undefined: its cues are 0, not 0/0."""
    front_end = EchoFrontEnd(SIDE, binaural_cues=True)
    audio = decaying_noise(2000)
    audio[0, 0, 1000:] = 0
    audio[:, :, 1500:] = 0
    got, expected = front_end.exportable(2000)(audio), front_end(audio)
    assert (expected[:, 2, :, -4:] == 0).all()
    off = (got - expected).abs()
    assert off.max() < 1e-3
    assert off.mean() < 1e-6


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("length", "size"), [(257, 32), (487, 32), (20, 32), (32, 32), (33, 32)])
def test_resizing_by_a_matrix_equals_interpolation(length: int, size: int, antialias: bool) -> None:
    x = torch.rand(1, 1, size, length)
    expected = F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=antialias)
    matrix = resize_matrix(length, size, antialias)
    torch.testing.assert_close(x @ matrix.T, expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(matrix.sum(1), torch.ones(size))


# --- the files ---


def with_distinct_outputs(model: DepthModel, folder: Path) -> DepthModel:
    """Set weights by which every layer matters: an untrained model's map is nearly flat and its attention gate is 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gate"):
                parameter.fill_(0.7)
            elif name.endswith("head.conv.weight"):
                parameter.mul_(5)
            elif parameter.ndim == 4:
                parameter.mul_(6**0.5)  # torch's initial weights shrink the variance sixfold a layer
    model.run = replace(model.run, field_of_view=FieldOfView(80.0, 50.5))
    save_model(model, folder / "best")
    return model


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> tuple[DepthModel, str]:
    folder = tmp_path_factory.mktemp("export") / "ears"
    return with_distinct_outputs(save_tiny(folder, v2_root, uncertainty=True), folder), str(folder)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> tuple[DepthModel, str]:
    folder = tmp_path_factory.mktemp("export") / "eyes"
    return with_distinct_outputs(save_tiny_rgb(folder, v2_root), folder), str(folder)


@pytest.fixture(scope="module")
def ears_onnx(ears: tuple[DepthModel, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    have("onnxscript", "onnxruntime")
    return export(ExportConfig(ears[1], "onnx", out=tmp_path_factory.mktemp("onnx")))


@pytest.fixture(scope="module")
def eyes_xml(eyes: tuple[DepthModel, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    have("onnxscript", "openvino")
    return export(ExportConfig(eyes[1], "openvino", out=tmp_path_factory.mktemp("openvino")))


def assert_same(path: Path, backend: Any, model: DepthModel, atol: float = 1e-4) -> ExportedModel:
    backend = load_backend(path, backend, "cpu", trust_code=True)
    assert isinstance(backend, ExportedModel)
    assert repr(load_backend(path, device="cpu", trust_code=True)) == repr(backend)  # found by the suffix
    (one, _) = trial_inputs(model)
    for raw in (one, one.expand(5, *one.shape[1:])):
        with torch.inference_mode():
            got, expected = backend.predict(raw), model.eval().predict(raw)
        assert expected.depth.std() > 1e-3
        torch.testing.assert_close(got.depth, expected.depth, atol=atol, rtol=0)
        assert (got.uncertainty is None) == (expected.uncertainty is None)
        if got.uncertainty is not None and expected.uncertainty is not None:
            torch.testing.assert_close(got.uncertainty, expected.uncertainty, atol=atol, rtol=0)
    assert backend.run.field_of_view == model.run.field_of_view
    return backend


def test_onnx_gives_the_same_depth_and_uncertainty(ears: tuple[DepthModel, str], ears_onnx: Path) -> None:
    backend = assert_same(ears_onnx, "onnx", ears[0])
    assert ears_onnx.name == "ears_fp32.onnx"
    assert [path.name for path in ears_onnx.parent.iterdir()] == ["ears_fp32.onnx"]
    metadata = backend.metadata
    assert (metadata.input_key, metadata.image_size, metadata.max_depth) == ("audio", SIDE, 30.0)
    assert (metadata.sample_rate, metadata.samples) == (44100, SAMPLES)
    assert (metadata.precision, metadata.checkpoint) == ("fp32", ears[1])
    assert metadata.difference is not None
    assert 0 <= metadata.difference < 1e-4
    assert metadata.accuracy is None
    assert trained_data(backend).cut_seconds == SECONDS


def test_openvino_gives_the_same_depth(eyes: tuple[DepthModel, str], eyes_xml: Path) -> None:
    backend = assert_same(eyes_xml, "openvino", eyes[0])
    assert sorted(path.name for path in eyes_xml.parent.iterdir()) == ["eyes_fp32.bin", "eyes_fp32.xml"]
    assert (backend.metadata.input_shape, backend.metadata.samples) == ((3, SIDE, SIDE), None)


def make_model(name: str, folder: Path, network: str, front_end: dict[str, Any], **arguments: Any) -> DepthModel:
    spec = ModelSpec(network, {"output_size": SIDE, **arguments}, {"image_size": SIDE, **front_end})
    data = {"dataset": "batvisionv2", "audio_seconds": SECONDS}
    model = DepthModel(spec, RunRecord(experiment_name=name, data=data)).eval()
    return with_distinct_outputs(model, folder / name)


@pytest.fixture(scope="module", params=NETWORKS.names())
def any_network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DepthModel, str]:
    """A model of each network; those of the other tests where there is one, which are traced already."""
    fixture = {"binaural_attention": "ears", "rgb": "eyes"}.get(request.param)
    if fixture is not None:
        found: tuple[DepthModel, str] = request.getfixturevalue(fixture)
        return found
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"base_channels": 4} | ({"attention_levels": [5]} if request.param == "light" else {})
    return make_model(request.param, folder, request.param, {}, **arguments), str(folder / request.param)


@pytest.mark.parametrize(("file_format", "backend"), [("onnx", "onnx"), ("openvino", "openvino"), ("pt2", "torch")])
def test_every_network_exports_to_every_format(
    any_network: tuple[DepthModel, str], file_format: Any, backend: str, tmp_path: Path
) -> None:
    """The light network once split its batch in two halves, by which every graph was for one recording alone.

    The sizes of waveform and map are fixed in all formats; the batch is another one than the traced one.
    """
    have("onnxscript", "onnxruntime", "openvino")
    model, folder = any_network
    path = export(ExportConfig(folder, file_format, out=tmp_path))
    assert_same(path, backend, model, exporting.TOLERANCE)


def test_binaural_cues_export_too(tmp_path: Path) -> None:
    """ONNX's optimiser once removed the small constant in the divisors of the cues, which this comparison detects."""
    have("onnxscript", "onnxruntime")
    arguments = {"base_channels": 2, "ear_channels": 10, "attention_levels": [5]}
    model = make_model("cues", tmp_path, "binaural_attention", {"binaural_cues": True}, **arguments)
    path = export(ExportConfig(str(tmp_path / "cues"), out=tmp_path))
    assert_same(path, "onnx", model, exporting.TOLERANCE)


def test_a_file_holds_no_paths_of_source_code(ears_onnx: Path) -> None:
    assert b".py" not in ears_onnx.read_bytes()


# --- lower precision ---


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


# --- prediction ---


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


# --- errors ---


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


def test_a_missing_extra_says_how_to_install_it(
    ears: tuple[DepthModel, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"onnxruntime cannot be imported .*pip install 'echodepth\[export\]'"):
        export(ExportConfig(ears[1], out=tmp_path))
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ConfigError, match=r"pip install 'echodepth\[export\]'"):
        load_backend(tmp_path / "model.onnx", "onnx", "cpu")


def test_a_graph_that_computes_something_else_is_not_written(
    ears: tuple[DepthModel, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracer and runtime are replaced: the test covers the check after them."""
    monkeypatch.setattr(exporting, "pt2_writer", lambda graph, example, path: lambda metadata: path.write_text("new"))
    monkeypatch.setattr(exporting, "load_backend", lambda *_, **__: ears[0])
    monkeypatch.setattr(exporting, "difference", lambda *_: 0.25)
    (tmp_path / "ears_fp32.pt2").write_text("older")
    with pytest.raises(CheckpointError, match=r"differs from PyTorch by 0\.25 m, more than 0\.001 m: nothing was"):
        export(ExportConfig(ears[1], "pt2", out=tmp_path))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]


@pytest.mark.parametrize("where", ["pt2_writer", "difference"])
def test_a_model_that_cannot_be_exported_is_one_line(
    ears: tuple[DepthModel, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A network from elsewhere may fix the batch size: the tracer or the runtime then fails with pages of advice."""

    def fail(*_: Any) -> Any:
        raise RuntimeError("\nConstraints violated (batch)!\nSpecializations unexpectedly required")

    monkeypatch.setattr(exporting, "pt2_writer", lambda graph, example, path: lambda metadata: path.write_text("new"))
    monkeypatch.setattr(exporting, "load_backend", lambda *_, **__: ears[0])
    monkeypatch.setattr(exporting, where, fail)
    with pytest.raises(
        CheckpointError, match=r"ears cannot be exported as pt2 \(Constraints violated \(batch\)!\)"
    ) as e:
        export(ExportConfig(ears[1], "pt2", out=tmp_path))
    assert "\n" not in str(e.value)
    assert not list(tmp_path.iterdir())


def test_a_difference_of_nan_is_infinite(eyes: tuple[DepthModel, str]) -> None:
    model, _ = eyes
    raw = trial_inputs(model)[0]
    assert exporting.difference(model, model, [raw]) == 0
    assert exporting.difference(model, model, [raw * float("nan")]) == float("inf")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"format": "pt2", "precision": "int8"}, "--precision int8 is made for --format onnx or openvino"),
        ({"calibration_samples": 0}, "--calibration_samples must be at least 1"),
        ({"scored_samples": 0}, "--scored_samples must be at least 1"),
    ],
)
def test_flags_out_of_range_are_refused(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        export(replace(ExportConfig("ears"), **flags))


def test_lower_precision_without_its_data_is_refused(ears: tuple[DepthModel, str], tmp_path: Path) -> None:
    have("onnxscript", "onnxruntime")
    with pytest.raises(DataError, match="nowhere"):
        export(ExportConfig(ears[1], precision="int8", out=tmp_path / "out", data_dir=Path("nowhere")))
    assert not (tmp_path / "out").exists()


def test_other_inputs_and_devices_are_refused(ears_onnx: Path, eyes_xml: Path) -> None:
    with pytest.raises(ConfigError, match=r"takes \[B, 2, 882\], not \[1, 2, 900\]"):
        load_backend(ears_onnx, "onnx", "cpu").predict(torch.zeros(1, 2, 900))
    with pytest.raises(ConfigError, match="--device mps cannot be used by the onnxruntime that is installed"):
        load_backend(ears_onnx, "onnx", "mps")
    with pytest.raises(ConfigError, match=r"--device cuda cannot be used by OpenVINO here, which finds .*CPU"):
        load_backend(eyes_xml, "openvino", "cuda")


def test_an_older_graph_is_never_read_beside_new_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, target = tmp_path / "new", tmp_path / "target"
    for folder in (new, target):
        folder.mkdir()
        for name in ("m.bin", "m.xml"):
            (folder / name).write_text(folder.name)
    replace_file = Path.replace

    def full(path: Path, to: Path) -> Path:
        if path.suffix == ".xml":
            raise OSError("no space")
        return replace_file(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="no space"):
            move_into_place([new / "m.bin", new / "m.xml"], target)
    assert [(path.name, path.read_text()) for path in target.iterdir()] == [("m.bin", "new")]


def test_frames_for_calibration_are_the_models_own(ears: tuple[DepthModel, str]) -> None:
    dataset = open_dataset(trained_data(ears[0]), "train", ("audio",))
    assert dataset[0]["audio"].shape == (2, SAMPLES)


def test_a_graph_averages_with_the_mirrored_input(ears: tuple[DepthModel, str], tmp_path: Path) -> None:
    have("onnxscript", "onnxruntime")
    path = export(ExportConfig(ears[1], "onnx", out=tmp_path, mirror_average=True))
    assert path.name == "ears_fp32_mirror_average.onnx"
    loaded = load_backend(path, "onnx", "cpu")
    raw = trial_inputs(ears[0])[1]
    with torch.inference_mode():
        plain, expected = ears[0].predict(raw), MirrorAveraged(ears[0]).predict(raw)
    assert (plain.depth - expected.depth).abs().max() > 1e-2
    depth, uncertainty, _ = loaded.predict(raw)
    torch.testing.assert_close(depth, expected.depth, atol=1e-4, rtol=0)
    torch.testing.assert_close(uncertainty, expected.uncertainty, atol=1e-4, rtol=0)
    # A file that has it is not run twice.
    assert Predictor(loaded, mirror_average=True)._inference is loaded
    assert Predictor(loaded).mirror_average
