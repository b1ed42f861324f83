"""The networks on one device: training, inference, the latency of one frame, and what the device reaches at most.

    python -m benchmarks.device --device cuda

Writes docs/results/benchmarks-<device>.json, figure by figure, and takes five minutes on one GPU. ``python -m
benchmarks.report`` makes the tables of docs/speed.md from it. 256x256, 64 base channels. Inputs are random, and the
gates of the attention are open. Times are medians of runs that each wait for the device.

- ``ceiling``: TFLOP/s of a large convolution and a large matrix product.
- ``training``: frames/s of forward, L1, backward and AdamW; 16 frames in bf16 and channels-last, TF32, or float32.
- ``inference``: frames/s of the network alone, for 1 and 16 frames.
- ``latency``: from a recording or an image in memory to depth in memory, one frame, ``load_model(compile="latency")``
  against the plain model; on a CPU also with two threads and by ONNX Runtime and OpenVINO.
- ``attention``: error of each pattern in each precision, against the same layer in double precision.
- ``determinism``: whether two trainings with ``--deterministic`` end bit-equal, and what their steps cost.
"""

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.attention import megabytes
from benchmarks.timing import KEPT
from echodepth.core.atomic_io import atomic_write
from echodepth.core.device import float32_products
from echodepth.inference.latency import LatencyModel
from echodepth.models.attention.cross_attention import ATTENTIONS
from echodepth.models.checkpoint import DepthModel, ModelSpec
from echodepth.models.layers import DepthNet

SIZE, BASE, BATCH, SAMPLES = 256, 64, 16, 7784
PARTS = ("ceiling", "training", "inference", "latency", "attention", "determinism")
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "teacher": ("rgb", {}),
    "teacher, 32 channels": ("rgb", {"base_channels": BASE // 2}),
    "student, band": ("binaural_attention", {"attention": "band"}),
    "student, full": ("binaural_attention", {"attention": "full"}),
    "student, time": ("binaural_attention", {"attention": "time"}),
    "student, pooled": ("binaural_attention", {"attention": "pooled"}),
    "student, no attention": ("binaural_attention", {"attention_levels": ()}),
    "light student": ("light", {}),
    "BatVision's U-Net": ("unet_baseline", {}),
}
"""Networks in the tables, with their arguments."""
PRECISIONS = ("bf16", "tf32", "fp32")
TRAINED_IN_ALL = ("teacher", "student, band", "student, full")


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
        figures = measure()
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
        network(torch.rand(1, *_shape(run, network), device=run.device))
    return float(counter.get_total_flops())


def ceiling(run: Run) -> None:
    """The most that this device reaches."""
    side = 8192 if run.on_cuda else 2048
    maps = torch.randn(64 if run.on_cuda else 1, 256, 64, 64, device=run.device).to(memory_format=torch.channels_last)
    kernels = torch.randn(256, 256, 3, 3, device=run.device).to(memory_format=torch.channels_last)
    matrix = torch.randn(side, side, device=run.device)
    for name in PRECISIONS if run.on_cuda else ("fp32",):
        dtype = torch.bfloat16 if name == "bf16" else torch.float32
        m, k, a = maps.to(dtype), kernels.to(dtype), matrix.to(dtype)

        def rates(name: str = name, m: Tensor = m, k: Tensor = k, a: Tensor = a) -> dict[str, float]:
            with precision(name, run) if name != "bf16" else nullcontext():
                convolution = run.seconds_of(lambda: F.conv2d(m, k, padding=1))
                product = run.seconds_of(lambda: a @ a)
            operations = 2 * 9 * 256**2 * m.shape[0] * 64 * 64
            return {
                "convolution_tflops": operations / convolution / 1e12,
                "product_tflops": 2 * side**3 / product / 1e12,
            }

        run.keep("ceiling", name, rates)


def stepping(run: Run, network: DepthNet, kind: str) -> Callable[[], None]:
    """A training step on a batch that is on the device already."""
    torch.manual_seed(1)
    channels = 3 if network.modality == "image" else 2
    x = torch.rand(run.batch, channels, run.size, run.size, device=run.device)
    depth = 10 * torch.rand(run.batch, 1, run.size, run.size, device=run.device)
    network.train()
    if run.on_cuda:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=run.on_cuda)

    def step() -> None:
        with precision(kind, run):
            loss = F.l1_loss(network(x).float(), depth)
            optimizer.zero_grad(set_to_none=True)
        with nullcontext() if kind == "bf16" else precision(kind, run):
            loss.backward()
        optimizer.step()

    return step


