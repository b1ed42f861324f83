"""Stopping a run once the validation error no longer improves."""

from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from echodepth.training.depth_task import DepthTask


def has_converged(best_epoch: int, epoch: int, patience: float, min_epochs: int) -> bool:
    """Whether the latest share ``patience`` of all epochs so far brought no improvement.

    Args:
        best_epoch: the epoch with the lowest validation error, from 1.
        epoch: the number of epochs so far.
        patience: share of the epochs, such as 0.2.
        min_epochs: the least number of epochs.
    """
    return epoch >= min_epochs and epoch - best_epoch >= patience * epoch


def converged_after(errors: Sequence[tuple[int, float]], patience: float, min_epochs: int) -> int | None:
    """The epoch after which a run with these validation errors stops; None if it goes on.

    Args:
        errors: epoch and validation error, in order.
        patience: see ``has_converged``.
        min_epochs: see ``has_converged``.
    """
    best_epoch, lowest = 0, float("inf")
    for epoch, error in errors:
        if error < lowest:
            best_epoch, lowest = epoch, error
        if has_converged(best_epoch, epoch, patience, min_epochs):
            return epoch
    return None


class StopWhenConverged(Callback):
    """Ends a run after the epoch in which ``has_converged`` becomes true; the epoch is saved as the last one.

    Args:
        patience: share of the epochs without improvement.
        min_epochs: the least number of epochs.
    """

    def __init__(self, patience: float, min_epochs: int) -> None:
        self.patience = patience
        self.min_epochs = min_epochs
        self.lowest = float("inf")
        self.best_epoch = 0

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare the epoch's validation RMSE with the lowest one; the scores are those of all processes."""
        assert isinstance(pl_module, DepthTask)
        error, epoch = float(pl_module.scores.compute()["rmse"]), trainer.current_epoch + 1
        if error < self.lowest:
            self.lowest, self.best_epoch = error, epoch
        if has_converged(self.best_epoch, epoch, self.patience, self.min_epochs):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The lowest RMSE and its epoch, for a resume."""
        return {"lowest": self.lowest, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the lowest RMSE and its epoch."""
        self.lowest, self.best_epoch = state_dict["lowest"], state_dict["best_epoch"]
