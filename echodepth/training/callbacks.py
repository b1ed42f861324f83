"""Callbacks that write a run's files: the best model and the metrics.

The order of callbacks matters. With averaged weights, validation uses the average: it is swapped in before validation
and out after it. ``BestModel`` and ``ResultPictures`` precede the averaging callback, and so still find the average.
``History`` and ``Checkpoints`` are Lightning ``Checkpoint`` callbacks, which run last, when all metrics are known.
``History`` precedes ``Checkpoints`` because it reduces the metrics over all ranks. If rank 0 alone reduced them
(for its progress bar) while the other ranks already waited to save, the run would deadlock.
"""

import csv
import math
import time
from dataclasses import replace
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, Checkpoint

from echodepth.core.atomic_io import atomic_write
from echodepth.core.run_paths import RunPaths
from echodepth.models.checkpoint import save_model
from echodepth.training.depth_task import DepthTask


class BestModel(Callback):
    """Saves ``best/``, the model folder of the epoch with the lowest validation RMSE.

    Args:
        folders: of the run.
    """

    def __init__(self, folders: RunPaths) -> None:
        self.folders = folders
        self.lowest = math.inf

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the model if its validation RMSE is the lowest so far."""
        assert isinstance(pl_module, DepthTask)
        scores = {name: float(value) for name, value in pl_module.scores.compute().items()}
        pl_module.model.run = replace(pl_module.model.run, epoch=trainer.current_epoch + 1, validation=scores)
        # True for NaN as well: on a split without a valid pixel the latest model is saved rather than none.
        if not scores["rmse"] >= self.lowest:
            self.lowest = scores["rmse"]
            if trainer.is_global_zero:
                save_model(pl_module.model, self.folders.best)

    def state_dict(self) -> dict[str, Any]:
        """The lowest RMSE so far, for a resume."""
        return {"lowest": self.lowest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the lowest RMSE."""
        self.lowest = state_dict["lowest"]


class History(Checkpoint):
    """Writes ``metrics.csv``, one row an epoch, which a resumed run continues.

    Lightning's CSV logger would delete the file of the resumed run.

    Args:
        folders: of the run.
        resumed_epoch: rows of later epochs are dropped, as these epochs are trained again.
    """

    def __init__(self, folders: RunPaths, resumed_epoch: int = 0) -> None:
        self.path = folders.logs / "metrics.csv"
        self.rows: list[dict[str, str]] = []
        if resumed_epoch and self.path.is_file():
            with self.path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= resumed_epoch]
        self.started = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of an epoch that goes on."""
        self.started = time.monotonic()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add the epoch's row."""
        # On every rank: reading the metrics reduces them over all ranks.
        metrics = trainer.callback_metrics
        if not trainer.is_global_zero:
            return
        # Lightning keeps the scores of an earlier validation.
        is_validated = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        names = sorted(name for name in metrics if "/" in name and (is_validated or not name.startswith("val/")))
        row = {"epoch": str(trainer.current_epoch + 1), "seconds": f"{time.monotonic() - self.started:.1f}"}
        # Nine digits represent a float32 exactly.
        self.rows.append(row | {name: f"{float(metrics[name]):.9g}" for name in names})
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with atomic_write(self.path) as unfinished, unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)