def training(run: Run) -> None:
    """Frames per second of training steps."""
    for name in MODELS:
        kinds = PRECISIONS if name in TRAINED_IN_ALL else PRECISIONS[:1]
        for kind in kinds if run.on_cuda else ("fp32",):
            torch.backends.cudnn.benchmark = run.on_cuda

            def frames(name: str = name, kind: str = kind) -> dict[str, float]:
                network = run.model(name).network
                operations = 3 * run.batch * flop(run, name)
                took, peak = _peak_megabytes(run, lambda: run.seconds_of(stepping(run, network, kind)))
                return {"frames_per_second": run.batch / took, "tflops": operations / took / 1e12, "peak_mb": peak}

            run.keep("training", f"{name}, {kind}", frames)
    torch.backends.cudnn.benchmark = False


def inference(run: Run) -> None:
    """Frames per second of networks alone, and the share of arithmetic."""
    for name in MODELS:
        for kind in ("bf16", "fp32") if run.on_cuda else ("fp32",):
            for batch in (1, run.batch) if run.on_cuda else (1,):

                def frames(name: str = name, kind: str = kind, batch: int = batch) -> dict[str, float]:
                    network = run.model(name).network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                    x = torch.rand(batch, *_shape(run, network), device=run.device)
                    x = x.contiguous(memory_format=torch.channels_last)
                    operations = batch * flop(run, name)
                    with torch.inference_mode(), precision(kind, run):
                        took = run.seconds_of(partial(network, x), limit=1.0)
                    return {"frames_per_second": batch / took, "tflops": operations / took / 1e12}

                run.keep("inference", f"{name}, {kind}, {batch} frames", frames)


def latency(run: Run) -> None:
    """Milliseconds from one input in memory to its depth in memory."""
    for name in MODELS:
        model = run.model(name)
        raw = torch.rand(1, 3, run.size, run.size) if model.input_key == "image" else 0.01 * torch.randn(1, 2, SAMPLES)

        def frame(backend: Any, threads: int, raw: Tensor = raw) -> dict[str, float]:
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            with torch.inference_mode():
                work = partial(run.seconds_of, lambda: backend.predict(raw).depth.cpu(), runs=30, limit=3.0)
                took, peak = _peak_megabytes(run, work)
            torch.set_num_threads(before)
            return {"milliseconds": 1e3 * took, "hertz": 1 / took, "peak_mb": peak}

        for threads in (1,) if run.on_cuda else (1, 2):
            suffix = "" if run.on_cuda else f", {threads} thread{'s' if threads > 1 else ''}"
            run.keep("latency", f"{name}, plain{suffix}", lambda: frame(model, threads))  # noqa: B023
            run.keep("latency", f"{name}, latency{suffix}", lambda: frame(LatencyModel(model), threads))  # noqa: B023
        if not run.on_cuda:
            _exported_latency(run, name, model, frame)


def _exported_latency(run: Run, name: str, model: DepthModel, frame: Callable[[Any, int], dict[str, float]]) -> None:
    import tempfile

    from echodepth.inference.backends import load_backend
    from echodepth.inference.config import ExportConfig
    from echodepth.inference.export import export
    from echodepth.models.checkpoint import save_model

    with tempfile.TemporaryDirectory() as scratch:
        save_model(model, Path(scratch) / "best")
        for form, suffix in (("onnx", ".onnx"), ("openvino", ".xml")):
            out = Path(scratch) / form
            export(ExportConfig(checkpoint=f"{scratch}/best", format=form, out=out))  # type: ignore[arg-type]
            file = next(out.glob(f"*{suffix}"))
            for threads in (1, 2):
                torch.set_num_threads(threads)  # the runtimes take as many
                backend = load_backend(file, form, "cpu")  # type: ignore[arg-type]
                plural = "s" if threads > 1 else ""
                run.keep("latency", f"{name}, {form}, {threads} thread{plural}", partial(frame, backend, threads))


