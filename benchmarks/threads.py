"""A training step with one CPU thread and with two: where the second one begins to pay.

    python -m benchmarks.threads

Forward, L1, backward, AdamW; medians of steps in a process of its own for each number, two in turn for each, the faster
of which counts. Prints the table of docs/speed.md. A second thread needs a core that nothing else uses: run it on an
idle machine.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F

from echodepth.models.layers import DepthNet
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet
from echodepth.models.networks.rgb_depth import RGBDepthNet

STEPS = (
    ("student", 8, 32, 8),
    ("RGB", 8, 32, 8),
    ("student", 8, 64, 8),
    ("RGB", 16, 64, 8),
    ("student", 16, 64, 16),
    ("student", 16, 128, 4),
    ("RGB", 16, 128, 8),
    ("student", 32, 128, 16),
    ("RGB", 32, 128, 16),
)
"""Network, base channels, side of the image, frames."""
SECONDS, MOST = 1.5, 40
"""Time for the steps of one row, and most of them."""


def stepping(network: str, base_channels: int, size: int, frames: int) -> Callable[[], None]:
    torch.manual_seed(0)
    net: DepthNet = RGBDepthNet(base_channels, output_size=size)
    if network == "student":
        net = BinauralAttentionDepthNet(base_channels, output_size=size, attention_levels=(3, 4, 5))
    channels = 3 if net.modality == "image" else 2
    optimizer = torch.optim.AdamW(net.train().parameters())
    x, depth = torch.rand(frames, channels, size, size), torch.rand(frames, 1, size, size)

    def step() -> None:
        optimizer.zero_grad()
        F.l1_loss(net(x), depth).backward()
        optimizer.step()

    return step


def measure_here(threads: int) -> list[tuple[float, float]]:
    """Seconds and processor seconds of each step."""
    torch.set_num_threads(threads)
    found = []
    for row in STEPS:
        step = stepping(*row)
        step()
        took: list[tuple[float, float]] = []
        while len(took) < 5 or (sum(wall for wall, _ in took) < SECONDS and len(took) < MOST):
            wall, processor = time.perf_counter(), time.process_time()
            step()
            took.append((time.perf_counter() - wall, time.process_time() - processor))
        found.append((median(wall for wall, _ in took), median(processor for _, processor in took)))
    return found


def measure(threads: int) -> list[tuple[float, float]]:
    command = [sys.executable, "-m", "benchmarks.threads", str(threads)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[1])
    return [(wall, processor) for wall, processor in json.loads(run.stdout)]


def main() -> None:
    if sys.argv[1:]:
        print(json.dumps(measure_here(int(sys.argv[1]))))
        return
    rounds = [(measure(1), measure(2)) for _ in range(2)]
    print("| network | base channels | image | frames | values | 1 thread, s | 2 threads, s | 1 : 2 |")
    print("|---|---|---|---|---|---|---|---|")
    for index, (network, channels, size, frames) in enumerate(STEPS):
        one, two = (min(each[number][index] for each in rounds) for number in (0, 1))
        values = (channels * size**2 * frames).bit_length() - 1
        times = " | ".join(f"{wall:.3f} ({processor:.3f})" for wall, processor in (one, two))
        print(f"| {network} | {channels} | {size} | {frames} | 2^{values} | {times} | {one[0] / two[0]:.2f} |")


if __name__ == "__main__":
    main()
