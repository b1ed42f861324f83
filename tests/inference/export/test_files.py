"""Exported files: equality with PyTorch in every format, and metadata."""

from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.data.recorded import trained_data
from echodepth.inference import export as exporting
from echodepth.inference.backends import load_backend
from echodepth.inference.config import ExportConfig
from echodepth.inference.export import export, trial_inputs
from echodepth.inference.predictor import Predictor
from echodepth.models.checkpoint import DepthModel
from echodepth.models.mirror_average import MirrorAveraged
from echodepth.models.networks import NETWORKS
from tests.inference.export.exported import SAMPLES, assert_same, have, make_model
from tests.tiny import SECONDS, SIDE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("traced_once")]


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
