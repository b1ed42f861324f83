"""The number of threads: one for a small network, the user's wherever there is one, and the same after a resume."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core import threads
from echodepth.core.errors import ConfigError
from echodepth.core.threads import SMALL_MAP, choose_threads, use_threads
from echodepth.training.compose import train_config
from echodepth.training.thread_choice import training_threads
from echodepth.training.train import train
from tests.tiny import SECONDS


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> int:
    """As in a process of a machine with five cores, whose user has chosen nothing."""
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_DEFAULT", 5)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    return 5


def config(**flags: Any) -> Any:
    return train_config("rgb", **{"base_channels": 8, "image_size": 32, "batch_size": 8, "device": "cpu"} | flags)


def test_a_small_batch_is_computed_by_one_thread(many_cores: int) -> None:
    assert choose_threads(SMALL_MAP) == 1
    assert choose_threads(SMALL_MAP + 1) == many_cores
    assert training_threads(config()) == 1  # 8 x 8 x 32 x 32 values are half of the limit
    assert training_threads(config(batch_size=16)) == 1
    for larger in ({"image_size": 33}, {"batch_size": 17}, {"base_channels": 16}):
        assert training_threads(config(**{"batch_size": 16} | larger)) == many_cores


def test_a_number_that_the_user_chose_is_kept(many_cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert training_threads(config(threads=3)) == 3
    assert training_threads(config(image_size=256, threads=1)) == 1
    with monkeypatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "5")
        assert training_threads(config()) == many_cores
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)  # as after torch.set_num_threads(4)
    assert training_threads(config()) == 4


def test_several_processes_are_left_to_lightning(many_cores: int) -> None:
    assert training_threads(config(devices=2, strategy="ddp")) == many_cores


def test_a_resumed_run_keeps_its_number_and_says_so(many_cores: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "echodepth")
    assert training_threads(config(), before=2) == 2
    assert caplog.messages == ["2 CPU threads instead of 5 (as before the resume; --threads names another)"]
    caplog.clear()
    assert training_threads(config(threads=1), before=2) == 1
    (message,) = caplog.messages
    assert message.endswith("(--threads; 2 up to the resumed epoch, so that weights differ by rounding)")


def test_the_number_is_used_recorded_and_given_back(
    v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: used[-1] if used else 1)
    flags = {"data_dir": v2_root, "image_size": 32, "base_channels": 2, "batch_size": 4, "num_workers": 0}
    config = train_config("rgb", **flags, audio_seconds=SECONDS, nb_epochs=1, device="cpu", threads=2)
    train(config)
    assert used == [2, 1]
    assert torch.load("checkpoints/rgb_depth/epoch_0001.pth", weights_only=True)["threads"] == 2


def test_fewer_than_one_thread_are_refused(v2_root: Path) -> None:
    with pytest.raises(ConfigError, match=r"--threads must be at least 1, not 0"):
        train(config(data_dir=v2_root, threads=0))


def test_the_number_is_restored_after_an_error() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with use_threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert torch.get_num_threads() == before
