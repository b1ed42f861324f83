"""Lightning module that trains any depth network: training step, validation, optimiser and learning rate."""

import math
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from jaxtyping import Float
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from echodepth.core.distributed import all_reduce_sum, sync_ranks
from echodepth.core.errors import ConfigError
from echodepth.data.augmentation import mask_spectrogram
from echodepth.data.sample import Sample
from echodepth.losses.base import LossInputs
from echodepth.losses.total import build_losses
from echodepth.metrics.depth import DepthMetrics
from echodepth.metrics.protocols import get_protocol
from echodepth.models.checkpoint import DepthModel
from echodepth.models.format_1 import upgrade_checkpoint
from echodepth.models.layers import Prediction
from echodepth.models.saved_weights import FORMAT
from echodepth.training.config import AudioTrainingDataConfig, TrainConfig
from echodepth.training.epoch_means import EpochMeans
from echodepth.training.step_guard import StepGuard
from echodepth.training.validation import uses_channels_last

VALIDATION_PROTOCOL = "valid"
PROGRESS_STEPS = 20
"""Steps between two updates of the progress bar on a GPU. Each waits for the device, which then has nothing queued."""
Scheduler = Literal["none", "cosine", "step"]


def learning_rate_factor(scheduler: Scheduler, progress: float) -> float:
    """Factor of the initial learning rate after this share of all steps (0..1)."""
    if scheduler == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if scheduler == "step":
        return 0.1 ** min(int(3 * progress), 2)
    return 1.0


def optimizer_options(config: TrainConfig, device: torch.device) -> dict[str, Any]:
    """Optimiser arguments besides learning rate and weight decay: momentum for SGD, and a fused kernel on CUDA.

    With 16-mixed the fused kernel also unscales the gradients, which excludes gradient clipping.
    """
    options: dict[str, Any] = {"momentum": 0.9} if config.optimisation.optimizer == "SGD" else {}
    if device.type == "cuda" and not (config.machine.precision == "16-mixed" and config.optimisation.gradient_clip):
        options["fused"] = True
    return options


