"""How long a run will take, as soon as its first steps tell."""

import logging
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

log = logging.getLogger(__name__)
WARM_UP = 3
"""Steps that are not timed: libraries load and choose their algorithms in them."""
LEAST_STEPS, LEAST_SECONDS = 10, 5.0
"""What is timed at least, unless the epoch ends before."""
WORTH_SAYING = 600.0
"""Seconds of the shortest run whose length is announced."""
FORWARD_SHARE = 1 / 3
"""Share of a step that a validation batch takes: the backward pass is about twice the forward pass."""


class TimeEstimate(Callback):
    """Logs the expected time of a run of more than ten minutes, once."""

    def __init__(self) -> None:
        self.start: float | None = None
        self.steps = 0
        self.is_done = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Time the steps after the first few, until there are enough of them."""
        if self.is_done:
            return
        self.steps += 1
        is_last = batch_idx + 1 >= trainer.num_training_batches
        if self.steps <= WARM_UP and not is_last:
            self.start = time.monotonic()
            return
        if self.start is None:  # an epoch of a single step
            return
        seconds, timed = time.monotonic() - self.start, self.steps - min(self.steps - 1, WARM_UP)
        if is_last or (timed >= LEAST_STEPS and seconds >= LEAST_SECONDS):
            self.is_done = True
            self._announce(trainer, seconds / timed, batch_idx)

    def _announce(self, trainer: L.Trainer, step: float, batch_idx: int) -> None:
        epochs, batches = (trainer.max_epochs or 0) - trainer.current_epoch, int(trainer.num_training_batches)
        validations = epochs // (trainer.check_val_every_n_epoch or 1)
        validated = validations * sum(int(count) for count in trainer.num_val_batches)
        left = step * (epochs * batches - batch_idx - 1 + FORWARD_SHARE * validated)
        if left > WORTH_SAYING and trainer.is_global_zero:
            log.info(
                "about %s left for %d epochs of %d steps, at %.2g s a step; Ctrl-C stops after a checkpoint, and "
                "--resume auto goes on",
                *(duration(left), epochs, batches, step),
            )


def duration(seconds: float) -> str:
    """A time to wait in words: 12 min, 3 h 20 min, 2 d 5 h."""
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"
