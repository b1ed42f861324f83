"""Frames a second of whole training runs on prepared data, against the bare step on a batch that stays on the device.

    python -m benchmarks.feed --device cuda

A run is Lightning's Trainer with the data module and the task of `echodepth train`, on prepared waveforms or images,
with the default augmentation; its first epoch is excluded, and no file is written. The bare step is forward, loss,
backward and optimiser, on one spectrogram or image that is never loaded again. The ratio is what feeding leaves of the
device's rate. A row is printed as soon as it is measured:

    bare, fed    frames/s of the bare step and of the run's training steps; run includes validation
    fetch        share of the training's time that the CPU takes between two steps, to fetch a batch and transfer it
    syncs        waits of the CPU for the device in a step, as CUDA counts them; the progress bar waits in one of 20

`--device cpu --image_sizes 32 --frames 64 --seconds 0.2` tries it out.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
import numpy as np
import soundfile
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from PIL import Image

from echodepth.core.batvision_tables import table_row, write_table
from echodepth.core.constants import SAMPLE_RATE
from echodepth.data.cache.prepared import AudioCacheFormat, write_prepared
from echodepth.data.config import DataConfig
from echodepth.data.datamodule import DepthDataModule
from echodepth.data.opening import WAVEFORMS
from echodepth.data.records import Modality
from echodepth.data.sample import Sample
from echodepth.models.checkpoint import DepthModel
from echodepth.training.compose import train_config
from echodepth.training.config import TrainConfig
from echodepth.training.depth_task import PROGRESS_STEPS, DepthTask, network_input, optimizer_options
from echodepth.training.train import model_spec

NETWORKS = ("binaural_attention", "light", "unet_baseline", "rgb")
EPOCHS, VALIDATION_SHARE, WARM_UP = 4, 8, 5
COLUMNS = "network               size  batch     bare      fed    ratio      run   fetch   syncs"


@dataclass(frozen=True)
class Row:
    """Figures of one network at one size; see the module."""

    network: str
    image_size: int
    batch_size: int
    bare: float
    fed: float
    run: float
    fetch: float
    syncs: float

    def __str__(self) -> str:
        return (
            f"{self.network:20} {self.image_size:5} {self.batch_size:6} {self.bare:8.0f} {self.fed:8.0f} "
            f"{self.fed / self.bare:8.3f} {self.run:8.0f} {self.fetch:7.2f} {self.syncs:7.2f}"
        )


@dataclass
class Clock(Callback):
    """Times of a run's epochs, and the waits of its first.

    ``training`` and ``fetching`` are each epoch's seconds of its steps and between them; ``ends`` is when it ended,
    validation included; ``syncs`` counts the waits in all steps of the first epoch.
    """

    training: list[float] = field(default_factory=list)
    fetching: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    syncs: int = 0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock, and in the first epoch count waits."""
        self.begun = now(pl_module.device)
        self.left = time.perf_counter()
        self.fetching.append(0.0)
        if not self.ends and pl_module.device.type == "cuda":
            self.watch = ExitStack()
            self.caught = self.watch.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")

    def on_train_batch_start(self, *arguments: Any) -> None:
        """Add the time since the last step."""
        self.fetching[-1] += time.perf_counter() - self.left

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *arguments: Any) -> None:
        """After an epoch's last step, read the clock."""
        self.left = time.perf_counter()
        if not trainer.is_last_batch:
            return
        if not self.ends and pl_module.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
            self.syncs = sum("synchroniz" in str(each.message) for each in self.caught)
            self.watch.close()
        self.training.append(now(pl_module.device) - self.begun)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note when the epoch ended."""
        self.ends.append(now(pl_module.device))


def now(device: torch.device) -> float:
    """Seconds: of the clock on a GPU, once it has done what it was given; on a CPU, of this process's threads."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def write_files(root: Path, frames: int) -> Path:
    """A V2 root of one small recording under many names, in the splits train and val."""
    room, rng = root / "Hall", np.random.default_rng(0)
    one = {"audio": root / "one.wav", "camera": root / "one.png", "depth": root / "one.npy"}
    for kind in one:
        (room / kind).mkdir(parents=True)
    audio = 1e-3 * rng.standard_normal((9000, 2))
    audio[200:330] += rng.uniform(-0.5, 0.5, (130, 2))
    soundfile.write(one["audio"], audio, SAMPLE_RATE, subtype="PCM_32")
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(one["camera"])
    depth = rng.integers(500, 20_000, (64, 64)).astype(np.uint16)
    depth[rng.uniform(size=depth.shape) < 0.1] = 0
    np.save(one["depth"], depth)
    rows = []
    for number in range(frames):
        names = {kind: f"{kind}_{number}{path.suffix}" for kind, path in one.items()}
        for kind, path in one.items():
            os.link(path, room / kind / names[kind])
        rows.append(table_row(number, "Hall", names, {}))
    write_table(room / "train.csv", rows)
    write_table(room / "val.csv", rows[: max(2, frames // VALIDATION_SHARE)])
    return root


def config_of(network: str, size: int, root: Path, flags: argparse.Namespace) -> TrainConfig:
    on_gpu = flags.device == "cuda"
    return train_config(
        "rgb" if network == "rgb" else "binaural",
        **({} if network == "rgb" else {"model": network}),
        **({"base_channels": flags.base_channels} if flags.base_channels else {}),
        data_dir=root,
        image_size=size,
        batch_size=flags.batch_size,
        nb_epochs=EPOCHS,
        device=flags.device,
        precision=flags.precision or ("bf16-mixed" if on_gpu else "32-true"),
        channels_last=on_gpu,
    )


def bare_rate(config: TrainConfig, batch: Sample, seconds: float, device: torch.device) -> float:
    """Frames/s of forward, loss, backward and optimiser on a resident batch."""
    task = DepthTask(DepthModel(model_spec(config)), config).to(device).train()
    optimizer = torch.optim.AdamW(task.parameters(), lr=1e-4, **optimizer_options(config, device))
    with torch.no_grad():
        prepared = network_input(task.model, batch)
    if config.machine.channels_last:
        prepared = prepared.contiguous(memory_format=torch.channels_last)
    half = config.machine.precision == "bf16-mixed"

    def steps(count: int) -> float:
        begun = now(device)
        for _ in range(count):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = task.losses(prepared, batch)["loss"]
            loss.backward()
            optimizer.step()
        return (now(device) - begun) / count

    steps(WARM_UP)
    count = max(1, round(seconds / 3 / steps(WARM_UP)))
    return len(batch["depth"]) / median(steps(count) for _ in range(3))


def fed(config: TrainConfig, data: DepthDataModule, batches: int, deterministic: bool) -> Clock:
    """A training run of so many steps an epoch, as `echodepth train` builds it but for the files it writes."""
    clock = Clock()
    trainer = L.Trainer(
        accelerator=config.machine.device,
        devices=1,
        precision=config.machine.precision,
        max_epochs=EPOCHS,
        limit_train_batches=batches,
        logger=False,
        callbacks=[TQDMProgressBar(refresh_rate=1 if config.machine.device == "cpu" else PROGRESS_STEPS), clock],
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        deterministic="warn" if deterministic else False,
        benchmark=torch.backends.cudnn.benchmark,
    )
    with quiet():
        trainer.fit(DepthTask(DepthModel(model_spec(config)), config), datamodule=data)
    return clock


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's advice, and with its progress bar drawn into nothing."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def measure(network: str, size: int, root: Path, flags: argparse.Namespace) -> Row:
    config, device = config_of(network, size, root, flags), torch.device(flags.device)
    # For the bare step too: the Trainer sets this for good.
    torch.use_deterministic_algorithms(flags.deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = flags.device == "cuda" and not flags.deterministic  # as `train`

    def module() -> DepthDataModule:
        shown: tuple[Modality, ...] = (config.modality, "depth")
        return DepthDataModule(config.data, shown, flags.batch_size, color_jitter=0.2, prepared=WAVEFORMS)

    first = next(iter(module().train_dataloader()))
    batch: Any = {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in first.items()}
    bare = bare_rate(config, batch, flags.seconds, device)
    most = len(module().train_set) // flags.batch_size
    batches = max(2, min(most, round(flags.seconds * bare / flags.batch_size)))
    clock = fed(config, module(), batches, flags.deterministic)
    frames = batches * flags.batch_size
    trained = frames / median(clock.training[1:])
    in_all = frames * (EPOCHS - 1) / (clock.ends[-1] - clock.ends[0])
    waited = sum(clock.fetching[1:]) / sum(clock.training[1:])
    return Row(network, size, flags.batch_size, bare, trained, in_all, waited, clock.syncs / batches)


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--image_sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--base_channels", type=int)
    parser.add_argument("--precision", help="default: bf16-mixed on a GPU, 32-true on a CPU")
    parser.add_argument("--deterministic", action="store_true", help="deterministic algorithms, in step and run")
    parser.add_argument("--frames", type=int, default=6144, help="frames of the prepared training split")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), help="processes that prepare")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a measurement: a bare one, or an epoch")
    parser.add_argument("--limit_s", type=float, default=90.0, help="begin no row later than this")
    parser.add_argument("--out", type=Path, help="write the rows to this file, as lines of JSON")
    return parser.parse_args(words)


def main(words: list[str] | None = None, report: Callable[[str], None] = print) -> list[Row]:
    flags, rows, begun = parse(sys.argv[1:] if words is None else words), list[Row](), time.monotonic()
    report(
        f"{torch.cuda.get_device_name() if flags.device == 'cuda' else 'CPU'}, torch {torch.__version__}, {vars(flags)}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ECHODEPTH_CACHE"] = f"{scratch}/cache"
        root = write_files(Path(scratch) / "rooms", flags.frames)
        report(COLUMNS)
        for size in flags.image_sizes:
            for split in ("train", "val"):
                write_prepared(DataConfig(data_dir=root, image_size=size), split, AudioCacheFormat(), flags.workers)
            for network in flags.networks:
                if time.monotonic() - begun > flags.limit_s:
                    report(f"{network:20} {size:5}: left out after {flags.limit_s:g} s")
                    continue
                try:
                    rows.append(measure(network, size, root, flags))
                except (RuntimeError, ValueError) as error:  # such as too little memory: the other rows count
                    report(f"{network:20} {size:5}: {str(error).splitlines()[0]}")
                    continue
                report(str(rows[-1]))
                if flags.out:
                    flags.out.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    report(f"{time.monotonic() - begun:.0f} s in all")
    return rows


if __name__ == "__main__":
    main()
