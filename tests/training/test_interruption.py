"""Runs that are stopped, killed or damaged: nothing is lost, and the rest of the run gives the same numbers."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.data.datamodule import DepthDataModule
from echodepth.data.samplers import EpochOrder
from echodepth.data.streaming.partition import BatchNumbers
from echodepth.training.checkpoints import AtomicCheckpointIO, Checkpoints
from echodepth.training.stop_signals import StopSignals
from tests.tiny import write_v2
from tests.training.runs import assert_bit_equal, binaural, curve, last_weights, rgb, train


@pytest.fixture(autouse=True)
def obeying_ctrl_c() -> Iterator[None]:
    """A shell starts a process in the background with SIGINT ignored, and then a run ignores it too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def larger_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six batches of two an epoch, and three of validation."""
    return write_v2(tmp_path_factory.mktemp("larger"), {"train": 6, "val": 3, "test": 1})


def at_call(monkeypatch: pytest.MonkeyPatch, hook: str, number: int, act: Callable[[], None]) -> None:
    """Do something just before the callback's ``number``-th call of a hook."""
    original, calls = getattr(Checkpoints, hook), [0]

    def noted(self: Checkpoints, *arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            act()
        return original(self, *arguments, **named)

    monkeypatch.setattr(Checkpoints, hook, noted)


def send(name: str) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "number", "flags"),
    [
        ("on_train_batch_end", 8, {"spec_masks": 2}),
        ("on_validation_batch_end", 4, {"ema_decay": 0.8}),
        ("on_train_batch_end", 9, {"ema_decay": 0.8, "accumulate": 2, "num_workers": 1}),
    ],
    ids=["in an epoch", "in a validation", "between two halves of a step"],
)
def test_a_run_that_a_signal_stops_ends_bit_equal(
    larger_root: Path, monkeypatch: pytest.MonkeyPatch, hook: str, number: int, flags: dict[str, Any]
) -> None:
    """An epoch's work, hours on a large set, was lost to each end of a job's time."""
    train(binaural(larger_root, experiment_name="through", nb_epochs=3, **flags))
    with monkeypatch.context() as patch:
        at_call(patch, hook, number, send("SIGTERM"))
        with pytest.raises(SystemExit) as stopped:
            train(binaural(larger_root, nb_epochs=3, **flags))
    assert stopped.value.code == 143
    assert Path("checkpoints/ears/latest.pth").exists()
    train(binaural(larger_root, nb_epochs=3, resume="auto", **flags))
    assert_bit_equal(last_weights("ears", 3), last_weights("through", 3))
    assert curve("ears") == curve("through")
    assert sorted(path.name for path in Path("checkpoints/ears").iterdir()) == [
        "best",
        "epoch_0002.pth",
        "epoch_0003.pth",
    ]


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 75)])
def test_each_signal_is_obeyed_wherever_it_arrives(
    v2_root: Path, monkeypatch: pytest.MonkeyPatch, name: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Two of four Ctrl-C were swallowed, raised where Python ignores errors; here in a destructor."""

    class Destroyed:
        def __del__(self) -> None:
            send(name)()

    def destroy() -> None:
        Destroyed()

    caplog.set_level(logging.INFO, "echodepth")
    handlers = [signal.getsignal(getattr(signal, each)) for each in ("SIGINT", "SIGTERM", "SIGUSR1")]
    at_call(monkeypatch, "on_train_batch_end", 1, destroy)
    with pytest.raises(SystemExit) as stopped:
        train(rgb(v2_root))
    assert stopped.value.code == status
    assert f"{name}: saving after this step" in caplog.text
    assert "resume with --resume auto" in caplog.text
    assert [signal.getsignal(getattr(signal, each)) for each in ("SIGINT", "SIGTERM", "SIGUSR1")] == handlers


def test_a_second_signal_ends_the_process_and_an_ignored_one_stays_ignored() -> None:
    with StopSignals() as signals:
        signals.in_loop = True
        send("SIGINT")()
        assert signals.received == "SIGINT"
        with pytest.raises(SystemExit) as stopped:
            send("SIGTERM")()
        assert stopped.value.code == 143
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            signals.in_loop = True
            send("SIGUSR1")()
            assert signals.received is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_checkpoint_every_few_minutes_goes_when_an_epoch_is_saved(
    v2_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[str] = []
    save = AtomicCheckpointIO.save_checkpoint

    def noted(self: Any, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        saved.append(Path(path).name)
        save(self, checkpoint, path, storage_options)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", noted)
    train(rgb(v2_root, nb_epochs=2, save_minutes=1e-6))
    # Three training batches, of which the last is saved in the validation: its two batches, and the epoch.
    assert saved == [*["latest.pth"] * 5, *["latest.pth"] * 4, "epoch_0002.pth"]
    assert not Path("checkpoints/rgb/latest.pth").exists()


def test_checkpoints_are_written_beside_their_target(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They went through TMPDIR, often a small disk of its own."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    monkeypatch.setenv("TMPDIR", "/nowhere")
    train(rgb(v2_root))
    assert last_weights("rgb", 1)


def test_the_newest_whole_checkpoint_is_found(v2_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    flags = {"nb_epochs": 4, "save_frequency": 1, "resume": "auto"}
    train(rgb(v2_root, **flags))
    expected = last_weights("rgb", 4)
    for epoch in (3, 4):
        path = Path(f"checkpoints/rgb/epoch_{epoch:04d}.pth")
        path.write_bytes(path.read_bytes()[: 1000 * epoch])
    Path("checkpoints/rgb/latest.pth").write_bytes(b"")
    caplog.set_level(logging.INFO, "echodepth")
    train(rgb(v2_root, **flags))
    assert_bit_equal(last_weights("rgb", 4), expected)
    for damaged in ("latest", "epoch_0004", "epoch_0003"):
        assert f"skipped: checkpoints/rgb/{damaged}.pth" in caplog.text
    assert "resuming from checkpoints/rgb/epoch_0002.pth, after 2 epochs" in caplog.text
    assert "skipped: checkpoints/rgb/epoch_0002.pth" not in caplog.text
    assert [row["epoch"] for row in curve("rgb")] == ["1", "2", "3", "4"]
    before = Path("checkpoints/rgb/epoch_0004.pth").stat().st_mtime_ns
    train(rgb(v2_root, **flags))
    assert Path("checkpoints/rgb/epoch_0004.pth").stat().st_mtime_ns == before, "nothing was left to train"


def test_a_kill_between_a_save_and_its_tidying_leaves_nothing_behind(
    v2_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epoch had been saved, and the checkpoint within it was still there: it stayed beside the finished run."""
    flags = {"nb_epochs": 2, "save_frequency": 2}
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)  # latest.pth, of the first epoch
        train(rgb(v2_root, **flags))
    folder = Path("checkpoints/rgb")
    assert {path.name for path in folder.glob("*.pth")} == {"epoch_0002.pth", "latest.pth"}
    whole = (folder / "epoch_0002.pth").read_bytes()
    train(rgb(v2_root, **flags, resume="auto"))
    assert {path.name for path in folder.glob("*.pth")} == {"epoch_0002.pth"}
    assert (folder / "epoch_0002.pth").read_bytes() == whole