def attention(run: Run) -> None:
    """Relative error of outputs and gradients, against double precision on the same device."""
    for form in ATTENTIONS:
        for kind in PRECISIONS if run.on_cuda else ("fp32",):
            run.keep("attention", f"{form}, {kind}", partial(_attention_error, run, form, kind))


def _attention_error(run: Run, form: str, kind: str) -> dict[str, float]:
    torch.manual_seed(1)
    layer = ATTENTIONS[form](128).to(run.device)
    nn.init.ones_(layer.gate)
    exact = ATTENTIONS[form](128).to(run.device, torch.float64)
    exact.load_state_dict(layer.state_dict())
    maps, weight = torch.randn(2, 2, 128, 48, 64, device=run.device), torch.randn(2, 128, 48, 64, device=run.device)
    results = []
    for some, dtype, context in ((exact, torch.float64, nullcontext()), (layer, torch.float32, precision(kind, run))):
        query, key = (x.to(dtype, copy=True).requires_grad_() for x in maps)
        with context:
            out = some(query, key)
            attended = out - query
            (attended.to(dtype) * weight.to(dtype)).sum().backward()
        assert key.grad is not None
        results.append((attended.detach().double(), key.grad.double()))
    return {
        "output_max": float((results[1][0] - results[0][0]).abs().max()),
        "output_relative": _relative(results[1][0], results[0][0]),
        "gradient_relative": _relative(results[1][1], results[0][1]),
    }


def _relative(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def determinism(run: Run) -> None:
    """Two trainings of five steps, and the time of a deterministic step."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    for name in MODELS:
        for kind in PRECISIONS if name in TRAINED_IN_ALL and run.on_cuda else PRECISIONS[:1]:

            def twice(name: str = name, kind: str = kind) -> dict[str, Any]:
                states = []
                for _ in range(2):
                    network = run.model(name).network
                    step = stepping(run, network, kind)
                    for _ in range(5):
                        step()
                    states.append(network.state_dict())
                equal = all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())
                return {"bit_equal": equal, "frames_per_second": run.batch / run.seconds_of(step, runs=5)}

            run.keep("determinism", f"{name}, {kind}", twice)
    torch.use_deterministic_algorithms(False)


def _shape(run: Run, network: DepthNet) -> tuple[int, int, int]:
    return (3 if network.modality == "image" else 2, run.size, run.size)


def _peak_megabytes(run: Run, work: Callable[[], float]) -> tuple[float, float]:
    """What the work returns, and the memory that it needed: of the GPU, or of this process beyond what it held."""
    if run.on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return work(), torch.cuda.max_memory_allocated() / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # what was held at most begins anew (man 5 proc)
    before = megabytes("VmRSS")
    return work(), megabytes("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seconds", type=float, default=480.0, help="time limit; later figures are left out")
    parser.add_argument("--out", type=Path, help="default: docs/results/benchmarks-<device>.json")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--base", type=int, default=BASE)
    given = parser.parse_args()
    device = torch.device(given.device)
    path = given.out or KEPT.with_name(f"benchmarks-{device.type}.json")
    # cuBLAS reads it when it starts: its own workspaces make sums depend on what else runs.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    warnings.filterwarnings("ignore", message=".*deterministic.*")
    batch = BATCH if device.type == "cuda" else 1
    run = Run(device, path, given.seconds, size=given.size, base=given.base, batch=batch)
    for part in given.parts:
        globals()[part](run)


if __name__ == "__main__":
    main()
