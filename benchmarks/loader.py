"""Samples a second and core that reach the network's input, against reading the files anew for each sample.

    python -m benchmarks.loader

The other way is what BatVision's baseline does for every sample of every epoch: the whole WAV, a Fourier transform of
its cut, a resize to 256x256, the whole 720x1280 depth map, another resize; written anew here, with the same sizes. Both
ways end in batches of spectrograms and depth, computed in one thread, from files that the operating system holds in
memory. Pictures are left out, as a student on echoes alone needs none. Shards are compared with the files that they
were packed from, both read by this project, as waveforms and depth.

``loader_feed`` is the loader alone, as training on a GPU takes prepared waveforms and depth from it: in their stored
types, for the device to convert, against samples that are converted on the CPU.
"""

import os
import tempfile
from functools import partial
from pathlib import Path

import lightning as L
import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from lightning.pytorch.profilers import SimpleProfiler
from torch import Tensor

from benchmarks.rooms import write_rooms
from benchmarks.timing import Outcome, in_turn, keep, processor_seconds
from echodepth.data.cache.prepared import AudioCacheFormat, open_prepared, write_prepared
from echodepth.data.config import DataConfig
from echodepth.data.datamodule import DepthDataModule
from echodepth.data.dataset import DepthDataset
from echodepth.data.streaming.config import ShardConfig
from echodepth.data.streaming.writer import shard
from echodepth.models.checkpoint import DepthModel
from echodepth.models.frontends.echo import EchoFrontEnd
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.writer import simulate
from echodepth.training.compose import train_config
from echodepth.training.depth_task import DepthTask
from echodepth.training.train import model_spec

FRAMES, BATCH, SIZE, RUNS = 64, 16, 256, 5
MAX_DEPTH, CUT = 30.0, 7782
PACKAGES = ("torch", "numpy", "soundfile", "lightning")


def read_from_files(root: Path, number: int) -> tuple[Tensor, Tensor]:
    """One sample: both ears' magnitude [2,S,S] and depth [1,S,S] as a share of the farthest."""
    samples, _ = soundfile.read(root / f"Hall/audio/audio_{number}.wav", dtype="float32")
    sound = torch.from_numpy(samples.T.copy())[:, :CUT]
    window = torch.hann_window(64)
    heard = torch.stft(sound, 512, 16, 64, window, return_complex=True).abs()
    heard = F.interpolate(heard[None], (SIZE, SIZE), mode="bilinear")[0]
    metres = np.load(root / f"Hall/depth/depth_{number}.npy").astype(np.float32) / 1000
    depth = torch.from_numpy(np.clip(metres, 0, MAX_DEPTH) / MAX_DEPTH)
    return heard, F.interpolate(depth[None, None], (SIZE, SIZE), mode="bilinear")[0]


def epoch_from_files(root: Path) -> None:
    order = torch.randperm(FRAMES).tolist()
    for start in range(0, FRAMES, BATCH):
        heard, depth = zip(*(read_from_files(root, number) for number in order[start : start + BATCH]), strict=True)
        torch.stack(heard), torch.stack(depth)


def epochs_prepared(data: DepthDataModule, front_end: EchoFrontEnd, epochs: int) -> None:
    for _ in range(epochs):
        for batch in data.train_dataloader():
            if "spectrogram" not in batch:
                front_end(batch["audio"])


def measure_throughput(root: Path) -> None:
    config, front_end = DataConfig(data_dir=root, image_size=SIZE), EchoFrontEnd(SIZE)
    forms = {
        "loader_cached_throughput": AudioCacheFormat(front_end.settings, front_end),
        "loader_cached_waveform_throughput": AudioCacheFormat(),
    }
    for name, audio_format in forms.items():
        write_prepared(config, "train", audio_format)
        data = DepthDataModule(config, ("audio", "depth"), BATCH, 0, prepared=(audio_format,))
        repeats = 20 if audio_format.transform else 3  # an epoch of the fast way is too short for the clock

        def ours(data: DepthDataModule = data, repeats: int = repeats) -> float:
            seconds = processor_seconds(lambda: epochs_prepared(data, front_end, repeats))
            return repeats * FRAMES / seconds

        def other() -> float:
            return FRAMES / processor_seconds(lambda: epoch_from_files(root))

        keep(name, in_turn(ours, other, RUNS, "samples/s a core"), PACKAGES)


def measure_feed(root: Path) -> None:
    for size in (128, 256):
        config = DataConfig(data_dir=root, image_size=size)
        write_prepared(config, "train", AudioCacheFormat())
        prepared = open_prepared(config, "train", ("audio", "depth"), AudioCacheFormat())
        assert prepared is not None

        def epochs(packed: bool, prepared: DepthDataset = prepared) -> float:
            loader = prepared.loader(BATCH, shuffle_seed=0, packed=packed)
            return 20 * FRAMES / processor_seconds(lambda: [list(loader) for _ in range(20)])

        outcome = in_turn(partial(epochs, True), partial(epochs, False), RUNS, "samples/s a core")
        keep(f"loader_feed_{size}_throughput", outcome, PACKAGES)


def measure_shards(root: Path, scratch: Path) -> None:
    """From a folder, so that what is measured is the format and not a network."""
    packed = shard(
        ShardConfig(data=DataConfig(data_dir=root), out=scratch / "shards", splits=("train",), shard_mb=50, workers=1)
    )

    def epochs(place: Path) -> float:
        data = DepthDataModule(DataConfig(data_dir=place, image_size=SIZE), ("audio", "depth"), BATCH, 0)
        seconds = processor_seconds(lambda: [list(data.train_dataloader()) for _ in range(3)])
        return 3 * FRAMES / seconds

    outcome = in_turn(lambda: epochs(packed), lambda: epochs(root), RUNS, "samples/s a core")
    keep("loader_shards_throughput", outcome, (*PACKAGES, "webdataset"))


def measure_wait(scratch: Path) -> None:
    """Share of the epochs in which a small network waits for its data, all settings at their defaults."""
    root = scratch / "simulated"
    simulate(SimulateConfig(root, rooms=12, poses=8, image_size=128, workers=2))
    config = train_config(
        "binaural",
        dataset="simulated",
        data_dir=root,
        image_size=128,
        base_channels=16,
        attention_levels=(3, 4, 5),
        batch_size=16,
    )
    profiler = SimpleProfiler()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        profiler=profiler,
    )
    data = DepthDataModule(config.data, ("audio", "depth"), config.optimisation.batch_size, config.machine.num_workers)
    trainer.fit(DepthTask(DepthModel(model_spec(config)), config), datamodule=data)
    spent = {name.split("]")[-1].strip("."): sum(seconds) for name, seconds in profiler.recorded_durations.items()}
    keep(
        "loader_wait_share",
        Outcome(spent["train_dataloader_next"], spent["run_training_epoch"], "s of 3 epochs", 1),
        PACKAGES,
    )


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ECHODEPTH_CACHE"] = f"{scratch}/cache"
        root = write_rooms(Path(scratch) / "rooms", FRAMES)
        measure_throughput(root)
        measure_feed(root)
        measure_shards(root, Path(scratch))
        measure_wait(Path(scratch))


if __name__ == "__main__":
    main()
