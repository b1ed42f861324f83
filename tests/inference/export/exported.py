"""Models that are exported, and their comparison with PyTorch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core.field_of_view import FieldOfView
from echodepth.inference.backends import ExportedModel, load_backend
from echodepth.inference.export import trial_inputs
from echodepth.models.checkpoint import DepthModel, ModelSpec, save_model
from echodepth.models.run_record import RunRecord
from tests.tiny import SECONDS, SIDE

SAMPLES = 882


def have(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is not installed: pip install 'echodepth[export]'")


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


def make_model(name: str, folder: Path, network: str, front_end: dict[str, Any], **arguments: Any) -> DepthModel:
    spec = ModelSpec(network, {"output_size": SIDE, **arguments}, {"image_size": SIDE, **front_end})
    data = {"dataset": "batvisionv2", "audio_seconds": SECONDS}
    model = DepthModel(spec, RunRecord(experiment_name=name, data=data)).eval()
    return with_distinct_outputs(model, folder / name)
