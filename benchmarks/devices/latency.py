"""From one input in memory to its depth in memory."""

import multiprocessing
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.devices.run import MODELS, Run, peak_megabytes
from echodepth.inference.backends import load_backend
from echodepth.inference.config import ExportConfig
from echodepth.inference.export import export
from echodepth.models.checkpoint import save_model

SAMPLES = 7782
"""Length of a waveform: BatVision V2 up to 30 m."""
Way = Literal["plain", "latency", "onnx", "openvino"]
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}


def latency(run: Run) -> None:
    """Milliseconds of one frame, its rate, and the memory of the model and its computation."""
    threads_and_ways: list[tuple[int, Way]] = [(1, "plain"), (1, "latency")]
    if not run.on_cuda:
        threads_and_ways = [(threads, way) for threads in (1, 2) for way in ("plain", "latency", "onnx", "openvino")]
    for name in MODELS:
        for threads, way in threads_and_ways:
            suffix = "" if run.on_cuda else f", {threads} thread{'s' if threads > 1 else ''}"
            run.keep("latency", f"{name}, {way}{suffix}", _measuring(run, name, way, threads))


def _measuring(run: Run, name: str, way: Way, threads: int) -> Callable[[], dict[str, Any]]:
    if run.on_cuda:
        return lambda: frame(run, name, way, threads, load(run, name, way))

    def in_a_process() -> dict[str, Any]:
        # Of its own: the memory of a process only grows, and a runtime keeps its number of threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool, tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "best"
            save_model(run.model(name), folder)
            source = folder
            if way in SUFFIXES:
                export(ExportConfig(checkpoint=str(folder), format=way, out=Path(scratch)))  # type: ignore[arg-type]
                source = next(Path(scratch).glob(f"*{SUFFIXES[way]}"))
            return pool.submit(_load_and_measure, replace(run), name, way, threads, source).result()

    return in_a_process


def _load_and_measure(run: Run, name: str, way: Way, threads: int, source: Path) -> dict[str, Any]:
    torch.set_num_threads(threads)  # the other runtimes take as many
    return frame(run, name, way, threads, lambda: _backend(source, way, str(run.device)))


def load(run: Run, name: str, way: Way) -> Callable[[], Any]:
    """A function that loads a model on this device as ``predict`` does."""

    def from_disk() -> Any:
        with tempfile.TemporaryDirectory() as scratch:
            save_model(run.model(name), Path(scratch) / "best")
            return _backend(Path(scratch) / "best", way, str(run.device))

    return from_disk


def _backend(source: Path, way: Way, device: str) -> Any:
    if way in ("onnx", "openvino"):
        return load_backend(source, way, device)
    return load_backend(source, device=device, compile="latency" if way == "latency" else None)


def frame(run: Run, name: str, way: Way, threads: int, load: Callable[[], Any]) -> dict[str, Any]:
    """Time and memory of one frame after another."""
    torch.manual_seed(0)
    is_image = MODELS[name][0] == "rgb"
    raw = torch.rand(1, 3, run.size, run.size) if is_image else 0.01 * torch.randn(1, 2, SAMPLES)

    def work() -> float:
        backend = load()
        with torch.inference_mode():
            return run.seconds_of(lambda: backend.predict(raw).depth.cpu(), runs=30, limit=3.0)

    took, peak = peak_megabytes(run, work)
    return {"milliseconds": 1e3 * took, "hertz": 1 / took, "peak_mb": peak}
