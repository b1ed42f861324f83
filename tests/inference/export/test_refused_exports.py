"""An export that cannot be done is one line, and leaves older files whole."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from echodepth.core.atomic_io import move_into_place
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.inference import export as exporting
from echodepth.inference.backends import load_backend
from echodepth.inference.config import ExportConfig
from echodepth.inference.export import export
from echodepth.models.checkpoint import DepthModel

pytestmark = pytest.mark.slow


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
