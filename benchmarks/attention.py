"""Time and memory of attention between the ears, against the textbook formula with its full matrix of weights.

    python -m benchmarks.attention

Once for level 2 of a 256x256 input alone, and once for a training step (forward, L1, backward) of the whole network at
batch 1, attention at levels 2 to 5, against the same network with the textbook formula. Every figure is of a process of
its own with one thread: how far the most memory that it held at a time rose above what it held before, the first time,
and the processor's seconds, the system's for its memory included, the second time. The textbook formula needs 5 GB.
"""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import Outcome, keep, processor_seconds
from echodepth.models.attention import cross_attention
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet

TEXTBOOK, EXACT = "textbook", "exact"
POSITIONS, CHANNELS, SIDE, RUNS = 128, 128, 256, 3


class Cost(NamedTuple):
    seconds: float
    megabytes: float


def textbook(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return torch.softmax(query @ key.mT / math.sqrt(query.shape[-1]), dim=-1) @ value


def level2(side: int = POSITIONS) -> Callable[[], object]:
    """One direction at 64 base channels: queries and keys an eighth as wide as the values."""
    widths = (CHANNELS // 8, CHANNELS // 8, CHANNELS)
    query, key, value = (torch.randn(1, side**2, width, requires_grad=True) for width in widths)
    attend = vars(cross_attention)["memory_efficient_attention"]  # or the textbook formula in its place
    return lambda: attend(query, key, value).sum().backward()


def step(base_channels: int, side: int = SIDE) -> Callable[[], object]:
    """What training does with a batch of one, but for the optimiser."""
    network = BinauralAttentionDepthNet(base_channels, output_size=side)
    for attention in (*network.left_to_right.values(), *network.right_to_left.values()):
        nn.init.ones_(attention.gate)  # type: ignore[arg-type]
    heard, depth = torch.rand(1, 2, side, side), 30 * torch.rand(1, 1, side, side)
    return lambda: F.l1_loss(network(heard), depth).backward()


WORK: dict[str, tuple[Callable[[], Callable[[], object]], Callable[[], Callable[[], object]]]] = {
    "level2": (level2, lambda: level2(8)),
    "step": (lambda: step(32), lambda: step(32, 32)),
    "step_base64": (lambda: step(64), lambda: step(64, 32)),
}
"""Each by its name, and the same in small, by which a process warms up."""


def megabytes(what: str) -> float:
    """What Linux says of this process: ``VmRSS`` that it holds now, ``VmHWM`` the most it has held since the reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith(f"{what}:"))
    return int(kilobytes) / 1024


def measure_here(name: str, form: str) -> Cost:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if form == TEXTBOOK:
        patch.object(cross_attention, "memory_efficient_attention", textbook).start()
    make, make_small = WORK[name]
    make_small()()
    work = make()
    Path("/proc/self/clear_refs").write_text("5")  # what was held at most begins anew (man 5 proc)
    before = megabytes("VmRSS")
    work()
    rise = megabytes("VmHWM") - before
    return Cost(processor_seconds(work), rise)  # the first time also prepares its convolutions and fetches its memory


def measure(name: str, form: str) -> Cost:
    """In a process of its own, since what is held at most can only rise."""
    command = [sys.executable, "-m", "benchmarks.attention", name, form]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[1])
    return Cost(*json.loads(run.stdout))


def compare(name: str, kept_as: str, suffix: str) -> None:
    costs = [[measure(name, form) for form in (TEXTBOOK, EXACT)] for _ in range(RUNS)]
    theirs, exact = (Cost(*map(median, zip(*figures, strict=True))) for figures in zip(*costs, strict=True))
    for what, ours, other, unit in (
        ("exact_time", exact.seconds, theirs.seconds, "processor s"),
        ("exact_memory", exact.megabytes, theirs.megabytes, "MB"),
    ):
        keep(f"{kept_as}_{what}{suffix}", Outcome(ours, other, unit, RUNS), ("torch",))


def main() -> None:
    if sys.argv[1:]:
        print(json.dumps(measure_here(*sys.argv[1:])))
        return
    compare("level2", "attention_level2", "")
    compare("step", "binaural_step", "")
    compare("step_base64", "binaural_step", "_base64")


if __name__ == "__main__":
    main()
