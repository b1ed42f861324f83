"""Training of any depth network: what a step is, how it is scored, how the learning rate falls."""

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
from echodepth.metrics.depth import DepthMetrics
from echodepth.metrics.protocols import get_protocol
from echodepth.models.checkpoint import FORMAT, DepthModel
from echodepth.models.format_1 import upgrade_checkpoint
from echodepth.models.layers import Prediction
from echodepth.training.config import BinauralConfig, TrainConfig
from echodepth.training.losses import DepthLoss, laplace_nll

VALIDATION_PROTOCOL = "valid"
Scheduler = Literal["none", "cosine", "step"]


def learning_rate_factor(scheduler: Scheduler, progress: float) -> float:
    """What the learning rate is multiplied by after this share of all steps."""
    if scheduler == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if scheduler == "step":
        return 0.1 ** min(int(3 * progress), 2)
    return 1.0


def optimizer_options(config: TrainConfig, device: torch.device) -> dict[str, Any]:
    """What an optimiser is told besides rate and decay: SGD's momentum, and on CUDA one kernel for all parameters.

    With 16-mixed that kernel also unscales the gradients, which leaves no moment at which they could be clipped.
    """
    options: dict[str, Any] = {"momentum": 0.9} if config.optimizer == "SGD" else {}
    if device.type == "cuda" and not (config.precision == "16-mixed" and config.gradient_clip):
        options["fused"] = True
    return options