def test_nothing_is_replaced_that_cannot_be_resumed(v2_root: Path) -> None:
    train(rgb(v2_root, nb_epochs=2))
    path = Path("checkpoints/rgb/epoch_0002.pth")
    path.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="no checkpoint in checkpoints/rgb is whole"):
        train(rgb(v2_root, nb_epochs=4, resume="auto"))
    path.unlink()
    path.mkdir()  # an OSError, as of a bad sector
    with pytest.raises(CheckpointError, match="no checkpoint in checkpoints/rgb is whole"):
        train(rgb(v2_root, nb_epochs=4, resume="auto"))
    path.rmdir()
    with pytest.raises(ConfigError, match="already holds best"):
        train(rgb(v2_root, nb_epochs=4, resume="auto"))
    # Of a run that was killed before its first checkpoint nothing is kept but its best model.
    lines = Path("logs/rgb/metrics.csv").read_text().splitlines(keepends=True)
    Path("logs/rgb/metrics.csv").write_text("".join(lines[:2]))
    train(rgb(v2_root, nb_epochs=4, resume="auto"))
    assert [row["epoch"] for row in curve("rgb")] == ["1", "2", "3", "4"]
    with pytest.raises(ConfigError, match="--resume auto finds the checkpoint itself: leave out --checkpoints"):
        train(rgb(v2_root, nb_epochs=5, resume="auto", checkpoints=4))


def test_a_checkpoint_within_an_epoch_needs_the_same_batches(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_call(monkeypatch, "on_train_batch_end", 2, send("SIGUSR1"))
    with pytest.raises(SystemExit):
        train(rgb(v2_root, nb_epochs=2))
    with pytest.raises(ConfigError, match=r"already holds latest\.pth: go on with --resume auto"):
        train(rgb(v2_root, nb_epochs=2))
    with pytest.raises(CheckpointError, match=r"within an epoch of seed 0, batch size 2.*seed 0, batch size 3"):
        train(rgb(v2_root, nb_epochs=2, batch_size=3, resume="auto"))


def test_a_checkpoint_that_the_disk_does_not_hold_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "latest.pth"
    AtomicCheckpointIO().save_checkpoint({"number": torch.ones(3)}, path)

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0\nstack")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"latest\.pth cannot be written .*is the disk full\?"):
        AtomicCheckpointIO().save_checkpoint({"number": torch.zeros(3)}, path)
    assert torch.load(path, weights_only=True)["number"].all()
    assert [each.name for each in tmp_path.iterdir()] == ["latest.pth"]


def test_the_order_goes_on_where_it_was_left(v2_root: Path) -> None:
    data = DepthDataModule(rgb(v2_root).data, ("image",), batch_size=2, num_workers=0)
    whole = [batch["name"] for batch in data.train_dataloader()]
    data.first_batch = 1
    loader = data.train_dataloader()
    assert len(loader) == len(whole) == 3
    assert [batch["name"] for batch in loader] == whole[1:]
    assert isinstance(loader.sampler, EpochOrder)
    loader.sampler.set_epoch(1)
    assert len(list(loader)) == 3, "only the first epoch is entered in the middle"
    assert len(list(data.val_dataloader())) == 2
    numbers = BatchNumbers(4, epoch=2, first_batch=3)
    assert list(numbers) == [(2, 3)]
    numbers.set_epoch(3)
    assert list(numbers) == [(3, 0), (3, 1), (3, 2), (3, 3)]
