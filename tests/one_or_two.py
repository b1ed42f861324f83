"""Train one step after the other on one process or on two, and write down each step's loss: started by a test."""

import json
import sys
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import nn

from echodepth.data.datamodule import DepthDataModule
from echodepth.models.checkpoint import DepthModel
from echodepth.training.compose import train_config
from echodepth.training.depth_task import DepthTask
from echodepth.training.train import model_spec
from tests.tiny import SECONDS

GLOBAL_BATCH = 2


class Watch(Callback):
    """Keeps each step's loss, and batch norms at their running statistics: those of half a batch would be others."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_start(self, trainer: Any, pl_module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        for module in pl_module.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    def on_train_batch_end(
        self, trainer: Any, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))


def train(root: Path, processes: int, criterion: str) -> list[float]:
    flags: dict[str, Any] = {
        **{"data_dir": root, "image_size": 32, "audio_seconds": SECONDS, "base_channels": 2, "attention_levels": (5,)},
        **{"criterion": criterion, "lambda_edge": 0.5, "lambda_smooth": 0.5, "uncertainty": True},
        **{"optimizer": "SGD", "learning_rate": 0.01, "nb_epochs": 2, "weight_decay": 0.0},
    }
    config = train_config("binaural", **flags)
    L.seed_everything(0, verbose=False)
    task = DepthTask(DepthModel(model_spec(config)), config)
    data = DepthDataModule(config.data, ("audio", "depth"), GLOBAL_BATCH // processes, 0, flip=False)
    watch = Watch()
    settings: dict[str, Any] = {
        **{"accelerator": "cpu", "devices": processes, "strategy": "ddp" if processes > 1 else "auto"},
        **{"max_epochs": 2, "limit_val_batches": 0, "callbacks": [watch], "use_distributed_sampler": False},
        **{"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False},
    }
    L.Trainer(**settings).fit(task, datamodule=data)
    if task.global_rank == 0:
        print(json.dumps(watch.losses))
    return watch.losses


if __name__ == "__main__":
    for criterion in sys.argv[3:]:
        train(Path(sys.argv[1]), int(sys.argv[2]), criterion)
