"""What a run leaves behind: checkpoints, the best model and curves; its pictures are made in ``pictures``.

Order matters. With averaged weights, validation runs on the average, which is swapped in before it and out after it;
``BestModel`` and ``ResultPictures`` come before the averaging callback, to find the average still in place.
``History`` and ``EpochCheckpoints`` are Lightning ``Checkpoint`` callbacks, which run last, when all metrics are known.
``History`` is the first of the two: it gathers the metrics of all processes. Were the first process to gather them (as
its progress bar does) while the others already wait to save, neither would ever go on.
"""

import csv
import logging
import math
import time
from dataclasses import replace
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from echodepth.core.atomic_io import atomic_write
from echodepth.core.run_paths import RunPaths
from echodepth.models.checkpoint import save_model
from echodepth.training.depth_task import DepthTask

log = logging.getLogger(__name__)


def is_due(trainer: L.Trainer, frequency: int) -> bool:
    """Whether something is to be kept of this epoch: of every so many, and of the last."""
    done = trainer.current_epoch + 1
    return done % frequency == 0 or done == trainer.max_epochs


class EpochCheckpoints(Checkpoint):
    """Writes ``epoch_0002.pth``: everything needed to go on as if never interrupted.

    Args:
        folders: of the run.
        frequency: epochs between two; the last epoch is always written.
    """

    def __init__(self, folders: RunPaths, frequency: int) -> None:
        self.folders = folders
        self.frequency = frequency

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write beside, then rename: a run that is killed here leaves no half a file."""
        if not is_due(trainer, self.frequency):
            return
        path = self.folders.checkpoint(trainer.current_epoch + 1)
        unfinished = path.with_suffix(".unfinished")
        trainer.save_checkpoint(unfinished, weights_only=False)
        if trainer.is_global_zero:
            unfinished.replace(path)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Say how to go on after an interruption."""
        if trainer.is_global_zero and isinstance(exception, KeyboardInterrupt | SIGTERMException):
            epochs = self.folders.epochs()
            way_on = f"go on with --checkpoints {epochs[-1]}" if epochs else "no epoch was saved yet"
            log.info("stopped in epoch %d of %s: %s", trainer.current_epoch + 1, trainer.max_epochs, way_on)


class BestModel(Callback):
    """Keeps ``best/``, the model folder of the epoch with the lowest validation RMSE.

    Args:
        folders: of the run.
    """

    def __init__(self, folders: RunPaths) -> None:
        self.folders = folders
        self.lowest = math.inf

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the model if it is better than all before."""
        assert isinstance(pl_module, DepthTask)
        scores = {name: float(value) for name, value in pl_module.scores.compute().items()}
        pl_module.model.run = replace(pl_module.model.run, epoch=trainer.current_epoch + 1, validation=scores)
        # Never false for NaN: of a split without a scored pixel the latest model is kept, rather than none.
        if not scores["rmse"] >= self.lowest:
            self.lowest = scores["rmse"]
            if trainer.is_global_zero:
                save_model(pl_module.model, self.folders.best)

    def state_dict(self) -> dict[str, Any]:
        """The lowest error so far, for a resume."""
        return {"lowest": self.lowest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from it."""
        self.lowest = state_dict["lowest"]


class History(Checkpoint):
    """Writes ``metrics.csv``, a row an epoch, which a resumed run continues.

    Lightning's own CSV logger deletes the file of the run that it resumes.

    Args:
        folders: of the run.
        resumed_epoch: rows after this one are dropped; they are about to be made again.
    """

    def __init__(self, folders: RunPaths, resumed_epoch: int = 0) -> None:
        self.path = folders.logs / "metrics.csv"
        self.rows: list[dict[str, str]] = []
        if resumed_epoch and self.path.is_file():
            with self.path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= resumed_epoch]
        self.started = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add the epoch's row."""
        # Every process asks: the answer is a sum over all of them, which waits for each.
        metrics = trainer.callback_metrics
        if not trainer.is_global_zero:
            return
        names = sorted(name for name in metrics if "/" in name)
        row = {"epoch": str(trainer.current_epoch + 1), "seconds": f"{time.monotonic() - self.started:.1f}"}
        # Nine digits give a float32 back exactly.
        self.rows.append(row | {name: f"{float(metrics[name]):.9g}" for name in names})
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with atomic_write(self.path) as unfinished, unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)