class DepthTask(L.LightningModule):
    """A depth model, its loss, and its optimiser.

    Args:
        model: an image or an echo model.
        config: the run's flags.
    """

    needs_truth = True
    """Whether a batch without a valid pixel teaches nothing."""

    def __init__(self, model: DepthModel, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.objective = DepthLoss(
            criterion=config.criterion,
            lambda_l1=config.lambda_l1,
            lambda_edge=config.lambda_edge,
            lambda_smooth=config.lambda_smooth,
            adaptive=config.use_adaptive_loss,
        )
        if config.channels_last:
            model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.activation_checkpointing:
            model.network.use_activation_checkpointing()
        # The method alone: a compiled module would give all weights another name.
        self._compiled = torch.compile(model.network.predict) if config.compile else None
        self.spec_masks = config.spec_masks if isinstance(config, BinauralConfig) else 0
        self.scores = DepthMetrics()
        self.skipped_batches = 0

    def on_train_epoch_start(self) -> None:
        """Draw the epoch's randomness from (seed, epoch, device) alone, so that a resumed run repeats it."""
        key = np.random.SeedSequence([self.config.seed, self.current_epoch, self.global_rank])
        torch.manual_seed(int(key.generate_state(1)[0]))

    def losses(self, prepared: Float[Tensor, "b c h w"], batch: Sample) -> dict[str, Tensor]:
        """The terms of the loss by name, and their sum as ``loss``; ``prepared`` is what the front end made."""
        return self.supervised(self.predict(prepared), batch)

    def predict(self, prepared: Float[Tensor, "b c h w"]) -> Prediction:
        """The network's prediction in training, compiled if the run is."""
        prediction: Prediction = (self._compiled or self.model.network.predict)(prepared)
        return prediction

    def supervised(self, prediction: Prediction, batch: Sample) -> dict[str, Tensor]:
        """The loss against the measured depth, and the lesson on its own error of a network that has a scale."""
        # An echo network's smoothness is guided by the depth's own edges: sound has no image, with or without teacher.
        image = batch["image"] if self.model.input_key == "image" else None
        progress = self.current_epoch / self.config.nb_epochs
        losses = self.objective(prediction.depth, batch["depth"], batch["valid"], image, progress)
        if prediction.uncertainty is not None:
            nll = laplace_nll(prediction.depth, prediction.uncertainty, batch["depth"], batch["valid"])
            losses |= {"uncertainty": nll, "loss": losses["loss"] + self.config.lambda_uncertainty * nll}
        return losses

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor | None:
        """One batch; a batch without a valid pixel is counted and skipped."""
        prepared = network_input(self.model, batch)
        if self.spec_masks:
            prepared = mask_spectrogram(prepared, self.spec_masks)
        if self.config.channels_last:
            prepared = prepared.contiguous(memory_format=torch.channels_last)
        with sync_ranks(self.trainer.world_size > 1):
            losses = self.losses(prepared, batch)
            (measured,) = all_reduce_sum(batch["valid"].sum())
        if self.needs_truth and not measured:
            self.skipped_batches += 1
            # The other devices wait for this one's gradient: send them zeros.
            return 0.0 * losses["loss"] if self.trainer.world_size > 1 else None
        size = len(batch["depth"])
        for name, value in losses.items():
            self.log(f"train/{name}", value.detach(), on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        self.log("loss", losses["loss"].detach(), prog_bar=True, logger=False, batch_size=size)
        return losses["loss"]

    def on_train_epoch_end(self) -> None:
        """Log what is known once an epoch."""
        self.log("train/skipped_batches", float(self.skipped_batches), sync_dist=True, reduce_fx="sum")
        self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])
        self.skipped_batches = 0

    def on_validation_epoch_start(self) -> None:
        """Stop a run that diverged, before its ruins are kept as the best model.

        Weights are looked at rather than losses: with mixed precision a loss may overflow, and its step is left out.
        """
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.model.state_dict().values()):
            raise ConfigError(
                f"training diverged in epoch {self.current_epoch + 1}: the network holds numbers that are not finite; "
                "lower --learning_rate, or bound its steps with --gradient_clip 1"
            )

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Score one batch under the ``valid`` protocol."""
        prediction = self.model.network.predict(network_input(self.model, batch))
        valid = get_protocol(VALIDATION_PROTOCOL).scored(batch["depth"], batch["valid"])
        self.scores.update(prediction.depth, batch["depth"], valid)
        losses = self.supervised(prediction, batch)
        for name in ("loss", "uncertainty"):
            if name in losses:
                self.log(f"val/{name}", losses[name], batch_size=len(valid), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the whole validation split."""
        for name, value in self.scores.compute().items():
            self.log(f"val/{name}", value.float(), prog_bar=name == "rmse")
        self.scores.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser by name, and a learning rate that is a function of the step alone."""
        config = self.config
        optimizer = getattr(torch.optim, config.optimizer)(
            self.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            **optimizer_options(config, self.device),
        )
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(config.scheduler, step / steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let a resumed run's own flags decide: the states of optimiser and schedule bring those it was begun with."""
        if "format" not in checkpoint:
            checkpoint.update(upgrade_checkpoint(checkpoint))
        rate, decay = self.config.learning_rate, self.config.weight_decay
        for group in (group for state in checkpoint["optimizer_states"] for group in state["param_groups"]):
            if group["initial_lr"] != rate:
                share = group["lr"] / group["initial_lr"] if group["initial_lr"] else 1.0
                group |= {"lr": rate * share, "initial_lr": rate}
            group["weight_decay"] = decay
        for state in checkpoint["lr_schedulers"]:
            state["base_lrs"] = [rate] * len(state["base_lrs"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a plain ``load_state_dict(checkpoint["model_state_dict"])`` needs, and what built the model."""
        prefix = "model.network."
        weights = checkpoint["state_dict"]  # the averaged ones, if they are averaged
        checkpoint["model_state_dict"] = {
            name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)
        }
        checkpoint["model_spec"] = vars(self.model.spec)
        checkpoint["run"] = self.model.run.to_plain()
        checkpoint["format"] = FORMAT


def network_input(model: DepthModel, batch: Sample) -> Tensor:
    """What the network takes: a prepared spectrogram, or what the front end makes of the batch."""
    if model.input_key == "audio" and "spectrogram" in batch:
        return batch["spectrogram"]
    prepared: Tensor = model.front_end(batch["image"] if model.input_key == "image" else batch["audio"])
    return prepared
