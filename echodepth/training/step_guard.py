"""A look at the loss and the gradient of every step: NaN and spikes are named, and stop the run or are skipped.

On a CPU every step is looked at before it is taken. On other devices a look would wait for the device: with ``stop``
the values of several steps are fetched at once, so that a run stops a few steps late, but before its state is saved;
with ``skip`` every step waits.
"""

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.sample import Sample

log = logging.getLogger(__name__)
MEMORY = 50
"""Steps over which the usual loss and gradient are averaged, and half of which come before any is called a spike."""
STEPS_AT_ONCE = 20
"""Steps of a GPU whose values are fetched together."""
_LISTED = 8
"""Names of frames in a message."""


@dataclass
class _Step:
    """An optimiser step: where it is, the names of its frames, and its largest absolute loss and gradient norm."""

    epoch: int
    batch: int
    step: int
    names: list[str]
    values: Tensor


class StepGuard:
    """Judges the steps of a run.

    Args:
        on_nan: ``stop`` raises an error, ``skip`` leaves a bad step out.
        spike_factor: how many times the usual loss or gradient norm is a spike; 0 for none.
        scales_gradients: whether gradients may be infinite because mixed precision chooses their scale by trial.
    """

    def __init__(self, on_nan: str, spike_factor: int | float, scales_gradients: bool = False) -> None:
        self.skips = on_nan == "skip"
        self.spike_factor = spike_factor
        self.scales_gradients = scales_gradients
        self.files_of: Callable[[Iterable[str]], list[str]] = list
        self.good_steps = 0
        self.usual = [0.0, 0.0]
        self._losses: list[Tensor] = []
        self._names: list[str] = []
        self._waiting: list[_Step] = []

    def refuse_inputs(self, bad: dict[str, list[str]], place: str) -> None:
        """Act on a batch with NaN or infinite inputs; it is left out if this returns.

        Args:
            bad: names of the frames, by modality.
            place: batch, epoch and step, for the message.

        Raises:
            DataError: bad steps stop the run.
        """
        listed = "; ".join(f"{modality} of {self._files(names)}" for modality, names in bad.items())
        message = f"{place}: values that are not finite in {listed}"
        if not self.skips:
            raise DataError(f"{message}: repair or remove these files, or leave such batches out with --on_nan skip")
        log.warning("%s: the batch is skipped", message)

    def add(self, loss: Tensor, batch: Sample) -> None:
        """Note the loss of a batch whose gradient counts for the next optimiser step."""
        self._losses.append(loss.detach())
        self._names += batch["name"]

    def allows(self, network: nn.Module, epoch: int, batch: int, step: int) -> bool:
        """Whether the optimiser may take this step.

        Raises:
            ConfigError: this step, or an earlier one that is looked at now, is bad and stops the run.
        """
        losses, names = self._losses, self._names
        self._losses, self._names = [], []
        gradients = [each.grad for each in network.parameters() if each.grad is not None]
        if not losses or not gradients:
            return True
        values = torch.stack([torch.stack(losses).abs().max().float(), nn.utils.get_total_norm(gradients).float()])
        self._waiting.append(_Step(epoch, batch, step, names, values))
        if values.device.type == "cpu" or self.skips or len(self._waiting) >= STEPS_AT_ONCE:
            return self.check()
        return True

    def check(self) -> bool:
        """Look at all steps that wait for it; False if one is to be skipped.

        Raises:
            ConfigError: a step is bad and stops the run.
        """
        if not self._waiting:
            return True
        waiting, self._waiting = self._waiting, []
        for step, values in zip(waiting, torch.stack([each.values for each in waiting]).tolist(), strict=True):
            problem = self._problem(*values)
            if problem is None:
                self._learn(values)
                continue
            where = f"epoch {step.epoch}, step {step.step}"
            what = f"{problem} in batch {step.batch}, of {self._files(step.names)}"
            if not self.skips:
                raise ConfigError(f"training diverged in {where}: {what}; {self._remedy(problem)}")
            log.warning("%s: %s: skipped", where, what)
            return False
        return True

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to judge alike."""
        return {"good_steps": self.good_steps, "usual": list(self.usual)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self.good_steps, self.usual = int(state["good_steps"]), [float(each) for each in state["usual"]]

    def _problem(self, loss: float, norm: float) -> str | None:
        if not math.isfinite(loss) and not self.scales_gradients:
            return f"a loss of {loss:g}"
        if not math.isfinite(norm):
            return None if self.scales_gradients else f"a gradient norm of {norm:g}"
        if not self.spike_factor or self.good_steps < MEMORY // 2:
            return None
        for name, value, usual in zip(("loss", "gradient norm"), (loss, norm), self.usual, strict=True):
            if value > self.spike_factor * usual > 0:
                return f"a {name} of {value:.3g}, {value / usual:.3g} times the usual {usual:.3g},"
        return None

    def _learn(self, values: list[float]) -> None:
        # A step without any loss, as of a batch in which nothing is measured, says nothing of the usual ones.
        if all(math.isfinite(each) and each > 0 for each in values):
            self.good_steps += 1
            weight = 1 / min(self.good_steps, MEMORY)
            self.usual = [usual + weight * (value - usual) for usual, value in zip(self.usual, values, strict=True)]

    def _remedy(self, problem: str) -> str:
        skip = "--on_nan skip leaves such batches out"
        if "times the usual" in problem:
            return f"look at these files; {skip}, --spike_factor 0 trains on them"
        return f"the inputs are finite: lower --learning_rate, or clip the gradient with --gradient_clip 1; {skip}"

    def _files(self, names: list[str]) -> str:
        files = self.files_of(names)
        return ", ".join(files[:_LISTED]) + (f" and {len(files) - _LISTED} more" if len(files) > _LISTED else "")
