"""What a teacher costs: a training step of the student with it, against the same step without.

    python -m benchmarks.distillation

Student and teacher have 16 base channels each, attention at levels 3 to 5, 128x128, batches of 16, and the terms that
``train distill`` has by default. A step is forward, loss, backward, AdamW; the front end is left out of both, as of
prepared spectrograms. A live teacher looks at each batch; a cached one reads from the disk what it said of it.
"""

import os
import tempfile
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

from benchmarks.rooms import write_rooms
from benchmarks.timing import in_turn, keep, processor_seconds
from echodepth.data.cache.prepared import AudioCacheFormat, open_prepared, write_prepared
from echodepth.data.config import DataConfig
from echodepth.data.dataset import DepthDataset
from echodepth.data.sample import Sample
from echodepth.distillation.losses.total import levels_of
from echodepth.distillation.teachers.cached import CachedTeacher, fill_cache
from echodepth.distillation.teachers.frozen import FrozenTeacher, Teacher
from echodepth.models.checkpoint import DepthModel
from echodepth.models.frontends.base import FrontEnd
from echodepth.training.compose import train_config
from echodepth.training.depth_task import DepthTask, network_input
from echodepth.training.distillation_task import DistillationTask
from echodepth.training.train import model_spec

FRAMES, BATCH, SIZE, RUNS = 32, 16, 128, 7
WIDTH, LEVELS = 16, (3, 4, 5)
PACKAGES = ("torch", "lightning")


class Stepping:
    """Takes training steps of a task, a batch after the other."""

    def __init__(self, task: DepthTask, batches: list[Sample]) -> None:
        self.task = task.train()
        self.optimizer = torch.optim.AdamW(task.parameters(), lr=1e-4)
        self.batches = cycle(batches)

    def step(self) -> None:
        """Forward, loss, backward, optimiser."""
        batch = next(self.batches)
        self.optimizer.zero_grad()
        self.task.losses(network_input(self.task.model, batch), batch)["loss"].backward()
        self.optimizer.step()

    def seconds(self) -> float:
        """What one step takes."""
        return processor_seconds(self.step)


def prepared_frames(data: DataConfig, front_end: FrontEnd) -> tuple[DepthDataset, list[Sample]]:
    audio_format = AudioCacheFormat(front_end.settings, front_end)
    write_prepared(data, "train", audio_format)
    frames = open_prepared(data, "train", ("image", "audio", "depth"), audio_format)
    assert frames is not None
    return frames, [frames.batch(list(range(start, start + BATCH))) for start in range(0, FRAMES, BATCH)]


def measure(scratch: Path) -> None:
    root = write_rooms(scratch / "rooms", FRAMES)
    shared: dict[str, Any] = {"data_dir": root, "image_size": SIZE, "base_channels": WIDTH, "batch_size": BATCH}
    plain = train_config("binaural", **shared, attention_levels=LEVELS)
    taught = train_config("distill", **shared, attention_levels=LEVELS, teacher="live")
    frames, batches = prepared_frames(plain.data, DepthModel(model_spec(plain)).front_end)
    live = FrozenTeacher(DepthModel(model_spec(train_config("rgb", **shared))))
    levels = sorted({level for levels in levels_of(taught.distillation).values() for level in levels})
    folder = fill_cache(live, plain.data, frames, levels, {"batch_size": BATCH, "num_workers": 0}, torch.device("cpu"))
    teachers: dict[str, Teacher] = {"live": live, "cached": CachedTeacher(folder, frames.records, levels)}
    without = Stepping(DepthTask(DepthModel(model_spec(plain)), plain), batches)
    for name, teacher in teachers.items():
        stepping = Stepping(DistillationTask(DepthModel(model_spec(taught)), teacher, taught), batches)
        keep(f"distill_step_{name}_time", in_turn(stepping.seconds, without.seconds, RUNS, "s a step"), PACKAGES)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ECHODEPTH_CACHE"] = f"{scratch}/cache"
        measure(Path(scratch))


if __name__ == "__main__":
    main()
