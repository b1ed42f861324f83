"""One genuine BatVision V2 frame, from the files to the figures: read, learnt by heart, resumed, scored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echodepth.data.audio import AudioCut, cut, find_onset, read_wav
from echodepth.data.config import DataConfig
from echodepth.data.dataset import open_dataset
from echodepth.evaluation.evaluate import evaluate
from echodepth.evaluation.results import Evaluation
from echodepth.metrics.protocols import PROTOCOLS
from echodepth.training import train
from echodepth.training.compose import train_config
from tests.configs import evaluate_config
from tests.roots import write_real_v2_root

STEPS_AN_EPOCH, EPOCHS, RESUMED = 16, 9, 6
SMALL: dict[str, Any] = {
    # One frame, over and over, with nothing that keeps a network from learning it by heart.
    **{"batch_size": 1, "flip": False, "color_jitter": 0.0, "lambda_smooth": 0.0, "weight_decay": 0.0},
    **{"image_size": 32, "base_channels": 8, "bilinear": False, "learning_rate": 4e-3, "gradient_clip": 1.0},
    **{"nb_epochs": EPOCHS, "leave_out": "Copy", "num_workers": 0, "device": "cpu"},
}
HEARING: dict[str, Any] = {**SMALL, "attention_levels": (3, 4, 5)}


@pytest.fixture
def root(tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two rooms that are the same: what is learnt in one is known in the one left out."""
    monkeypatch.chdir(tmp_path)
    return write_real_v2_root(tmp_path / "v2", real_data, ("Sample", "Copy"), training_rows=STEPS_AN_EPOCH)


def test_the_frame_is_read_to_the_last_pixel(root: Path) -> None:
    data = DataConfig(data_dir=root, image_size=720)
    assert [record.name for record in open_dataset(data, "test").records] == ["Copy/47", "Sample/47"]
    sample = open_dataset(data, "test", ("audio", "depth"))[1]
    # All 720 rows and 720 of the 1280 columns, the nearest and the farthest pixel among them.
    depth = sample["depth"][sample["valid"]]
    assert float(depth.min()) == pytest.approx(0.353, abs=5e-4)
    assert float(depth.max()) == pytest.approx(15.711, abs=5e-4)
    assert float((~sample["valid"]).float().mean()) == pytest.approx(0.217, abs=1e-3)
    audio, _ = read_wav(root / "Sample/audio/audio_47.wav")
    onset = find_onset(audio)
    assert onset == pytest.approx(282, abs=5)
    assert np.array_equal(sample["audio"].numpy(), audio[:, onset : onset + 7782])
    assert np.array_equal(cut(audio, AudioCut("zero", 0.1), "47"), audio[:, :4410])


def scored(experiment: str) -> dict[str, Evaluation]:
    names = [protocol.name for protocol in PROTOCOLS.values()]
    return {name: evaluate(evaluate_config(experiment, protocol=name, device="cpu")) for name in names}


def last_state(experiment: str) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(f"checkpoints/{experiment}/epoch_{EPOCHS:04d}.pth", weights_only=True)
    state: dict[str, torch.Tensor] = checkpoint["state_dict"]
    return state


@pytest.mark.pictures
@pytest.mark.slow
def test_the_frame_is_learnt_by_sight_by_ear_and_with_a_teacher(root: Path) -> None:
    train.train(train_config("rgb", **SMALL, data_dir=root, experiment_name="sight", save_frequency=EPOCHS))
    train.train(train_config("binaural", **HEARING, data_dir=root, experiment_name="ears", save_frequency=EPOCHS))
    taught: dict[str, Any] = {**HEARING, "data_dir": root, "experiment_name": "taught", "teacher": "sight"}
    train.train(train_config("distill", **taught, save_frequency=RESUMED))

    for experiment in ("sight", "ears", "taught"):
        by = scored(experiment)
        assert by["valid"].metrics["mae"] < 0.05, experiment
        assert by["loo"].metrics["mae"] < 0.05, experiment
        # Bilinear resizing draws zeros over the edges and fills the holes: other pixels, and a larger error.
        assert by["valid"].metrics["mae"] < by["official"].metrics["mae"] < 0.5
        assert by["official"].counts["pixels"] > by["valid"].counts["pixels"]
        # Every list of the room left out: one test row, one for validation, and those for training.
        assert sorted(row["name"] for row in by["loo"].rows) == [
            f"Copy/{47 + row}" for row in range(2 + STEPS_AN_EPOCH)
        ]
        assert [row["name"] for row in by["valid"].rows] == ["Copy/47", "Sample/47"]
        assert Path(f"results/{experiment}/epoch_{EPOCHS:04d}.png").is_file()

    uninterrupted = last_state("taught")
    train.train(train_config("distill", **taught, save_frequency=EPOCHS, checkpoints=RESUMED))
    resumed = last_state("taught")
    assert uninterrupted.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in uninterrupted.items())
