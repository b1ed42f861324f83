"""Images of a run: predictions and attention, in its results and in TensorBoard and W&B."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from jaxtyping import Float
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from echodepth.core.run_paths import RunPaths
from echodepth.data.sample import Sample
from echodepth.models.attention.attention_lags import predict_with_lags, relative_attention
from echodepth.report.figures import new_figure, result_picture, save_figure
from echodepth.training.checkpoints import is_due
from echodepth.training.depth_task import DepthTask, network_input

FRAMES = 4


class ResultPictures(Callback):
    """Draws the first validation frames, and the lags of binaural cross-attention.

    ``epoch_0002.png`` shows input, prediction, ground truth, error and, if predicted, uncertainty.
    ``epoch_0002_attention.png`` shows the attention of the left ear over lags of the right ear. TensorBoard and W&B
    receive the same files as ``val/pictures`` and ``val/attention``.

    Args:
        folders: of the run.
        frequency: epochs between two images; the last epoch always has one.
    """

    def __init__(self, folders: RunPaths, frequency: int) -> None:
        self.folders = folders
        self.frequency = frequency

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Sample,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch in epochs that are due."""
        if batch_idx or not trainer.is_global_zero or not is_due(trainer, self.frequency):
            return
        assert isinstance(pl_module, DepthTask)
        model = pl_module.model
        prepared = network_input(model, batch)[:FRAMES]
        epoch = trainer.current_epoch + 1
        title = f"{self.folders.experiment}, epoch {epoch}, validation"
        prediction, lags = predict_with_lags(model.network, prepared)
        figure = result_picture(
            inputs=_captioned_inputs(batch, prepared if model.input_key == "audio" else None),
            prediction=_array(prediction.depth[:, 0]),
            depth=_array(batch["depth"][:FRAMES, 0]),
            valid=_array(batch["valid"][:FRAMES, 0]),
            max_depth=model.max_depth,
            title=title,
            uncertainty=None if prediction.uncertainty is None else _array(prediction.uncertainty[:, 0]),
        )
        stem = f"epoch_{epoch:04d}"
        log_picture(trainer, "val/pictures", save_figure(figure, self.folders.results / f"{stem}.png"))
        if lags:
            figure = lag_picture(lags, pl_module.config.data.cut_seconds, title)
            path = save_figure(figure, self.folders.results / f"{stem}_attention.png")
            log_picture(trainer, "val/attention", path)


def log_picture(trainer: L.Trainer, name: str, path: Path) -> None:
    """Send an image file to the run's TensorBoard and W&B loggers."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            with Image.open(path, formats=["PNG"]) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            logger.experiment.add_image(name, pixels, trainer.global_step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)], step=trainer.global_step)


def lag_picture(lags: dict[str, Float[Tensor, "2 _"]], seconds: float, title: str = "") -> Figure:
    """Attention of the left ear over lags of the right ear, relative to uniform attention; one line a level.

    Args:
        lags: attention weights by level, from ``predict_with_lags``.
        seconds: duration of a frame's audio.
        title: title of the figure.
    """
    figure = new_figure((5.6, 4.2))
    axis = figure.subplots()
    axis.axhline(1, color="0.6", linestyle=":", label="uniform attention")
    highest = 1.0
    for level, weights in lags.items():
        milliseconds = 1000 * seconds / (weights.shape[1] // 2 + 1)  # of one column
        columns, ratios = zip(*relative_attention(weights), strict=True)
        highest = max(highest, *ratios)
        label = f"level {level[1:]}, {milliseconds:.2g} ms a column"
        axis.plot(milliseconds * np.array(columns), ratios, marker="." if len(columns) < 20 else "", label=label)
    axis.set(xlabel="lag of the right ear, ms", ylabel="attention / uniform attention", ylim=(0, 1.1 * highest))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="lower left", fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=11)
    return figure


def _captioned_inputs(batch: Sample, spectrograms: Tensor | None) -> list[dict[str, np.ndarray]]:
    inputs: list[dict[str, np.ndarray]] = []
    for index in range(min(FRAMES, len(batch["depth"]))):
        frame = {}
        if "image" in batch:
            frame["RGB"] = _array(batch["image"][index].permute(1, 2, 0))
        if spectrograms is not None:
            left, right = spectrograms[index].chunk(2)
            frame |= {"left ear": _array(left[0]), "right ear": _array(right[0])}
        inputs.append(frame)
    return inputs


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy() if tensor.is_floating_point() else tensor.cpu().numpy()
