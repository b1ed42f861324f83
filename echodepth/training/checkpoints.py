"""Checkpoints: at the ends of epochs, every few minutes within them, and when a signal stops the run.

``epoch_0002.pth`` is of the end of an epoch. ``latest.pth`` is of any later step, and is removed when the next epoch is
saved. A run resumed from either has the same results as without the interruption: besides the state of network,
optimiser and schedule, the latter holds of every rank the random numbers and the sums of the epoch's losses, and the
data module leaves out the batches that were trained on.
"""

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging

from echodepth.core.atomic_io import atomic_write
from echodepth.core.integrity import seal_file
from echodepth.core.run_paths import RunPaths
from echodepth.training.depth_task import DepthTask
from echodepth.training.rank_watch import started_by_rank_0
from echodepth.training.stop_signals import EXIT_STATUS, StopSignals

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchOrder:
    """What decides which frames are in which batch of an epoch.

    Attributes:
        seed: of the run.
        batch_size: per process.
        processes: that share an epoch.
        frames: of the training split.
    """

    seed: int
    batch_size: int
    processes: int
    frames: int


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the checkpoint, and flushes it; Lightning writes into TMPDIR, on another disk, and copies."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint that is there whole or not at all.

        Raises:
            OSError: the disk is full, or the folder cannot be written to.
        """
        try:
            # A file without a name gives the same bytes: torch writes a name into them.
            with atomic_write(Path(path)) as unfinished:
                with unfinished.open("wb") as file:
                    torch.save(checkpoint, file)
                seal_file(unfinished)
        except RuntimeError as error:  # torch's, after a failure to write
            raise OSError(f"{path} cannot be written ({str(error).splitlines()[0]}): is the disk full?") from error


class Checkpoints(Checkpoint):
    """Saves a run's state, and stops the run after a signal.

    Args:
        folders: of the run.
        frequency: epochs between two epochs' checkpoints; the last epoch always has one.
        minutes: between two checkpoints within an epoch; 0 saves none.
        signals: that stop the run.
        order: of this run's batches.
    """

    def __init__(
        self, folders: RunPaths, frequency: int, minutes: float, signals: StopSignals, order: BatchOrder
    ) -> None:
        self.folders = folders
        self.frequency = frequency
        self.seconds = 60 * minutes or float("inf")
        self.signals = signals
        self.order = order
        self.saved_at = 0.0
        self.mid_epoch = False
        self.resumed: dict[str, Any] | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore what a checkpoint within an epoch holds of this rank, and obey signals from here on."""
        assert isinstance(pl_module, DepthTask)
        if self.resumed is not None:
            _restore(pl_module, self.resumed["ranks"][trainer.global_rank])
            self.resumed = None
        self.saved_at = time.monotonic()
        self.signals.install()
        self.signals.in_loop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """There is nothing more to save."""
        self.signals.in_loop = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time, or a signal came, where an optimiser step is complete."""
        # After the last batch the validation follows, in which the same state can be saved.
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and not trainer.is_last_batch:
            self._save_within_epoch(trainer, pl_module)

    def on_validation_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any) -> None:
        """Save as after a training batch; the resumed run begins this validation anew."""
        self._save_within_epoch(trainer, pl_module, [each for each in trainer.callbacks if _averages(each)])

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the epoch if it is due, and otherwise the first, and if it is time, or a signal came."""
        stop, is_time = self._asked(trainer, pl_module)
        if is_due(trainer, self.frequency):
            self._save(trainer, self.folders.checkpoint(trainer.current_epoch + 1))
            if trainer.is_global_zero:
                self.folders.latest.unlink(missing_ok=True)
        elif stop or is_time or trainer.current_epoch == 0:
            self._save(trainer, self.folders.latest)
        if stop and trainer.current_epoch + 1 != trainer.max_epochs:
            raise self._stop(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what a resume within an epoch needs, of all ranks."""
        if not self.mid_epoch:
            return
        assert isinstance(pl_module, DepthTask)
        ranks: list[Any] = [_state(pl_module)]
        if trainer.world_size > 1:
            ranks = [None] * trainer.world_size
            dist.all_gather_object(ranks, _state(pl_module))
        if trainer.validating:
            # As if it had begun its first batch, which is where Lightning resumes a validation.
            begun = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
            none = dict.fromkeys(begun, 0)
            progress = {"total": begun, "current": none, "is_last_batch": False}
            checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"] = progress
        batch = trainer.fit_loop.batch_idx + 1
        checkpoint["mid_epoch"] = {"batch": batch, "order": asdict(self.order), "ranks": ranks}

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep what ``on_train_start`` restores."""
        self.resumed = checkpoint.get("mid_epoch")

    def _save_within_epoch(self, trainer: L.Trainer, module: L.LightningModule, averages: list[Any] = []) -> None:  # noqa: B006
        stop, is_time = self._asked(trainer, module)
        if not (stop or is_time):
            return
        # During a validation the network has the averaged weights, which the callback exchanges.
        for each in averages:
            each.on_validation_epoch_end(trainer, module)
        self.mid_epoch = True
        try:
            self._save(trainer, self.folders.latest)
        finally:
            self.mid_epoch = False
        if stop:
            raise self._stop(trainer)
        for each in averages:
            each.on_validation_epoch_start(trainer, module)

    def _asked(self, trainer: L.Trainer, module: L.LightningModule) -> tuple[bool, bool]:
        """Whether any rank received a signal, and whether it is time for a checkpoint."""
        is_time = time.monotonic() - self.saved_at > self.seconds
        if trainer.world_size > 1:
            names = list(EXIT_STATUS)
            number = 0 if self.signals.received is None else 1 + names.index(self.signals.received)
            asked = torch.tensor([number, is_time], dtype=torch.int32, device=module.device)
            dist.all_reduce(asked, dist.ReduceOp.MAX)
            number, is_time = int(asked[0]), bool(asked[1])
            self.signals.received = names[number - 1] if number else None
        return self.signals.received is not None, is_time

    def _save(self, trainer: L.Trainer, path: Path) -> None:
        module = trainer.lightning_module
        assert isinstance(module, DepthTask)
        module.guard.check()  # a state that is not finite is no state to resume from
        trainer.save_checkpoint(path, weights_only=False)
        self.saved_at = time.monotonic()

    def _stop(self, trainer: L.Trainer) -> SystemExit:
        if trainer.is_global_zero:
            epoch = trainer.current_epoch + 1
            log.info("stopped in epoch %d of %s, saved: resume with --resume auto", epoch, trainer.max_epochs)
        self.signals.in_loop = False
        stopped = self.signals.stop()
        # Lightning kills the run when a process that it started ends with another status than 0.
        if not trainer.is_global_zero and started_by_rank_0():
            stopped.code = 0
        return stopped


def is_due(trainer: L.Trainer, frequency: int) -> bool:
    """Whether this epoch's files are written: every ``frequency`` epochs, and after the last."""
    done = trainer.current_epoch + 1
    return done % frequency == 0 or done == trainer.max_epochs or trainer.should_stop


def _averages(callback: object) -> bool:
    return isinstance(callback, WeightAveraging)


def _state(task: DepthTask) -> dict[str, Any]:
    device = task.device
    state = {"cpu": torch.get_rng_state(), "means": task.means.state(), "skipped": task.skipped_batches}
    if device.type in ("cuda", "mps"):
        state["device"] = getattr(torch, device.type).get_rng_state(*([device] if device.type == "cuda" else []))
    return state


def _restore(task: DepthTask, state: dict[str, Any]) -> None:
    device = task.device
    torch.set_rng_state(state["cpu"])
    if "device" in state and device.type in ("cuda", "mps"):
        getattr(torch, device.type).set_rng_state(state["device"], *([device] if device.type == "cuda" else []))
    task.means.restore(state["means"], device)
    task.skipped_batches = state["skipped"]
