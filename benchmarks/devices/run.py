"""What all parts of the benchmark of a device share: its models, its clock and its file."""

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.attention import megabytes
from echodepth.core.atomic_io import atomic_write
from echodepth.core.device import float32_products
from echodepth.models.checkpoint import DepthModel, ModelSpec
from echodepth.models.layers import DepthNet

SIZE, BASE, BATCH = 256, 64, 16
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "teacher": ("rgb", {}),
    "teacher, 32 channels": ("rgb", {"base_channels": BASE // 2}),
    "student, full": ("binaural_attention", {}),
    "student, no attention": ("binaural_attention", {"attention_levels": ()}),
    "light student": ("light", {}),
    "BatVision's U-Net": ("unet_baseline", {}),
}
"""Networks in the tables, with their arguments."""
PRECISIONS = ("bf16", "tf32", "fp32")
TRAINED_IN_ALL = ("teacher", "student, full")
"""Networks whose training is measured in every precision."""


@dataclass
class Run:
    """One run of the benchmark.

    Attributes:
        device: that computes.
        path: of the figures.
        seconds: time limit; figures after it are left out.
        size: side of the maps.
        base: base channels.
        batch: frames of a training step.
    """

    device: torch.device
    path: Path
    seconds: float
    size: int = SIZE
    base: int = BASE
    batch: int = BATCH
    begun: float = field(default_factory=time.monotonic)

    def keep(self, part: str, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Measure, print and write one figure; nothing once the time is over."""
        if time.monotonic() - self.begun > self.seconds:
            print(f"{part}: {name}: left out, after {self.seconds:g} s")
            return
        load = os.getloadavg()[0]  # of other processes: it says what a time on a CPU is worth
        figures = measure() | ({} if self.on_cuda else {"load_before": round(load, 1)})
        print(f"{time.monotonic() - self.begun:6.1f} s  {part:12} {name:34} {figures}", flush=True)
        kept = json.loads(self.path.read_text()) if self.path.exists() else {}
        kept["machine"] = {
            "device": torch.cuda.get_device_name(self.device) if self.on_cuda else f"CPU, {os.cpu_count()} cores",
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        kept.setdefault(part, {})[name] = figures
        with atomic_write(self.path) as unfinished:
            unfinished.write_text(json.dumps(kept, indent=2) + "\n")

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def model(self, name: str, **arguments: Any) -> DepthModel:
        """A model with random weights and open gates, in eval mode."""
        torch.manual_seed(0)
        network, given = MODELS[name]
        front_end = {"name": "image" if network == "rgb" else "echo", "image_size": self.size}
        if network == "unet_baseline":
            front_end["spectrogram"] = "magnitude"
        given = {"base_channels": self.base, "output_size": self.size, "max_depth": 30.0, **given, **arguments}
        model = DepthModel(ModelSpec(network, given, front_end))
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("gate"):
                nn.init.constant_(parameter, 0.5)
        nn.init.normal_(model.network.head.conv.weight)  # a map that varies by metres
        return model.to(self.device).eval()

    def seconds_of(self, work: Callable[[], object], runs: int = 12, limit: float = 2.0) -> float:
        """Median time of a run that waits for the device, after two more that do not count."""
        took: list[float] = []
        for _ in range(2 + runs):
            begun = time.perf_counter()
            work()
            if self.on_cuda:
                torch.cuda.synchronize()
            took.append(time.perf_counter() - begun)
            if sum(took[2:]) > limit:
                break
        return median(took[2:] or took)


def precision(name: str, run: Run) -> Any:
    """The context of a precision: autocast, TF32 or neither."""
    return torch.autocast(run.device.type, torch.bfloat16) if name == "bf16" else float32_products(name == "tf32")


def flop(run: Run, name: str) -> float:
    """Floating-point operations of one forward pass of one frame; a multiplication and its addition are two."""
    network = run.model(name).network
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, *input_shape(run, network), device=run.device))
    return float(counter.get_total_flops())


def input_shape(run: Run, network: DepthNet) -> tuple[int, int, int]:
    return (3 if network.modality == "image" else 2, run.size, run.size)


def peak_megabytes(run: Run, work: Callable[[], float]) -> tuple[float, float]:
    """What the work returns, and the memory that it needed: of the GPU, or of this process beyond what it held."""
    if run.on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return work(), torch.cuda.max_memory_allocated() / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # what was held at most begins anew (man 5 proc)
    before = megabytes("VmRSS")
    return work(), megabytes("VmHWM") - before
