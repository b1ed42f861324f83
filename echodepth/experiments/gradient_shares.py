"""Weights of distillation losses from the norm of their gradient relative to that of the supervised loss."""

import json
from pathlib import Path

import torch
from torch import Tensor

from echodepth.core.atomic_io import atomic_write
from echodepth.data.sample import Sample
from echodepth.distillation.losses.total import distillation_losses
from echodepth.experiments.grid import Run
from echodepth.experiments.run import Setting
from echodepth.models.checkpoint import load_depth_model
from echodepth.training.config import DistillConfig
from echodepth.training.distillation_task import DistillationTask
from echodepth.training.train import new_task

BATCHES = 8


def gradient_norms(task: DistillationTask, batches: list[Sample]) -> dict[str, float]:
    """Root mean square over batches of the norm of each loss's gradient in the student's weights.

    Args:
        task: with its student and teacher.
        batches: on the task's device.

    Returns:
        Norms by the loss's name, those of distillation losses at their weights; the supervised loss is ``supervised``.
    """
    weights = [weight for weight in task.model.network.parameters() if weight.requires_grad]
    squares: dict[str, list[float]] = {}
    for batch in batches:
        supervised, distilled = task.loss_terms(task.network_input(batch), batch)
        for name, loss in {**distilled, "supervised": supervised["loss"]}.items():
            # Features do not depend on the depth head.
            gradient = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
            squares.setdefault(name, []).append(float(sum(_square(part) for part in gradient if part is not None)))
    return {name: (sum(values) / len(values)) ** 0.5 for name, values in squares.items()}


def _square(gradient: Tensor) -> Tensor:
    return gradient.square().sum()


def loss_weights(setting: Setting, runs: list[Run], path: Path) -> dict[str, float]:
    """The weight of the loss of each run that names a share of the gradient, by ``Run.name``.

    Norms are measured once, on training batches of the converged student without a teacher, and kept in ``path``.

    Args:
        setting: of the study.
        runs: with a share, ``response+0.3``.
        path: JSON file.
    """
    ratios: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
    weights = {}
    for run in runs:
        assert run.share is not None
        method, share = run.share
        key = f"{method} {run.rooms} {run.label_fraction:g} {run.teacher_data} {run.seed}"
        if key not in ratios:
            ratios[key] = _ratio(setting, run, method)
            with atomic_write(path) as unfinished:
                unfinished.write_text(json.dumps(ratios, indent=2) + "\n")
        weights[run.name] = float(f"{share / ratios[key]:.3g}")
    return weights


def _ratio(setting: Setting, run: Run, method: str) -> float:
    """Norm of a loss's gradient at weight 1, relative to that of the supervised loss."""
    config = setting._replace(weights={run.name: 1.0}).train_config(run)
    assert isinstance(config, DistillConfig)
    task, data, _ = new_task(config)
    assert isinstance(task, DistillationTask)
    alone = Run("none", run.rooms, run.label_fraction, "none", run.seed)
    trained = load_depth_model(setting.experiment_name(alone))
    task.model.network.load_state_dict(trained.network.state_dict())
    task.train()
    data.setup("fit")
    batches = []
    for batch in data.train_dataloader():
        # A share is relative to the loss against ground truth, which few frames have.
        if batch["valid"].any():
            batches.append(batch)
        if len(batches) == BATCHES:
            break
    norms = gradient_norms(task, batches)
    (name,) = (loss.name for loss in distillation_losses(config.distillation) if loss.weight_value)
    return norms[name] / norms["supervised"]
