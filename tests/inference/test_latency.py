"""A model prepared for single frames: the same depth, from a copy, and one graph for each shape."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from echodepth.inference import latency
from echodepth.inference.latency import GRAPHS, LatencyModel
from echodepth.inference.predictor import Predictor, load_model
from echodepth.models.checkpoint import DepthModel, ModelSpec, save_model
from echodepth.models.layers import Prediction
from echodepth.models.run_record import RunRecord

AUDIO = {"name": "echo", "image_size": 32}


def model(network: str = "light") -> DepthModel:
    torch.manual_seed(0)
    image = network == "rgb"
    arguments = {"base_channels": 8, "output_size": 32, "max_depth": 10.0, "uncertainty": True}
    front_end = {"name": "image", "image_size": 32} if image else AUDIO
    built = DepthModel(ModelSpec(network, arguments, front_end), RunRecord(experiment_name="tried"))
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features)
            module.running_var = torch.rand(module.num_features) + 0.5
    return built.eval()


def recording() -> np.ndarray:
    """Half a second of quiet with a chirp in it."""
    random = np.random.default_rng(0)
    audio = 1e-4 * random.standard_normal((2, 22_050)).astype(np.float32)
    audio[:, 400:530] += random.uniform(-0.5, 0.5, (2, 130)).astype(np.float32)
    return audio


def raw(network: str = "light", frames: int = 1) -> Tensor:
    return torch.rand(frames, 3, 32, 32) if network == "rgb" else 0.1 * torch.randn(frames, 2, 2000)


@pytest.mark.parametrize("network", ["light", "binaural_attention", "rgb"])
def test_depth_and_uncertainty_are_those_of_the_model(network: str) -> None:
    slow = model(network)
    before = {name: tensor.clone() for name, tensor in slow.state_dict().items()}
    fast, x = LatencyModel(slow), raw(network, 2)
    with torch.inference_mode():
        expected = slow.predict(x)
    found = fast.predict(x)
    torch.testing.assert_close(found.depth, expected.depth, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.uncertainty, expected.uncertainty, rtol=1e-4, atol=1e-4)
    assert found.features == {}
    assert all(torch.equal(tensor, before[name]) for name, tensor in slow.state_dict().items())
    assert (fast.input_key, fast.image_size, fast.max_depth) == (slow.input_key, 32, 10.0)
    assert fast.run.experiment_name == "tried"


def test_it_is_loaded_by_name_and_published_as_it_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = model()
    save_model(trained, tmp_path / "best")
    predictor = load_model(tmp_path / "best", device="cpu", compile="latency")
    assert isinstance(predictor.backend, LatencyModel)
    plain = load_model(tmp_path / "best", device="cpu").infer(recording(), 44_100).depth
    np.testing.assert_allclose(predictor.infer(recording(), 44_100).depth, plain, rtol=1e-4, atol=1e-4)
    published: dict[str, Tensor] = {}

    def publish(folder: Path, repo_id: str, private: bool, message: str) -> str:
        published.update(load_model(folder, device="cpu").backend.network.state_dict())  # type: ignore[attr-defined]
        return "address"

    monkeypatch.setattr("echodepth.models.hub.publish", publish)
    assert predictor.push_to_hub("someone/model") == "address"
    assert all(torch.equal(published[name], tensor) for name, tensor in trained.network.state_dict().items())


def test_a_graph_is_recorded_for_each_shape_and_the_least_used_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[int] = []

    def record(self: LatencyModel, x: Tensor) -> Callable[[Tensor], Prediction]:
        recorded.append(len(x))
        return self._predict

    fast = LatencyModel(model())
    monkeypatch.setattr(LatencyModel, "_record", record)
    monkeypatch.setattr(fast, "_device", torch.device("cuda"))
    monkeypatch.setattr(LatencyModel, "_predict", lambda self, x: Prediction(x, None, {}))
    for frames in (1, 2, 1, *range(3, GRAPHS + 2)):
        assert len(fast.predict(raw(frames=frames)).depth) == frames
    assert recorded == [1, 2, *range(3, GRAPHS + 2)]
    fast.predict(raw(frames=1))  # used after 2, which the last shape replaced
    fast.predict(raw(frames=2))
    assert recorded[-1] == 2
    assert len(recorded) == GRAPHS + 2
    assert len(fast._graphs) == latency.GRAPHS


def test_a_model_of_ones_own_has_no_copy() -> None:
    mine = model()
    predictor = Predictor(mine)
    before = predictor.infer(recording(), 44_100).depth
    torch.nn.init.constant_(mine.network.head.conv.bias, 9.0)  # type: ignore[arg-type]
    assert predictor.infer(recording(), 44_100).depth.mean() > before.mean() + 1
