"""What a training step and its data cost, as size grows: a table and a picture.

    python -m benchmarks.cost

A step is forward, L1, backward, AdamW, in one thread, in a process of its own for each size: the processor's seconds
once it is warm, and how far the memory rose the first time. One size grows and the others stay: 128x128, 16 base
channels, batches of 4, the attention that each network has by default. Data are prepared recordings without pictures:
how long a split takes to open, and to give a batch of 16. Devices are processes of ``benchmarks.scaling``. Writes
docs/results/cost.csv and docs/images/cost.png.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from tqdm import tqdm

from benchmarks.attention import megabytes
from benchmarks.rooms import write_many
from benchmarks.scaling import BATCH as FRAMES_A_PROCESS
from benchmarks.scaling import step_seconds
from benchmarks.timing import KEPT, processor_seconds, wall_seconds
from echodepth.core.atomic_io import atomic_write
from echodepth.data.cache.prepared import AudioCacheFormat, open_prepared, write_prepared
from echodepth.models.layers import DepthNet
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet
from echodepth.models.networks.light_binaural import LightBinauralDepthNet
from echodepth.models.networks.rgb_depth import RGBDepthNet
from echodepth.report.figures import save_figure

NETWORKS: dict[str, tuple[Callable[..., DepthNet], int]] = {
    "teacher": (RGBDepthNet, 3),
    "student": (BinauralAttentionDepthNet, 2),
    "light student": (LightBinauralDepthNet, 2),
}
"""What is trained, and the channels that it takes."""
USUAL = {"image_size": 128, "base_channels": 16, "batch_size": 4}
SIZES = {"image_size": (64, 96, 128, 192, 256), "base_channels": (8, 16, 32, 64), "batch_size": (1, 2, 4, 8, 16)}
FRAMES = (1000, 4000, 16_000)
LONG_ENOUGH = 2.0
"""Seconds of steps, of which the median counts."""
TABLE, PICTURE = KEPT.parent / "cost.csv", KEPT.parents[1] / "images" / "cost.png"
FACTS = ("growing", "what", "size", "seconds", "megabytes")
Row = dict[str, str | float]


def stepping(name: str, image_size: int, base_channels: int, batch_size: int) -> Callable[[], None]:
    make, channels = NETWORKS[name]
    network = make(base_channels, output_size=image_size).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    given, depth = (
        torch.rand(batch_size, channels, image_size, image_size),
        torch.rand(batch_size, 1, *[image_size] * 2),
    )

    def step() -> None:
        optimizer.zero_grad()
        F.l1_loss(network(given), depth).backward()
        optimizer.step()

    return step


def measure_here(name: str, *sizes: int) -> tuple[float, float]:
    torch.set_num_threads(1)
    stepping(name, 32, 8, 2)()
    step = stepping(name, *sizes)
    Path("/proc/self/clear_refs").write_text("5")  # what was held at most begins anew (man 5 proc)
    before = megabytes("VmRSS")
    step()
    rise = megabytes("VmHWM") - before
    took = [processor_seconds(step) for _ in range(2)]
    while sum(took) < LONG_ENOUGH:
        took.append(processor_seconds(step))
    return median(took), rise


def measure(name: str, growing: str, size: int) -> Row:
    sizes = USUAL | {growing: size}
    command = [sys.executable, "-m", "benchmarks.cost", name, *map(str, sizes.values())]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[1])
    seconds, rise = json.loads(run.stdout)
    return dict(zip(FACTS, (growing, name, size, seconds, rise), strict=True))


def measure_data(frames: int, scratch: Path) -> list[Row]:
    data, audio_format = write_many(scratch / f"rooms_{frames}", frames, originals=1), AudioCacheFormat()
    write_prepared(data, "train", audio_format)
    opening = median(
        wall_seconds(lambda: open_prepared(data, "train", ("audio", "depth"), audio_format)) for _ in range(3)
    )
    split = open_prepared(data, "train", ("audio", "depth"), audio_format)
    assert split is not None
    order = np.random.default_rng(0).permutation(frames)[:960].reshape(-1, 16).tolist()
    batch = processor_seconds(lambda: [split.batch(each) for each in order]) / len(order)
    return [
        {"growing": "frames", "what": what, "size": frames, "seconds": seconds}
        for what, seconds in (("opening the split", opening), ("a batch of 16", batch))
    ]


def measure_devices() -> list[Row]:
    return [
        {"growing": "processes", "what": "a step of all", "size": processes, "seconds": step_seconds(processes)}
        for processes in (1, 2)
    ]


def draw(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(10, 7.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic("aabbcc;ddeeff;ggghhh")
    titles = {"image_size": "side in pixels", "base_channels": "base channels", "batch_size": "batch"}
    for (growing, title), seconds, memory in zip(titles.items(), "abc", "def", strict=True):
        lines(axes[seconds], rows, growing, "seconds", title, "s a step")
        lines(axes[memory], rows, growing, "megabytes", title, "MB a step")
    lines(axes["g"], rows, "frames", "seconds", "frames in the split", "s")
    axes["a"].legend(fontsize=8, frameon=False)
    axes["g"].legend(fontsize=8, frameon=False, loc="center right")
    steps = {float(row["size"]): float(row["seconds"]) for row in rows if row["growing"] == "processes"}
    throughput = {size: size * FRAMES_A_PROCESS / seconds for size, seconds in steps.items()}
    axes["h"].plot(*zip(*throughput.items(), strict=True), "o-", markersize=4, label="measured")
    axes["h"].plot(list(steps), [size * throughput[1.0] for size in steps], ":", color="grey", label="nothing lost")
    axes["h"].set(xlabel="processes", ylabel="frames/s", xticks=list(steps), ylim=(0, None))
    axes["h"].legend(fontsize=8, frameon=False, loc="upper left")
    for axis in axes.values():
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def lines(axis: Axes, rows: list[Row], growing: str, figure_of: str, title: str, unit: str) -> None:
    chosen = [row for row in rows if row["growing"] == growing]
    for what in dict.fromkeys(row["what"] for row in chosen):
        points = [(float(row["size"]), float(row[figure_of])) for row in chosen if row["what"] == what]
        axis.plot(*zip(*points, strict=True), "o-", markersize=4, label=str(what))
    sizes = sorted({int(row["size"]) for row in chosen})
    axis.set(xscale="log", yscale="log", xlabel=title, ylabel=unit)
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.minorticks_off()
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.grid(alpha=0.25)


def main() -> None:
    if sys.argv[1:]:
        print(json.dumps(measure_here(sys.argv[1], *map(int, sys.argv[2:]))))
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    points = [(name, growing, size) for growing, sizes in SIZES.items() for name in NETWORKS for size in sizes]
    rows = [measure(*point) for point in tqdm(points, desc="steps", disable=None)]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ECHODEPTH_CACHE"] = f"{scratch}/cache"
        for frames in FRAMES:
            rows += measure_data(frames, Path(scratch))
    rows += measure_devices()
    with atomic_write(TABLE) as unfinished, unfinished.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FACTS)
        for row in rows:
            figures = [f"{row[fact]:.6g}" if fact in row else "" for fact in FACTS[2:]]
            table.writerow([row["growing"], row["what"], *figures])
    save_figure(draw(rows), PICTURE)


if __name__ == "__main__":
    main()
