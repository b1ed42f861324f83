"""Predictions of every network and outputs of every front end, recorded for weights and inputs given by formulas."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from echodepth.models.checkpoint import load_depth_model, save_model
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.networks import NETWORKS
from tests.models.golden import DATA, assert_golden, example_image, example_waveform, fill

SMALL: dict[str, Any] = {"base_channels": 2, "output_size": 32, "uncertainty": True}
CASES: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "rgb": ("rgb", SMALL, 3, 32),
    "rgb_transposed": ("rgb", {"base_channels": 2, "output_size": 32, "bilinear": False}, 3, 32),
    "light": ("light", {"base_channels": 4, "output_size": 32, "uncertainty": True}, 2, 32),
    "unet_baseline": ("unet_baseline", {"base_channels": 1, "output_size": 32}, 2, 32),
    "binaural_full": ("binaural_attention", SMALL, 2, 96),
    "binaural_separated": (
        "binaural_attention",
        {"base_channels": 2, "output_size": 32, "convolution": "factorized", "ear_channels": 10},
        20,
        32,
    ),
}
"""By the name of the recording: network, arguments, channels and side of the input."""


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(DATA / "golden.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", CASES)
def test_networks_predict_as_recorded(name: str, golden: dict[str, np.ndarray]) -> None:
    network, arguments, channels, side = CASES[name]
    module = NETWORKS[network](**arguments).eval()
    fill(module)
    with torch.inference_mode():
        prediction = module.predict(example_image(channels, side))
    assert_golden(prediction.depth[0, 0], golden[f"{name}.depth"])
    assert (prediction.uncertainty is None) == (f"{name}.uncertainty" not in golden)
    if prediction.uncertainty is not None:
        assert_golden(prediction.uncertainty[0, 0], golden[f"{name}.uncertainty"])


def test_every_network_has_a_recording() -> None:
    assert {case[0] for case in CASES.values()} == set(NETWORKS.names())


@pytest.mark.parametrize(
    ("name", "front_end", "settings"),
    [
        ("image", "image", {}),
        ("echo_log", "echo", {}),
        ("echo_magnitude", "echo", {"spectrogram": "magnitude"}),
        ("echo_cues", "echo", {"binaural_cues": True}),
    ],
)
def test_front_ends_compute_as_recorded(
    name: str, front_end: str, settings: dict[str, Any], golden: dict[str, np.ndarray]
) -> None:
    module = FRONT_ENDS[front_end](image_size=16, **settings)
    raw = example_image(3, 24) if module.modality == "image" else example_waveform()
    assert_golden(module(raw)[0], golden[f"front_end.{name}"])


def test_a_saved_folder_predicts_as_recorded_and_is_saved_again_as_it_is(tmp_path: Path) -> None:
    """The format that is written today: names, values and order of the config, names and values of the weights."""
    folder = DATA / "format_2"
    model = load_depth_model(folder)
    with torch.inference_mode():
        prediction = model.predict(example_waveform())
    assert prediction.uncertainty is not None
    with np.load(folder / "prediction.npz") as recorded:
        assert_golden(prediction.depth[0, 0], recorded["depth"])
        assert_golden(prediction.uncertainty[0, 0], recorded["uncertainty"])
    save_model(model, tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (folder / "config.json").read_text()
    weights, again = (load_file(each / "model.safetensors") for each in (folder, tmp_path / "again"))
    assert weights.keys() == again.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items())
