"""How long a run will take: from its first steps, said once, for runs of more than ten minutes."""

import logging
from typing import Any
from unittest.mock import Mock

import lightning as L
import pytest

from echodepth.training.time_estimate import TimeEstimate, duration


def run(
    monkeypatch: pytest.MonkeyPatch, step: float, epochs: int, batches: int, validated: int = 0, **trainer: Any
) -> None:
    clock = 100.0
    monkeypatch.setattr("echodepth.training.time_estimate.time.monotonic", lambda: clock)
    estimate = TimeEstimate()
    shape = {"max_epochs": epochs, "num_training_batches": batches, "num_val_batches": [validated]}
    shape |= {"check_val_every_n_epoch": 1, "is_global_zero": True} | trainer
    for epoch in range(min(epochs, 3)):
        for batch in range(batches):
            # The first steps compile and load: a minute each, which no later step takes.
            clock += 60 if epoch == 0 and batch < 3 else step
            fake = Mock(spec=L.Trainer, current_epoch=epoch, **shape)
            estimate.on_train_batch_end(fake, Mock(spec=L.LightningModule), None, None, batch)


@pytest.mark.parametrize(
    ("step", "epochs", "batches", "validated", "message"),
    [
        # 13 steps are done, and each of the 13 after the third was timed: 987 steps of 1 s are left, 16.45 min.
        (1.0, 10, 100, 0, "about 16 min left for 10 epochs of 100 steps, at 1 s a step"),
        # Ten validations of 60 batches, each a third of a step: 200 s more.
        (1.0, 10, 100, 60, "about 20 min left for 10 epochs of 100 steps, at 1 s a step"),
        # Five seconds must have passed: 50 steps of 0.1 s after the first three.
        (0.1, 200, 500, 0, "about 2 h 47 min left for 200 epochs of 500 steps, at 0.1 s a step"),
        # An epoch of five steps ends before there are ten; two of them are timed.
        (10.0, 100, 5, 0, "about 1 h 22 min left for 100 epochs of 5 steps, at 10 s a step"),
        (1.0, 5, 100, 0, None),
    ],
)
def test_the_time_left_is_that_of_the_steps_left(
    step: float,
    epochs: int,
    batches: int,
    validated: int,
    message: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "echodepth")
    run(monkeypatch, step, epochs, batches, validated)
    said = [record.getMessage().partition(";")[0] for record in caplog.records]
    assert said == ([] if message is None else [message])


def test_only_one_process_says_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "echodepth")
    run(monkeypatch, 1.0, 10, 100, is_global_zero=False)
    assert not caplog.records


@pytest.mark.parametrize(
    ("seconds", "words"), [(700.0, "12 min"), (3580.0, "1 h 0 min"), (12_000.0, "3 h 20 min"), (190_800.0, "2 d 5 h")]
)
def test_a_duration_is_rounded(seconds: float, words: str) -> None:
    assert duration(seconds) == words
