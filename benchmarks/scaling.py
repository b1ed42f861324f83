"""Training steps on two processes against one, with as many frames for each: weak scaling over gloo.

    python -m benchmarks.scaling

The student with 16 base channels, attention at levels 3 to 5, 128x128, 8 frames a process, one thread each; forward,
L1, backward with the mean gradient of the processes. A ratio of 1 would be twice the frames in the same time. Two
processes on one machine share its memory and its clock, so this says what is lost at the least.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.timing import Outcome, keep
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet

SIZE, BATCH, STEPS, RUNS = 128, 8, 4, 3


def work(rank: int, processes: int, rendezvous: str, told: str) -> None:
    """Take steps together with the other processes, and write down how long each took."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=processes)
    torch.manual_seed(rank)
    network = BinauralAttentionDepthNet(16, output_size=SIZE, attention_levels=(3, 4, 5)).train()
    together = DistributedDataParallel(network)
    spectrograms, depth = torch.rand(BATCH, 2, SIZE, SIZE), 10 * torch.rand(BATCH, 1, SIZE, SIZE)
    seconds = []
    for _ in range(1 + STEPS):
        dist.barrier()
        begun = time.perf_counter()
        together.zero_grad()
        (together(spectrograms) - depth).abs().mean().backward()
        seconds.append(time.perf_counter() - begun)
    if rank == 0:
        Path(told).write_text(json.dumps(seconds[1:]))
    dist.destroy_process_group()


def step_seconds(processes: int) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        told = Path(scratch) / "seconds.json"
        spawn(work, (processes, f"{scratch}/rendezvous", str(told)), nprocs=processes)
        return float(median(json.loads(told.read_text())))


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    figures = [(step_seconds(2), step_seconds(1)) for _ in range(RUNS)]
    two, one = (median(each) for each in zip(*figures, strict=True))
    keep("ddp_weak_scaling_time", Outcome(two, one, "s a step", RUNS), ("torch",))


if __name__ == "__main__":
    main()