class DepthTask(L.LightningModule):
    """A depth model with its loss and optimiser.

    Args:
        model: an image or an echo model.
        config: the run's flags.
    """

    needs_ground_truth = True
    """Whether a batch without a valid pixel is skipped."""

    def __init__(self, model: DepthModel, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.objective = build_losses(config.loss)
        self.channels_last = uses_channels_last(config.machine)
        if self.channels_last:
            model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.machine.activation_checkpointing:
            model.network.use_activation_checkpointing()
        # Only the method is compiled: a compiled module would change the names of all weights.
        self._compiled = torch.compile(model.network.predict) if config.machine.compile else None
        options = config.training_data
        self.spec_masks = options.spec_masks if isinstance(options, AudioTrainingDataConfig) else 0
        self.scores = DepthMetrics()
        self.skipped_batches = 0
        self.means, self._validation_means = EpochMeans(), EpochMeans()
        # Losses and frames of the batches whose gradient the next optimiser step takes.
        self._pending: list[tuple[dict[str, Tensor], int]] = []
        scales = config.machine.precision == "16-mixed"
        self.guard = StepGuard(config.optimisation.on_nan, config.optimisation.spike_factor, scales)

    def on_train_epoch_start(self) -> None:
        """Seed from (seed, epoch, rank) alone, so that a resumed run draws the same random numbers."""
        key = np.random.SeedSequence([self.config.seed, self.current_epoch, self.global_rank])
        torch.manual_seed(int(key.generate_state(1)[0]))

    def losses(self, prepared: Float[Tensor, "b c h w"], batch: Sample) -> dict[str, Tensor]:
        """The loss terms by name, and their sum as ``loss``.

        Args:
            prepared: the network's input, see ``network_input``.
            batch: with ``depth`` and ``valid``.
        """
        return self.supervised(self.predict(prepared), batch)

    def network_input(self, batch: Sample) -> Float[Tensor, "b c h w"]:
        """The network's input for a batch, in the memory format of this run."""
        prepared = network_input(self.model, batch)
        return prepared.contiguous(memory_format=torch.channels_last) if self.channels_last else prepared

    def predict(self, prepared: Float[Tensor, "b c h w"]) -> Prediction:
        """The network's prediction; compiled with ``--compile``."""
        prediction: Prediction = (self._compiled or self.model.network.predict)(prepared)
        return prediction

    def supervised(self, prediction: Prediction, batch: Sample) -> dict[str, Tensor]:
        """The supervised loss terms by name, and their sum as ``loss``.

        Raises:
            ConfigError: a network from outside the package returns depth of another shape than the ground truth's.
        """
        if prediction.depth.shape != batch["depth"].shape:
            raise ConfigError(
                f"{type(self.model.network).__name__}.predict returns depth of shape {tuple(prediction.depth.shape)}, "
                f"where the ground truth has {tuple(batch['depth'].shape)}: batch, 1, rows, columns"
            )
        # The smoothness of an echo network is guided by ground truth: it has no image, even where its teacher has.
        image = batch["image"] if self.model.input_key == "image" else None
        inputs = LossInputs(prediction.depth, prediction.uncertainty, batch["depth"], batch["valid"], image)
        return self.objective(inputs, self.current_epoch / self.config.optimisation.nb_epochs)

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor | None:
        """Loss of one batch; a batch without a valid pixel is skipped and counted in ``train/skipped_batches``.

        On one device, nothing here waits for it: it computes this step while the CPU prepares the next.
        """
        bad = batch.get("not_finite")
        if bad:
            self.guard.refuse_inputs(bad, f"batch {batch_idx + 1} of epoch {self.current_epoch + 1}")
            if self.trainer.world_size == 1:
                self.skipped_batches += 1
                return None
        prepared = self.network_input(batch)
        if self.spec_masks:
            prepared = mask_spectrogram(prepared, self.spec_masks)
        with sync_ranks(self.trainer.world_size > 1):
            losses = self.losses(prepared, batch)
            learns = not self.needs_ground_truth or self._any_valid(batch)
        if not learns or bad:
            self.skipped_batches += 1
            # The other ranks wait for this rank's gradient: it contributes zeros.
            return 0.0 * losses["loss"] if self.trainer.world_size > 1 else None
        size = len(batch["depth"])
        self._pending.append((losses, size))
        self.guard.add(losses["loss"], batch)
        if self.device.type == "cpu" or (batch_idx + 1) % PROGRESS_STEPS == 0 or self.trainer.is_last_batch:
            self.log("loss", losses["loss"].detach(), prog_bar=True, logger=False, batch_size=size)
        return losses["loss"]

    def _any_valid(self, batch: Sample) -> bool:
        """Whether any process has a valid pixel in this step."""
        if self.trainer.world_size > 1:
            (valid_pixels,) = all_reduce_sum(batch["valid"].sum())
            return bool(valid_pixels)
        return batch["any_valid"] if "any_valid" in batch else bool(batch["valid"].any())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Count the step's losses, or leave the step out if its loss or gradient is bad."""
        batch = self.trainer.fit_loop.batch_idx + 1
        if self.guard.allows(self, self.current_epoch + 1, batch, self.trainer.global_step + 1):
            self._count_pending()
            return
        self.skipped_batches += len(self._pending)
        self._pending.clear()
        # Without a gradient no optimiser moves a weight; with one of zero its momentum would.
        optimizer.zero_grad(set_to_none=True)

    def _count_pending(self) -> None:
        for losses, size in self._pending:
            self.means.add(losses, size)
        self._pending.clear()

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean losses, skipped batches and learning rate."""
        self._count_pending()
        self._log_means("train", self.means)
        self.log("train/skipped_batches", float(self.skipped_batches), sync_dist=True, reduce_fx="sum")
        self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])
        self.skipped_batches = 0

    def _log_means(self, prefix: str, means: EpochMeans) -> None:
        for name, mean in means.take(lambda sums: self.trainer.strategy.reduce(sums, reduce_op="sum")).items():
            self.log(f"{prefix}/{name}", mean)

    def on_validation_epoch_start(self) -> None:
        """Stop a run that diverged, before its model is saved as the best.

        Weights are checked rather than losses: with mixed precision a loss may overflow, and its step is skipped.

        Raises:
            ConfigError: a weight is NaN or infinite.
        """
        self.guard.check()
        if not torch.stack([torch.isfinite(tensor).all() for tensor in self.model.state_dict().values()]).all():
            raise ConfigError(
                f"training diverged in epoch {self.current_epoch + 1}: the network has weights that are not finite; "
                "lower --learning_rate, or clip the gradient with --gradient_clip 1"
            )

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Metrics and loss of one batch under the ``valid`` protocol."""
        prediction = self.model.network.predict(self.network_input(batch))
        valid = get_protocol(VALIDATION_PROTOCOL).scored(batch["depth"], batch["valid"])
        self.scores.update(prediction.depth, batch["depth"], valid)
        losses = self.supervised(prediction, batch)
        logged = {name: value for name, value in losses.items() if name in ("loss", "uncertainty")}
        self._validation_means.add(logged, len(valid))

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the whole validation split."""
        self._log_means("val", self._validation_means)
        for name, value in self.scores.compute().items():
            self.log(f"val/{name}", value.float(), prog_bar=name == "rmse")
        self.scores.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and a learning rate that depends on the step alone."""
        config = self.config.optimisation
        optimizer = getattr(torch.optim, config.optimizer)(
            self.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            **optimizer_options(self.config, self.device),
        )
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(config.scheduler, step / steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Apply this run's learning rate and weight decay: the checkpoint's states hold those of the earlier run."""
        if "format" not in checkpoint:
            checkpoint.update(upgrade_checkpoint(checkpoint))
        rate, decay = self.config.optimisation.learning_rate, self.config.optimisation.weight_decay
        for group in (group for state in checkpoint["optimizer_states"] for group in state["param_groups"]):
            if group["initial_lr"] != rate:
                factor = group["lr"] / group["initial_lr"] if group["initial_lr"] else 1.0
                group |= {"lr": rate * factor, "initial_lr": rate}
            group["weight_decay"] = decay
        for state in checkpoint["lr_schedulers"]:
            state["base_lrs"] = [rate] * len(state["base_lrs"])
        if "guard" in checkpoint:
            self.guard.restore(checkpoint["guard"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the network's weights for a plain ``load_state_dict(checkpoint["model_state_dict"])``, and its spec."""
        prefix = "model.network."
        weights = checkpoint["state_dict"]  # the averaged weights with --ema_decay
        checkpoint["model_state_dict"] = {
            name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)
        }
        checkpoint["model_spec"] = vars(self.model.spec)
        checkpoint["run"] = self.model.run.to_plain()
        checkpoint["threads"] = torch.get_num_threads()
        checkpoint["format"] = FORMAT
        checkpoint["guard"] = self.guard.state()


def network_input(model: DepthModel, batch: Sample) -> Tensor:
    """The network's input: a prepared spectrogram if the batch has one, otherwise the front end's output."""
    if model.input_key == "audio" and "spectrogram" in batch:
        return batch["spectrogram"]
    prepared: Tensor = model.front_end(batch["image"] if model.input_key == "image" else batch["audio"])
    return prepared
